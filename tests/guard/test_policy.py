"""A policy is read strictly, judged, and explained with what it does not stop."""

import tomllib
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.guard.guards import policy

from unseen.errors import PolicyError
from unseen.guard.checking import findings, hardenings, refuse_useless
from unseen.guard.explaining import NOT_STOPPED, explain
from unseen.guard.policy import policy_from, rate_of, read_policy
from unseen.guard.proposing import PROTOCOLS, proposal

INF, NAN = float("inf"), float("nan")
OIDC = {"issuer": "i", "audience": "a", "jwks": "https://i"}
NESTED = reduce(lambda inner, _: {"a": inner}, range(5000), {})


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_init_writes_is_a_policy_that_starts(protocol):
    read = policy_from(tomllib.loads(proposal(protocol)))
    refuse_useless(read)
    assert max(len(line) for line in proposal(protocol).splitlines()) <= 120


def test_every_key_of_the_policy_is_known_or_refused_with_the_nearest(tmp_path):
    content = {"upstream": {"url": "http://127.0.0.1:1"}, "routes": [{"protocol": "mlflow"}], "tiers": {"a": {}}}
    for path, wrong, right in (
        ((), "teirs", "tiers"),
        (("upstream",), "timeout", "timeout_s"),
        (("routes", 0), "answer", "answers"),
        (("tiers", "a"), "control", "controls"),
    ):
        hurt = tomllib.loads(proposal("mlflow"))
        place = hurt if path != ("tiers", "a") else hurt["tiers"]["default"]
        for step in path if path != ("tiers", "a") else ():
            place = place[step]
        place[wrong] = {}
        with pytest.raises(PolicyError, match=rf"unknown key '{wrong}'; did you mean '{right}'"):
            policy_from(hurt)
    assert policy_from(content)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"upstream": {"url": "ftp://x"}}, "upstream.url must be http"),
        ({"upstream": {"url": "http://user:word@x"}}, "without a user"),
        ({"upstream": {"url": "http://x?a=b"}}, "a query"),
        ({"upstream": {"url": "http://:word@x"}}, "without a user"),
        ({"upstream": {"url": "http://x:99999"}}, "upstream.url must be http"),
        ({"upstream": {"url": "http://x/a b"}}, "upstream.url must be http"),
        ({"upstream": {"url": 'http://h"x'}}, "upstream.url must be http"),
        ({"upstream": {"url": "http://[::1:5001"}}, "upstream.url must be http"),
        ({"log": {"exports": [{"to": "syslog", "address": "udp://[::1:514"}]}}, "log.exports 1: a syslog server"),
        ({"log": {"exports": [{"to": "otlp", "address": "http://[::1:1"}]}}, "log.exports 1: address must be"),
        ({"log": {"exports": [{"to": "file", "path": "a\0b"}]}}, "log.exports 1.path has a character of code 0"),
        ({"guard": {"state": "a\0b"}}, "guard.state has a character of code 0"),
        ({"guard": {"state": "a\ud800b"}}, "guard.state has a character of code 55296"),
        ({"guard": {"listen": "127.0.0.1:\u00b2"}}, "HOST:PORT"),
        ({"guard": {"listen": "127.0.0.1:" + "9" * 5000}}, "HOST:PORT"),
        ({"tiers": {"basic": {"rate": "9" * 5000 + " per second"}}}, "tiers.basic.rate"),
        ({"tiers": {"basic": {"rate": "1 per second, burst " + "9" * 5000}}}, "tiers.basic.rate"),
        ({"guard": {"drain_s": INF}}, "guard.drain_s must be a finite number, got inf"),
        ({"guard": {"read_timeout_s": NAN}}, "guard.read_timeout_s must be a finite number, got nan"),
        ({"upstream": {"timeout_s": INF}}, "upstream.timeout_s must be a finite number"),
        ({"actions": {"delay_s": [600, INF]}}, "actions.delay_s 2 must be a finite number"),
        ({"routes": [{"protocol": "mlflow", "step": NAN}]}, "routes 1.step must be a finite number"),
        ({"routes": [{"protocol": "mlflow", "scales": [1.0, -INF]}]}, "routes 1.scales 2 must be a finite number"),
        ({"neighbourhood": {"radius": INF}}, "neighbourhood.radius must be a finite number"),
        ({"detectors": {"near-duplicates": {"tau": NAN}}}, "detectors.near-duplicates.tau must be a finite number"),
        ({"detectors": {"volume": {"threshold": INF}}}, "detectors.volume.threshold must be a finite number"),
        (
            {"tiers": {"basic": {"controls": [{"name": "keyed-noise", "scale": NAN}]}}},
            "tiers.basic.controls 1.scale must be a finite number",
        ),
        (
            {"log": {"exports": [{"to": "otlp", "address": "http://x", "every_s": INF}]}},
            "log.exports 1.every_s must be a finite number",
        ),
        ({"guard": {"drain_s": 86_401.0}}, "guard.drain_s must be at most 86,400, got 86401: "),
        ({"guard": {"read_timeout_s": 1e9}}, "guard.read_timeout_s must be at most 86,400"),
        ({"upstream": {"timeout_s": 1e9}}, "upstream.timeout_s must be at most 86,400"),
        ({"actions": {"delay_s": [0, 1e9]}}, "actions.delay_s must be at most 86,400"),
        (
            {"log": {"exports": [{"to": "otlp", "address": "http://x", "every_s": 1e9}]}},
            "log.exports 1.every_s must be at most 86,400",
        ),
        (
            {"oidc": OIDC | {"leeway_s": 601}},
            "oidc.leeway_s must be at most 600, got 601: a token opens for so long after its end",
        ),
        ({"oidc": OIDC | {"leeway_s": -1}}, "oidc.leeway_s must be at least 0"),
        ({"upstream": {"timeout_s": 10**400}}, "upstream.timeout_s"),
        ({"detectors": {"volume": NESTED}}, "nested too deeply"),
        ({"routes": []}, "at least one"),
        ({"routes": [{"protocol": "grpc"}]}, "grpc"),
        ({"tiers": {"basic": {"rate": "fast"}}}, "tiers.basic.rate"),
        ({"tiers": {"basic": {"budget": {"per_day": 0}}}}, "per_day must be at least 1"),
        ({"guard": {"listen": "8080"}}, "HOST:PORT"),
        ({"guard": {"workers": 0}}, "guard.workers must be at least 1"),
        ({"guard": {"workers": "two"}}, "workers"),
        ({"store": {"lease": 0}}, "store.lease must be at least 1"),
        ({"routes": [{"protocol": "mlflow", "width": 0}]}, "routes 1.width must be at least 1"),
        ({"routes": [{"protocol": "mlflow", "shape": [28, 0]}]}, "routes 1.shape must be at least 1"),
        ({"store": {"kind": "mysql"}}, "mysql"),
    ],
)
def test_what_no_guard_could_serve_is_refused_with_its_place(tmp_path, changes, said):
    with pytest.raises(PolicyError, match=said):
        policy(tmp_path, **changes)


TIER = {"budget": {"per_day": 5}}
NEAR = {"budget": {"per_day": 5, "per_neighbourhood": 3}}
STEP = {"name": "value-rounding", "step": 0.5}
KEYED = TIER | {"controls": [{"name": "keyed-noise", "scale": 0.1}]}
CLOSED = [{"protocol": "mlflow", "features": ["a"]}]


OPENAI, EMBEDDING = [{"protocol": "openai"}], [{"protocol": "openai", "name": "words", "embeddings": True}]
ASKS = {"parameters": ["logprobs"], "controls": [{"name": "no-logprobs"}]}
APART, LATER = ", an hour apart at the earliest", "begin 10 to 120 minutes later"
JSON = {"protocol": "json", "records": "/x", "outputs": {"/p": "probabilities"}}


def noise(scale):
    return [{"name": "keyed-noise", "scale": scale}]


def noisy(*scales):
    return {f"a{place}": TIER | {"controls": noise(scale)} for place, scale in enumerate(scales)}


TABULAR = [
    {"protocol": "mlflow"},
    {"protocol": "open-inference-v2"},
    {"protocol": "kserve-v1"},
    {"protocol": "json", "path": "/p", "records": "/x", "outputs": {"/p": "probabilities"}},
]


@pytest.mark.parametrize(
    ("changes", "place", "said"),
    [
        ({"tiers": {}}, "tiers", "there is none"),
        ({"tiers": {"a": {}}}, "tiers.a", "no budget"),
        ({"tiers": {"a": {"budget": {"per_day": 9, "lifetime": 5}}}}, "tiers.a", "says nothing"),
        ({"tiers": {"a": TIER | {"controls": [{"name": "temperature"}]}}}, "tiers.a.controls", "monotone"),
        ({"tiers": {"a": TIER | {"controls": [{"name": "noise"}]}}}, "tiers.a.controls", "averaged away"),
        ({"tiers": {"a": TIER | {"controls": [{"name": "rounding", "decimals": 7}]}}}, "tiers.a.controls", "decimals"),
        ({"tiers": {"a": TIER | {"controls": [{"name": "roundin"}]}}}, "tiers.a.controls", "did you mean 'rounding'"),
        (
            {"routes": [{"protocol": "mlflow", "answers": "labels"}]},
            "tiers.basic.controls",
            "rounding does nothing: no route answers with probabilities",
        ),
        ({"upstream": {"url": "http://127.0.0.1:0"}}, "upstream.url", "would ask itself"),
        (
            {"tiers": {"a": TIER | {"controls": [{"name": "value-rounding", "step": 1.0}]}}},
            "tiers.a.controls",
            "nothing",
        ),
        ({"tiers": {"a": TIER | {"controls": [{"name": "no-logprobs"}]}}}, "tiers.a.controls", "no route has protocol"),
        (
            {
                "routes": [{"protocol": "openai"}],
                "tiers": {"a": TIER | {"controls": [{"name": "allowed-parameters", "allow": ["*"]}]}},
            },
            "tiers.a.controls",
            "allows everything",
        ),
        ({"tiers": {"a": TIER | {"parameters": ["echo", "logprobs"]}}}, "tiers.a.parameters", "scores any text"),
        (
            {
                "routes": [{"protocol": "mlflow", "classes": 3}],
                "tiers": {"a": TIER | {"controls": [{"name": "top-k", "k": 3}]}},
            },
            "tiers.a.controls",
            "top-k",
        ),
        ({"routes": [{"protocol": "mlflow"}, {"protocol": "mlflow"}]}, "routes", "one name"),
        ({"routes": [{"protocol": "json", "path": "/p"}]}, "routes 1", "JSON pointer"),
        ({"routes": [{"protocol": "mlflow", "scales": [1.0, 0.0]}]}, "routes 1", "above 0"),
        ({"guard": {"admin": "0.0.0.0:9", "admin_token": "env:T"}}, "guard.admin", "loopback"),
        ({"guard": {"admin": "127.0.0.1:9"}}, "guard.admin_token", "needs one"),
        ({"routes": [{"protocol": "mlflow", "path": "invocations"}]}, "routes 1", "write '/invocations'"),
        ({"routes": [{"protocol": "openai", "path": "v1"}]}, "routes 1", "write '/v1'"),
        ({"detectors": {"near-duplicate": {}}}, "detectors", "did you mean"),
        ({"actions": {"delay_s": [60, 5]}}, "actions.delay_s", "the least first"),
        ({"actions": {"ladder": ["suspend"], "delay_s": [0, 1]}}, "actions.delay_s", "which query was noticed"),
        *(
            ({"routes": [route], "tiers": {"a": tier}}, "tiers.a", "set the route's features")
            for route in (*TABULAR, {"protocol": "open-inference-v2", "shape": [12]})
            for tier in (NEAR, KEYED)
        ),
        ({"routes": [{"protocol": "mlflow", "answers": "labels"}], "tiers": {"a": NEAR}}, "tiers.a", "features"),
        ({"routes": [{"protocol": "mlflow", "features": ["a", "a"]}]}, "routes 1", "twice"),
        ({"routes": [{"protocol": "mlflow", "features": ["a"], "scales": [1.0, 2.0]}]}, "routes 1", "1 values by"),
        ({"routes": [{"protocol": "mlflow", "shape": [2, 2], "scales": [1.0]}]}, "routes 1", "4 values by"),
        ({"routes": [{"protocol": "mlflow", "shape": [2], "features": ["a", "b"]}]}, "routes 1", "at most"),
        ({"routes": [{"protocol": "mlflow", "models": ["m"]}]}, "routes 1", "models says nothing"),
        ({"routes": [{"protocol": "openai", "features": ["m"]}]}, "routes 1", "features says nothing"),
        ({"routes": [{"protocol": "open-inference-v2", "path": "/v2"}]}, "routes 1", "the one model"),
        *(
            ({"routes": [route], "actions": {"ladder": ["alert", "tighten"]}}, "actions.ladder", "labels only")
            for route in (
                {"protocol": "mlflow", "answers": "values"},
                {"protocol": "mlflow", "outputs": {"p": "probabilities", "y": "values"}},
                {"protocol": "openai", "embeddings": True},
            )
        ),
        ({"oidc": {"issuer": "i", "audience": "a", "jwks": "https://i", "algorithms": ["HS256"]}}, "oidc.alg", "HS256"),
        ({"oidc": {"issuer": "i", "audience": "a", "jwks": "https://i", "algorithms": ["none"]}}, "oidc.alg", "none"),
        ({"oidc": {"issuer": "i", "audience": "a", "jwks": "http://i"}}, "oidc.jwks", "https"),
        (
            {"upstream": {"authorization": "env:UNSEEN_GUARD_SECRET"}},
            "upstream.authorization",
            "env:UNSEEN_GUARD_SECRET is guard.secret too",
        ),
        (
            {"guard": {"admin": "127.0.0.1:9", "admin_token": "env:X"}, "store": {"kind": "redis", "url": "env:X"}},
            "store.url",
            "env:X is guard.admin_token too",
        ),
        (
            {"guard": {"secret": "file:a/../s"}, "upstream": {"authorization": "file:s"}},
            "upstream.authorization",
            "file:s is guard.secret too",
        ),
        (
            {
                "upstream": {"authorization": "env:X"},
                "log": {"exports": [{"to": "otlp", "address": "https://x", "authorization": "env:X"}]},
            },
            "log.exports 1.authorization",
            "env:X is upstream.authorization too",
        ),
    ],
)
def test_useless_and_dangerous_settings_are_refused_with_the_reason(tmp_path, changes, place, said):
    read = policy(tmp_path, **changes)
    found = [finding for finding in findings(read) if finding.refused]
    assert any(finding.place.startswith(place) and said in finding.sentence for finding in found), found
    with pytest.raises(PolicyError):
        refuse_useless(read)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"guard": {"mode": "shadow"}}, "nothing is refused"),
        ({"guard": {"listen": "0.0.0.0:80"}}, "no TLS"),
        ({"guard": {"strict": False}}, "leave as they come"),
        ({"upstream": {"url": "http://model.example"}}, "in clear"),
        ({}, "probing is not noticed"),
        (
            {
                "routes": [{"protocol": "mlflow", "features": ["a"]}],
                "tiers": {"basic": {"budget": {"per_day": 5, "per_neighbourhood": 3}}},
            },
            "set scales",
        ),
        (
            {"routes": [{"protocol": "open-inference-v2", "features": ["x"]}], "tiers": {"basic": NEAR}},
            "any number of values",
        ),
        ({"routes": [{"protocol": "open-inference-v2"}]}, "set path, such as '/v2/models/credit'"),
        ({"routes": [{"protocol": "kserve-v1"}]}, "set path, such as '/v1/models/credit'"),
        *(
            ({"upstream": {"url": f"http://127.0.0.1:1{path}"}}, "the guard adds the path of each route to it")
            for path in ("/invocations", "/a/invocations/", "/v1", "/v2/", "/v2/models/credit/infer", "/v1/embeddings")
        ),
        (
            {"upstream": {"url": "http://127.0.0.1:1/ask"}, "routes": [JSON | {"path": "/ask"}]},
            "it would ask http://127.0.0.1:1/ask/ask",
        ),
        (
            {"routes": CLOSED, "detectors": {"near-duplicates": {"tau": 1.0}}},
            "near-duplicates measure distance in the features'",
        ),
        ({"routes": OPENAI, "tiers": {"a": TIER | {"parameters": ["logprob"]}}}, "did you mean 'logprobs'?"),
        (
            {"routes": OPENAI, "tiers": {"a": TIER | ASKS}},
            "logprobs asks for what the control no-logprobs takes out",
        ),
        (
            {"budgets": {"total": {"per_day": 4}}, "tiers": {"a": TIER}},
            "4 records a day for everybody together are fewer than the 5 of one key of tier a",
        ),
        ({"budgets": {"total": {}}}, "it sets no limit"),
        ({"budgets": {"tenant": {}}}, "it sets no limit"),
        (
            {"routes": EMBEDDING, "tiers": {"a": TIER}},
            "on route words: no control here is for values; add { name = 'value-rounding', step = ... }",
        ),
        ({"tiers": {"open": TIER}}, "probabilities leave as the model gives them"),
        ({"routes": CLOSED, "tiers": noisy(0.1, 0.3, 0.5)}, "3 draws of its noise"),
        (
            {"routes": CLOSED, "tiers": noisy(0.1) | {"b": TIER | {"controls": [{"name": "label-only"}, *noise(0.1)]}}},
            "2 draws of its noise",
        ),
    ],
)
def test_what_is_unwise_is_said_and_starts(tmp_path, changes, said):
    read = policy(tmp_path, **changes)
    refuse_useless(read)
    assert any(said in finding.sentence for finding in findings(read)), findings(read)


@pytest.mark.parametrize(
    "changes",
    [
        {"upstream": {"url": "http://127.0.0.1:1/serving-endpoints/credit"}},
        {"upstream": {"url": "http://127.0.0.1:1/v1/credit"}},
        {"routes": [CLOSED[0] | {"scales": [2.0]}], "detectors": {"near-duplicates": {"tau": 1.0}}},
        {"routes": OPENAI, "tiers": {"a": TIER | {"parameters": ["logprobs", "seed", "top_k", "dimensions"]}}},
        {"budgets": {"total": {"per_day": 5000}, "tenant": {"lifetime": 5000}}},
        {"budgets": {"total": {"lifetime": 5000}}},
    ],
)
def test_what_fits_together_has_no_note_of_its_own(tmp_path, changes):
    changes = {"detectors": {"volume": {}}, "tiers": {"a": TIER}} | changes
    noted = [finding.sentence for finding in findings(policy(tmp_path, **changes))]
    assert not [sentence for sentence in noted if "leave as the model gives them" not in sentence]


def test_embeddings_are_named_where_nothing_hides_them(tmp_path):
    found = findings(policy(tmp_path, routes=EMBEDDING, tiers={"a": TIER}))
    assert any(finding.sentence.startswith("embeddings leave exactly as the model gives them") for finding in found)


def test_embeddings_are_of_openai_routes_alone(tmp_path):
    read = policy(tmp_path, routes=[{"protocol": "mlflow", "embeddings": True}], tiers={"a": TIER})
    assert any("probabilities leave as the model" in finding.sentence for finding in findings(read))
    assert "embeddings" not in explain(read)


def test_kinds_of_answers_that_nothing_hides_are_said_in_words(tmp_path):
    tiers = {"a": TIER | {"controls": [{"name": "rounding", "decimals": 2}]}}
    found = findings(policy(tmp_path, routes=[*CLOSED, *EMBEDDING], tiers=tiers))
    said = "no control here is for values, so those for probabilities do nothing there."
    assert any(finding.refused and finding.sentence.endswith(said) for finding in found), found


@pytest.mark.parametrize(
    ("controls", "said"), [([], "exactly as the model gives them"), ([STEP], "through value-rounding")]
)
def test_the_explanation_says_how_embeddings_leave(tmp_path, controls, said):
    tiers = {"a": TIER | {"controls": controls}}
    text = explain(policy(tmp_path, routes=[*OPENAI, *EMBEDDING], tiers=tiers))
    assert "words (openai; answers are texts and embeddings)" in text
    assert f"  gets embeddings on route words {said};\n" in text
    assert "gets embeddings" not in explain(policy(tmp_path, routes=OPENAI, tiers={"a": TIER}))


@pytest.mark.parametrize(
    ("ladder", "said"),
    [
        (["log", "alert"], f"to log, then alert{APART}; log and alert are written at once."),
        (["alert"], "to alert; alert is written at once."),
        (
            ["alert", "tighten", "suspend"],
            f"to alert, then tighten, then suspend{APART}; alert is written at once; tighten and suspend {LATER}.",
        ),
        (["suspend"], f"to suspend; suspend {LATER.replace('begin', 'begins')}."),
    ],
)
def test_the_explanation_says_which_steps_come_at_once(tmp_path, ladder, said):
    text = explain(policy(tmp_path, detectors={"volume": {}}, actions={"ladder": ladder}))
    assert f"Probing is looked for (volume). Sightings of one client lead {said}" in text


@pytest.mark.parametrize("tiers", [noisy(0.1), noisy(0.1, 0.1, 0.1), noisy(0.1) | {"b": TIER}])
def test_one_strength_is_one_draw(tmp_path, tiers):
    read = policy(tmp_path, routes=CLOSED, tiers=tiers)
    assert not any("draws" in finding.sentence for finding in findings(read))
    assert "2 draws" in explain(policy(tmp_path, routes=CLOSED, tiers=noisy(0.1, 0.2)))


def test_noise_after_a_label_does_not_tell_the_noise_of_another_tier():
    key, row, query = b"k" * 32, np.array([[0.7, 0.2, 0.1]]), [b"q"]
    (alone,) = hardenings(noise(0.5), key)
    label, after = hardenings([{"name": "label-only"}, *noise(0.5)], key)
    share = 1 - after(label(row), query)[0, 0]  # the label is 1 before the noise, so this is the share that it takes
    assert abs(alone(row, query)[0, 0] - 0.7 * (1 - share)) > 1e-3
    first, again = (hardenings([*noise(0.1), *noise(0.5)], key) for _ in range(2))
    assert np.array_equal(first[1](row, query), again[1](row, query))
    assert np.array_equal(hardenings([{"name": "no-logprobs"}, *noise(0.5)], key)[1](row, query), alone(row, query))


def test_the_explanation_says_what_is_not_stopped_and_what_each_client_gets(tmp_path):
    text = explain(policy(tmp_path, detectors={"volume": {}}, budgets={"total": {"per_day": 7000}}))
    for sentence in NOT_STOPPED:
        assert sentence in text
    for word in ("tier basic", "1,000 in all", "rounding (decimals = 2)", "7,000 records a day", "strands at most 10"):
        assert word in text
    assert "safe" not in text.lower()


@pytest.mark.parametrize("tier", [NEAR, KEYED])
@pytest.mark.parametrize("route", TABULAR)
def test_a_route_that_names_its_features_may_have_neighbourhoods_and_keyed_noise(tmp_path, route, tier):
    read = policy(tmp_path, routes=[{**route, "features": ["a", "b"]}], tiers={"a": tier})
    refuse_useless(read)
    assert "buys a fresh answer" not in explain(read)


def test_the_explanation_says_what_a_route_without_features_lets_in(tmp_path):
    assert "Route mlflow names no features" in explain(policy(tmp_path))
    assert "buys a fresh answer" not in explain(policy(tmp_path, routes=[{"protocol": "openai"}]))


@pytest.mark.parametrize("text", ["", "10", "10 per day", "0 per second", "1 per second, burst 0", "-1 per second"])
def test_a_rate_is_written_one_way(text):
    with pytest.raises(PolicyError, match="a rate is written"):
        rate_of(text)


def test_files_that_are_no_policy_are_refused_in_one_sentence(tmp_path):
    nested = (
        b"a = " + b"[" * 5000,
        b"a" + b".a" * 5000 + b" = 1",
        b"a = " + b"{a=" * 5000,
        b"[a" + b".a" * 5000 + b"]",
    )
    long = b"[guard]\nworkers = " + b"9" * 5000
    for content in (b"\xff\xfe", b"[guard", b"guard = 1", b"", b"[[routes]]\nprotocol = 'mlflow'", long, *nested):
        path = tmp_path / "policy.toml"
        path.write_bytes(content)
        with pytest.raises(PolicyError) as raised:
            read_policy(path)
        assert "\n" not in str(raised.value)
    with pytest.raises(PolicyError, match="cannot be read"):
        read_policy(tmp_path)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["guard", "upstream", "routes", "tiers", "budget", "controls", "url", "x"]), inner
            )
        ),
        max_leaves=8,
    )
)
def test_whatever_a_policy_says_is_read_or_refused(content):
    if isinstance(content, dict):
        try:
            read = policy_from(content)
        except PolicyError:
            return
        findings(read)


def test_two_exports_may_show_one_secret(tmp_path):
    exports = [{"to": "otlp", "address": f"https://{host}", "authorization": "env:X"} for host in "ab"]
    refuse_useless(policy(tmp_path, log={"exports": exports}))


def test_nothing_is_to_be_said_against_several_workers(tmp_path):
    found = [findings(policy(tmp_path, guard={"workers": count}, detectors={"volume": {}})) for count in (1, 3)]
    assert found[0] == found[1]
