"""The rules that hardening keeps, through every adapter: total, consistent, label-preserving, valid, no back way."""

import asyncio
import hashlib
import json
import os
import re
import subprocess
import sys

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.guard.guards import FakeModel, asked, opened, policy

from unseen.control import SUM_TOLERANCE
from unseen.controls import harden_from
from unseen.controls.coarse import coarse_form, folded
from unseen.controls.label_only import LABEL_ONLY
from unseen.guard.answering import FRACTION, NUMBER, Answering, Controls, marked
from unseen.guard.checking import findings
from unseen.guard.policy import Route
from unseen.guard.protocols import adapter_of
from unseen.guard.question import Question
from unseen.guard.refusal import Refused
from unseen.guard.shape import coarse_forms, vectors
from unseen.guard.upstream import Answer
from unseen.guard.wire import encode

KEY = b"0123456789abcdef"
CONTROLS = [
    [{"name": "rounding", "decimals": 1}],
    [{"name": "rounding", "decimals": 3}],
    [{"name": "label-only"}],
    [{"name": "top-k", "k": 1}],
    [{"name": "clip-confidence", "at_most": 0.9}],
    [{"name": "keyed-noise"}],
    [{"name": "hamp-replacement"}],
    [{"name": "clip-confidence", "at_most": 0.9}, {"name": "rounding", "decimals": 2}, {"name": "no-logprobs"}],
]


def made(controls):
    """Controls with the key that those take which need one."""
    keyed = {"keyed-noise", "hamp-replacement"}
    return [harden_from(one, key=KEY if one["name"] in keyed else b"") for one in controls]


# each protocol: how many records and classes are asked about, and answered; what comes back is the table


class V2:
    route = Route(protocol="open-inference-v2")
    path = "/v2/models/m/infer"

    @staticmethod
    def ask(rows):
        flat = [value for row in rows for value in row]
        return {"inputs": [{"name": "x", "shape": [len(rows), len(rows[0])], "datatype": "FP64", "data": flat}]}

    @staticmethod
    def answer(table):
        flat = [value for row in table for value in row]
        return {"outputs": [{"name": "p", "shape": [len(table), len(table[0])], "datatype": "FP64", "data": flat}]}

    @staticmethod
    def table(content, records):
        return np.array(content["outputs"][0]["data"]).reshape(records, -1).tolist()


class Rows:
    route = Route(protocol="mlflow")
    path = "/invocations"

    @staticmethod
    def ask(rows):
        return {"instances": rows}

    @staticmethod
    def answer(table):
        return {"predictions": table}

    @staticmethod
    def table(content, records):
        return content["predictions"]


class V1(Rows):
    route = Route(protocol="kserve-v1")
    path = "/v1/models/m:predict"


class Columns(Rows):
    """Probabilities in a column for each class."""

    route = Route(protocol="mlflow", outputs={f"c{at:02}": "probabilities" for at in range(12)})

    @staticmethod
    def answer(table):
        return {"predictions": {f"c{at:02}": list(column) for at, column in enumerate(zip(*table, strict=True))}}

    @staticmethod
    def table(content, records):
        return [list(row) for row in zip(*content["predictions"].values(), strict=True)]


class Json(Rows):
    route = Route(protocol="json", path="/p", records="/instances", outputs={"/predictions": "probabilities"})
    path = "/p"


PROTOCOLS = [V2, Rows, V1, Columns, Json]


def hardened(protocol, controls, rows, table):
    """What a client gets for some records: the bytes, and the table in them."""
    adapter = adapter_of(protocol.route)
    question = adapter.read(protocol.path, json.loads(encode(protocol.ask(rows))), frozenset())
    answering = Answering(Controls(controls), coarse_forms(question.rows, protocol.route), strict=True)
    left = encode(adapter.harden(question, json.loads(encode(protocol.answer(table))), answering))
    return left, protocol.table(json.loads(left), len(rows))


@st.composite
def answers(draw, least=1, most=12):
    """Records, and a distribution for each: any, with ties, sure ones, and ones of few digits."""
    records, classes = draw(st.integers(least, most)), draw(st.integers(3, 5))
    weights = st.sampled_from([0, 0, 1, 1, 2, 5, 1000]) | st.integers(0, 10**6)
    row = st.lists(weights, min_size=classes, max_size=classes).filter(any)
    table = [
        [weight / sum(found) for weight in found] for found in draw(st.lists(row, min_size=records, max_size=records))
    ]
    features = st.lists(st.floats(-5, 5), min_size=2, max_size=2)
    return draw(st.lists(features, min_size=records, max_size=records)), table


@settings(deadline=None, derandomize=True, max_examples=150)
@given(answers(), st.sampled_from(CONTROLS), st.sampled_from(PROTOCOLS))
def test_answers_stay_valid_and_keep_their_labels_and_order(asked_about, controls, protocol):
    rows, table = asked_about
    _, left = hardened(protocol, made(controls), rows, table)
    before, after = np.array(table), np.array(left)
    assert before.shape == after.shape
    assert np.isfinite(after).all()
    assert after.min() >= 0
    assert after.max() <= 1
    assert np.abs(after.sum(axis=1) - 1).max() <= SUM_TOLERANCE
    assert (before.argmax(axis=1) == after.argmax(axis=1)).all()
    if all("order" in control.control.keeps for control in made(controls) if control.control.surface != "text"):
        for row, kept in zip(before, after, strict=True):
            overtaken = (row[:, None] > row[None, :]) & (kept[:, None] < kept[None, :])
            assert not overtaken.any()


@settings(deadline=None, derandomize=True, max_examples=80)
@given(answers(least=2), st.sampled_from(CONTROLS), st.sampled_from(PROTOCOLS))
def test_a_batch_gives_what_its_records_give_one_by_one(asked_about, controls, protocol):
    rows, table = asked_about
    _, together = hardened(protocol, made(controls), rows, table)
    alone = [hardened(protocol, made(controls), [row], [answer])[1][0] for row, answer in zip(rows, table, strict=True)]
    assert encode(together) == encode(alone)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(answers(), st.sampled_from(CONTROLS), st.sampled_from(PROTOCOLS), st.data())
def test_nearly_the_same_question_gets_the_same_bytes(asked_about, controls, protocol, data):
    rows, table = asked_about
    centred = [[round(value, 2) for value in row] for row in rows]  # in the middle of a cell of the grid
    nudge = st.floats(-0.004, 0.004)
    near = [[value + data.draw(nudge) for value in row] for row in centred]
    first, _ = hardened(protocol, made(controls), centred, table)
    assert hardened(protocol, made(controls), near, table)[0] == first
    assert hardened(protocol, made(controls), centred, table)[0] == first


def digest():
    """A digest of what every control makes of some fixed answers through every protocol."""
    draw = np.random.default_rng(7)
    rows, table = draw.normal(size=(9, 2)).tolist(), draw.dirichlet(np.ones(4), size=9).tolist()
    found = [hardened(protocol, made(controls), rows, table)[0] for protocol in PROTOCOLS for controls in CONTROLS]
    return hashlib.sha256(b"".join(found)).hexdigest()


def test_another_process_gives_the_same_bytes():
    code = "from tests.guard.test_hardening import digest; print(digest())"
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert run.stdout.strip() == digest()


@settings(deadline=None, derandomize=True)
@given(st.permutations(["a", "b", "c"]))
def test_the_order_of_a_record_s_fields_is_nothing_to_a_client(names):
    route = Route(protocol="mlflow", scales=(1.0, 100.0, 0.1))
    record = {"a": 0.5, "b": 77.0, "c": 3.3}
    other = {name: record[name] for name in names}
    assert coarse_forms([other], route) == coarse_forms([record], route)
    assert vectors([other], route).tolist() == vectors([record], route).tolist()


NUMBERS = (
    st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.sampled_from([10**400, -(10**400), 2**24 + 1, 3.5e38, 3.4028235677973366e38, 1e-46, -1e-46, float("inf")])
)
CELLS = st.lists(NUMBERS, min_size=2, max_size=2) | st.lists(st.floats(-9, 9), min_size=2, max_size=2)


def single(number):
    """A number as a float32 holds it, by NumPy: the other road to it."""
    with np.errstate(over="ignore"):
        try:
            return float(np.float32(float(number)))
        except OverflowError:
            return float("inf") if number > 0 else float("-inf")


@settings(deadline=None, derandomize=True)
@given(st.lists(CELLS, min_size=1, max_size=12), st.sampled_from([(), (0.5, 100.0)]))
def test_the_quick_ways_to_a_coarse_form_give_what_the_slow_one_gives(rows, scales):
    route = Route(protocol="mlflow", scales=scales)
    steps = [route.step * scale for scale in scales or (1.0, 1.0)]
    slow = [coarse_form([single(value) for value in row], steps) for row in rows]
    assert coarse_forms(rows, route) == slow
    assert [coarse_forms([row], route)[0] for row in rows] == slow
    assert coarse_forms([[str(+value) for value in row] for row in rows], route) == [
        coarse_form([single(float(str(+value))) for value in row], steps) for row in rows
    ]
    named = coarse_forms([dict(zip("ab", row, strict=True)) for row in rows], route)
    assert named == [
        coarse_form(dict(zip("ab", map(single, row), strict=True)), dict(zip("ab", steps, strict=True))) for row in rows
    ]


def test_numbers_that_a_float32_does_not_tell_apart_have_one_form_and_one_place():
    route = Route(protocol="mlflow", features=("t",))
    for base, step in ((1_700_000_000, 0.5), (2.0**24, 0.05), (1e300, 1e299), (3.5e38, 1e37)):
        rows = [[base + step * place] for place in range(12)]
        assert len({single(value) for (value,) in rows}) == 1
        for ways in (rows, rows[:3], [{"t": value} for (value,) in rows], [[str(value)] for (value,) in rows]):
            assert len(set(coarse_forms(ways, route))) == 1
            assert len({tuple(point) for point in vectors(ways, route).tolist()}) == 1
        assert coarse_forms(rows[:1], route) == coarse_forms(rows, route)[:1]


def test_a_text_has_one_place_however_it_is_written():
    route = Route(protocol="mlflow", features=("city", "age"), scales=(1.0, 10.0))
    ways = [[city, 41] for city in ("delft", "DELFT", " Delft", "Delft  ", "\uff24elft")]
    assert len(set(coarse_forms(ways, route))) == 1
    assert len({tuple(point) for point in vectors(ways, route).tolist()}) == 1
    assert vectors([["utrecht", 41]], route).tolist() != vectors(ways[:1], route).tolist()


@pytest.mark.parametrize(
    ("told", "text"),
    [
        *((folded, letters * 500_000) for letters in ("\u0316\u0301", "\uff9e\u0301", "\u0f73\u0316")),
        *((folded, "\u0301" * 500_000 + later * 500_000) for later in ("\u0316", "\uff9e", "\u0f73")),
        *((NUMBER.fullmatch, f"1{letter * 1_000_000}x") for letter in "1 .e"),
        *((FRACTION.search, f"1{letter * 1_000_000}x") for letter in "1 "),
    ],
)
def test_no_text_takes_the_square_of_its_length(told, text):
    assert told(text) != text  # at once: the square of its length would take hours


def test_a_row_of_very_many_classes_is_made_anew_for_each_label():
    row = [0.0] * 5_000
    for label in (3, 4_000):
        found = [*row]
        found[label] = 1.0
        assert marked(LABEL_ONLY.with_settings(), found) == found
        assert marked(LABEL_ONLY.with_settings(), found) is not marked(LABEL_ONLY.with_settings(), found)


def test_marks_in_order_and_out_of_order_are_one_text():
    assert folded("e\u0301\u0323") == folded("e\u0323\u0301") == folded("\u1eb9\u0301")
    assert folded("e" + "\u0301" * 40) != folded("e" + "\u0301" * 41)


def test_a_record_that_is_one_text_has_a_form_and_no_place():
    route = Route(protocol="mlflow")
    assert coarse_forms(["  A b", "a  B"], route) == [b'"a b"'] * 2
    assert vectors(["a"], route) is None
    assert vectors([["a", None, 1e300]], route).shape == (1, 3)


@pytest.mark.parametrize("rows", [[{}, 1], [{"a": 1}, 1], [{"a": 1}, []], [[1], {}], [{}, {"a": 1}], [1, {}], ["a", 1]])
@pytest.mark.parametrize("scales", [(), (1.0,)])
def test_records_of_different_kinds_are_read_or_refused(rows, scales):
    route = Route(protocol="mlflow", scales=scales)
    try:
        assert len(coarse_forms(rows, route)) == 2
    except Refused as refused:
        if refused.status != 400:
            raise
    with pytest.raises(Refused) as found:
        vectors(rows, route)
    assert found.value.status == 400


# total: whatever is asked and answered, there is a refusal or an answer without a number that was not hardened

SECRETS = (0.7316, 0.2684)
NAMES = st.sampled_from(
    [
        *("inputs", "outputs", "parameters", "id", "name", "shape", "datatype", "data", "content_type", "a", "b"),
        *("dataframe_split", "dataframe_records", "instances", "columns", "predictions", "messages", "prompt", "input"),
        *("n", "choices", "logprobs", "content", "token_logprobs", "top_logprobs", "tokens", "embedding", "usage"),
        *("message", "delta", "token", "logprob", "text_offset", "encoding_format"),
    ]
)
WORDS = [0, 1, 2, -1, 10**30, 0.5, 1e308, True, None, "", "a", "FP32", "INT64", "BYTES", "np", "base64", "0.5"]
CONTENT = st.recursive(
    st.sampled_from([*WORDS, *SECRETS]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=15,
)
ROUTES = [
    (Route(protocol="open-inference-v2", outputs={"a": "probabilities", "b": "labels"}), V2),
    (Route(protocol="mlflow", outputs={"a": "probabilities", "b": "labels"}), Rows),
    (Route(protocol="json", path="/p", records="#", outputs={"/a": "probabilities", "/b/0": "labels"}), Json),
    *((protocol.route, protocol) for protocol in PROTOCOLS),
]
CHANGING = [one for one in CONTROLS if one[-1]["name"] not in {"top-k", "clip-confidence"}]  # these may leave a number
TEXTS = Route(protocol="openai", embeddings=True)


@settings(deadline=None, derandomize=True, max_examples=400)
@given(CONTENT, CONTENT, st.sampled_from(ROUTES), st.sampled_from(CHANGING), st.booleans())
def test_no_number_leaves_as_it_came(content, answer, route, controls, sensible):
    route, protocol = route
    adapter = adapter_of(route)
    try:
        asked_about = protocol.ask([[1.0, 2.0]]) if sensible else content
        question = adapter.read(protocol.path, asked_about, frozenset())
        forms = coarse_forms(question.rows, route)
    except Refused as refused:
        if refused.status != 400:
            raise
        return
    encode(question.body)
    try:
        left = encode(adapter.harden(question, answer, Answering(Controls(made(controls)), forms, strict=True)))
    except Refused as refused:
        if refused.status != 502:
            raise
        return
    assert not any(str(secret).encode() in left for secret in SECRETS)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(CONTENT, CONTENT, st.sampled_from(["chat/completions", "completions", "embeddings"]), st.booleans())
def test_no_number_about_a_text_leaves_as_it_came(content, answer, end, sensible):
    adapter, path = adapter_of(TEXTS), f"/v1/{end}"
    field, said = {"c": ("messages", [{}]), "e": ("input", "a")}.get(end[0], ("", ""))
    field, said = ("prompt", "a") if end == "completions" else (field, said)
    try:
        question = adapter.read(path, {field: said} if sensible else content, frozenset({"n"}))
    except Refused as refused:
        if refused.status != 400:
            raise
        return
    controls = made([{"name": "cap-logprobs"}, {"name": "value-rounding", "step": 1.0}])
    answering = Answering(Controls(controls), coarse_forms(question.rows, TEXTS), strict=True)
    for given_answer in (answer, {"choices": [answer], "data": [{"embedding": [answer]}]}):
        try:
            left = encode(adapter.harden(question, given_answer, answering))
        except Refused as refused:
            if refused.status != 502:
                raise
            continue
        assert not any(str(secret).encode() in left for secret in SECRETS)


# no back way


@pytest.mark.parametrize(
    "control",
    [
        {"name": "temperature", "temperature": 4},
        {"name": "noise"},
        {"name": "rounding", "decimals": 9},
        {"name": "keyed-noise", "scale": 0.0},
    ],
)
def test_settings_that_can_be_undone_are_refused(tmp_path, control):
    tiers = {"basic": {"budget": {"lifetime": 9}, "controls": [control]}}
    assert any(finding.refused for finding in findings(policy(tmp_path, tiers=tiers)))


class Loud(FakeModel):
    """Answers with the probability that it is asked about, in as many digits as that has."""

    async def ask(self, path, body):
        value = msgspec.json.decode(body)["instances"][0][0]
        return Answer(200, msgspec.json.encode({"predictions": [[value, 1 - value]], "ms": value, "x" * 50: "y" * 60}))


def test_an_answer_s_length_and_headers_tell_nothing_of_its_digits(tmp_path):
    async def run():
        async with opened(policy(tmp_path), Loud()) as gateway:
            _, key = gateway.state.keys.add(tenant="acme", tier="basic")
            values = [0.5, 0.25, 0.123456789, 1.0, 0.999999999999, 1e-9]
            return [await asked(gateway, encode({"instances": [[value]]}), key=key) for value in values]

    found = asyncio.run(run())
    assert {status for status, _, _ in found} == {200}
    assert {len(body) for _, _, body in found} == {128}
    for _, headers, body in found:
        assert headers.keys() == {"content-type", "content-length", "x-request-id", "cache-control"}
        assert json.loads(body).keys() == {"predictions"}
        assert re.fullmatch("[0-9a-f]{16}", headers["x-request-id"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_an_upstream_says_of_an_error_stays_with_it(protocol):
    question = Question(protocol.path, 1, [], {})
    for said in ({"error": "record 7 is in the training data"}, {"detail": [0.7316]}, "0.7316", [0.7316, "a"], 7, None):
        with pytest.raises(
            Refused, match=r"^The model's answer was not one that the policy describes; it was withheld\.$"
        ):
            adapter_of(protocol.route).harden(question, said, Answering(Controls(made(CONTROLS[0])), [], strict=True))
