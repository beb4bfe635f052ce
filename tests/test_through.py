"""An audit over HTTP gives the numbers of one in the process; through a policy it sees what the policy lets through."""

import json
import re

import numpy as np
import polars as pl
import pytest
import skops.io
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from tests.endpoints import mlflow, open_inference, send, served
from typer.testing import CliRunner

import unseen
from unseen.cli.main import app
from unseen.costing import task_of_plan
from unseen.errors import FolderError, ModelError, PlanError, TargetFailed, TargetStopped
from unseen.options import quiet
from unseen.plan import parse_plan, read_plan
from unseen.planned import plan_options
from unseen.recipes.estimator import EstimatorRecipe
from unseen.recipes.hardened import HardenedRecipe
from unseen.saved import read_saved
from unseen.through import through_plan

N = 150
NAMES = ["a", "b", "c", "d"]
X, Y = make_classification(2 * N, 4, n_informative=3, n_redundant=0, flip_y=0.3, random_state=0)
MODEL = RandomForestClassifier(10, random_state=0).fit(X[:N], Y[:N])
TARGET = 'url = "{url}"\nprotocol = "{protocol}"\nrequests_per_second = 10000.0\n'
REST = """
[data]
members = "members.csv"
non_members = "non_members.csv"
label = "label"
id = "id"

[references]
count = 3
workers = 1

[attacks]
only = ["lira-online", "loss", "gap", "noise-robustness"]
copies = 2
"""
KEY = "Rumpelstilzchen"


@pytest.fixture
def home(tmp_path):
    for name, rows in (("members", slice(0, N)), ("non_members", slice(N, 2 * N))):
        ids = [f"{name}-{i}" for i in range(N)]
        pl.DataFrame(X[rows], schema=NAMES).with_columns(id=pl.Series(ids), label=pl.Series(Y[rows])).write_csv(
            tmp_path / f"{name}.csv"
        )
    skops.io.dump(MODEL, tmp_path / "model.skops")
    return tmp_path


def plan(home, target, rest=REST):
    path = home / "plan.toml"
    path.write_text(f"[target]\n{target}{rest}")
    return path


def numbers(report):
    return [(one.name, one.state, one.estimates) for one in report.attacks]


def labels_only(rows):
    return MODEL.predict(rows)


def rounded(rows):
    return np.round(MODEL.predict_proba(rows), 1)


@pytest.mark.parametrize(("protocol", "speak"), [("mlflow", mlflow), ("open-inference-v2", open_inference)])
def test_an_audit_over_http_gives_the_numbers_of_one_in_the_process(home, protocol, speak):
    local = unseen.audit_plan(plan(home, 'model = "model.skops"\n'), folder=home / "local")
    with served(speak(MODEL.predict_proba), "/v2/models/m/infer") as seen:
        target = TARGET.format(url=seen.url, protocol=protocol) + 'model = "model.skops"\n'
        remote = unseen.audit_plan(plan(home, target), folder=home / "remote")
    assert numbers(remote.report) == numbers(local.report)
    assert remote.report.target.access == local.report.target.access
    assert remote.report.target.kind == f"endpoint ({protocol})"
    assert remote.report.target.queries == local.report.target.queries
    assert any("different records in" in note for note in remote.report.notes)


def test_a_recipe_makes_the_references_of_an_endpoint(home):
    (home / "forest.py").write_text(
        "from sklearn.ensemble import RandomForestClassifier\n\n\n"
        "def train(features, labels, seed):\n"
        "    return RandomForestClassifier(10, random_state=seed).fit(features, labels)\n"
    )
    with served(mlflow(MODEL.predict_proba)) as seen:
        target = TARGET.format(url=seen.url, protocol="mlflow") + "classes = [0, 1]\n"
        rest = REST + '\n[recipe]\nuse = "forest:train"\ntrust = true\n'
        outcome = unseen.audit_plan(plan(home, target, rest), folder=home / "run")
    assert outcome.report.references.finished == 3
    with pytest.raises(PlanError, match="cannot be retrained by itself"):
        unseen.audit_plan(plan(home, target), folder=home / "other")


def test_a_budget_that_ends_an_audit_continues_it_later_with_the_same_report(home):
    answered = {"left": 2}

    def reply(handler, body, turn):
        if answered["left"] == 0:
            send(handler, 403, b"{}")
        else:
            answered["left"] -= 1
            mlflow(MODEL.predict_proba)(handler, body, turn)

    with served(mlflow(MODEL.predict_proba)) as seen:
        target = TARGET.format(url=seen.url, protocol="mlflow") + "classes = [0, 1]\n"
        rest = REST.replace("count = 3", "count = 0")
        at_once = unseen.audit_plan(plan(home, target, rest), folder=home / "at-once")
        asked = seen.records
    with served(reply) as seen:
        target = TARGET.format(url=seen.url, protocol="mlflow") + "classes = [0, 1]\n"
        path = plan(home, target, rest)
        with pytest.raises(TargetStopped, match="200 of 300 records in question were answered and kept"):
            unseen.audit_plan(path, folder=home / "run")
        answered["left"] = 2  # in the middle of the changed copies
        with pytest.raises(TargetStopped, match="kept"):
            unseen.audit_plan(path, folder=home / "run")
        answered["left"] = -1
        outcome = unseen.audit_plan(path, folder=home / "run")
        refused = sum(len(body["dataframe_split"]["data"]) for _, _, body in seen.requests) - asked
    assert numbers(outcome.report) == numbers(at_once.report)
    assert refused == 200  # the two requests that were not answered
    assert any("2 x HTTP 403" in note for note in outcome.report.notes)


def test_a_folder_that_is_no_run_gets_no_ledger(home):
    (home / "letters").mkdir()
    (home / "letters" / "mine.txt").write_text("keep")
    path = plan(home, TARGET.format(url="http://127.0.0.1:1/x", protocol="mlflow") + "classes = [0, 1]\n")
    with pytest.raises(FolderError, match="not a run"):
        unseen.audit_plan(path, folder=home / "letters")
    assert [one.name for one in (home / "letters").iterdir()] == ["mine.txt"]


def test_a_policy_that_gives_labels_only_leaves_label_only_attacks_and_says_what_it_took_away(home):
    with served(mlflow(MODEL.predict_proba)) as direct, served(mlflow(labels_only)) as gateway:
        target = TARGET.format(url=direct.url, protocol="mlflow") + 'model = "model.skops"\n'
        rest = REST.replace(', "gap", "noise-robustness"', "")  # they run all the same
        path = plan(home, target, rest)
        pair = unseen.audit_plan_through(path, gateway.url)
        asked = direct.records, gateway.records
        ran = CliRunner().invoke(app, ["audit", str(path), "--through", gateway.url])
        assert (direct.records, gateway.records) == asked  # the second run finds every answer in the ledgers
    states = {one.name: one.state for one in pair.through.report.attacks}
    assert states["gap"] == states["noise-robustness"] == "leak"
    assert states["lira-online"] == states["loss"] == "not_applicable"
    assert pair.direct.report.target.access == ["decision scores", "labels", "probabilities"]
    assert pair.through.report.target.access == ["labels"]
    compared = {one.attack for one in pair.comparison.differences}
    assert compared == {"gap", "noise-robustness"}
    assert all(one.rise.value == 0 for one in pair.comparison.differences)
    assert asked[0] == asked[1]
    assert ran.exit_code == 1, ran.output
    assert "No more possible through the policy: lira-online" in re.sub(r"\s+", " ", ran.output)
    assert "What the policy changes" in ran.output
    run = home / "unseen-run"
    pages = {f"comparison.{form}" for form in ("json", "html", "md")}
    assert {one.name for one in run.iterdir()} == {"direct", "through", "references", "plan.toml", *pages}
    assert read_saved(run / "through").report.state == pair.through.report.state
    assert json.loads((run / "comparison.json").read_bytes())["state"] == pair.comparison.state


@pytest.mark.parametrize(
    ("status", "content", "kind", "error", "says"),
    [
        (400, b"{}", "application/json", TargetFailed, "refused a request (HTTP 400)"),
        (404, b"{}", "application/json", ModelError, "no endpoint at that url"),
        (200, b"blocked", "text/html", ModelError, "text/html, not JSON"),
    ],
)
def test_a_policy_that_turns_changed_copies_away_stops_the_audit_and_is_asked_again(
    home, status, content, kind, error, says
):
    known, closed = {tuple(row) for row in X.tolist()}, [True]
    answer = mlflow(MODEL.predict_proba)

    def gate(handler, body, turn):
        rows = body["dataframe_split"]["data"]
        if closed[0] and not known.issuperset(map(tuple, rows)):
            send(handler, status, content, kind)
        else:
            answer(handler, body, turn)

    with served(answer) as direct, served(gate) as gateway:
        rest = REST.replace("count = 3", "count = 0").replace('"lira-online", ', "")
        path = plan(home, TARGET.format(url=direct.url, protocol="mlflow") + "classes = [0, 1]\n", rest)
        with pytest.raises(error, match=re.escape(says)):
            unseen.audit_plan_through(path, gateway.url)
        asked = gateway.records
        closed[0] = False
        pair = unseen.audit_plan_through(path, gateway.url)
        assert gateway.records == direct.records + asked - 2 * N
    assert {one.name for one in pair.through.report.attacks if not one.estimates} == set()


def test_references_answer_as_the_known_policy_lets_them(home):
    def step(declared, *, key=None):
        if declared != {"name": "rounding", "decimals": 1}:
            raise PlanError("unknown control.")
        return lambda probabilities, queries=None: np.round(probabilities, declared["decimals"])

    plain = EstimatorRecipe(MODEL)
    recipe = HardenedRecipe(plain, [{"name": "rounding", "decimals": 1}], step)
    answers = recipe.refit(X[:N], Y[:N], 3).answer(X[:N])
    wanted = np.round(np.exp(plain.refit(X[:N], Y[:N], 3).answer(X[:N]).log_probs), 1)
    assert np.allclose(np.exp(answers.log_probs), wanted)
    assert recipe.fingerprint() != plain.fingerprint()
    assert recipe.fingerprint() == HardenedRecipe(plain, [{"name": "rounding", "decimals": 1}], step).fingerprint()
    with pytest.raises(PlanError, match="unknown control"):
        HardenedRecipe(plain, [{"name": "unheard-of"}], step)


def test_a_keyed_control_gets_another_key_for_each_reference():
    keys = []

    def step(_declared, *, key=None):
        if key is None:
            raise PlanError("it needs a key.")
        keys.append(key)
        return lambda probabilities, queries=None: probabilities + 0 * len(queries)

    recipe = HardenedRecipe(EstimatorRecipe(MODEL), [{"name": "noise"}], step)
    for seed in (1, 2, 2):
        recipe.refit(X[:N], Y[:N], seed).answer(X[:N])
    assert len(keys) == 4
    assert keys[2] == keys[3]
    assert len(set(keys)) == 3


def test_a_regressor_behind_controls_and_a_model_without_probabilities():
    from sklearn.linear_model import LinearRegression, RidgeClassifier

    def step(_declared, *, key=None):
        return lambda answers, queries=None: np.round(answers)

    values = HardenedRecipe(EstimatorRecipe(LinearRegression()), [{}], step).refit(X, X[:, 0], 0).answer(X).value
    assert np.array_equal(values, np.round(X[:, 0]))
    with pytest.raises(ModelError, match="gives none"):
        HardenedRecipe(EstimatorRecipe(RidgeClassifier()), [{}], step).refit(X, Y, 0).answer(X)


def test_an_audit_through_rounding_trains_references_that_round(home):
    with served(mlflow(MODEL.predict_proba)) as direct, served(mlflow(rounded)) as gateway:
        target = TARGET.format(url=direct.url, protocol="mlflow") + 'model = "model.skops"\n'
        through = f'\n[through]\nurl = "{gateway.url}"\ncontrols = [{{ name = "rounding", decimals = 1 }}]\n'
        path = plan(home, target, REST + through)
        pair = unseen.audit_plan_through(path)
        with pytest.raises(PlanError, match="audit_plan_through"):
            unseen.audit_plan(path)
        ran = CliRunner().invoke(app, ["audit", str(path), "--json"])
    assert len(list((home / "unseen-run" / "references").iterdir())) == 2  # hardened ones are others
    assert {one.attack for one in pair.comparison.differences} >= {"lira-online", "loss", "gap", "noise-robustness"}
    assert json.loads(ran.stdout)["schema"].endswith("comparison-1.json")
    assert pair.through.report.provenance.plan["target"]["url"] == gateway.url


def test_a_model_file_stands_beside_the_policy_in_front_of_it_and_each_side_runs_again(home):
    with served(mlflow(rounded)) as gateway:
        rest = f'{REST}\n[through]\nurl = "{gateway.url}"\nprotocol = "mlflow"\nrequests_per_second = 10000.0\n'
        pair = unseen.audit_plan_through(plan(home, 'model = "model.skops"\n', rest))
        with pytest.raises(PlanError, match="asks an endpoint"):
            unseen.audit_report(home / "unseen-run" / "through")
        again = unseen.audit_report(home / "unseen-run" / "through", trust=True)
    assert pair.direct.report.target.kind == "RandomForestClassifier"
    assert pair.through.report.target.kind == "endpoint (mlflow)"
    assert numbers(again.report) == numbers(pair.through.report)


def test_no_key_stands_in_anything_that_is_left_or_printed(home, monkeypatch):
    monkeypatch.setenv("DIRECT_KEY", KEY + "1")
    monkeypatch.setenv("GATEWAY_KEY", KEY + "2")
    with served(mlflow(MODEL.predict_proba)) as direct, served(mlflow(labels_only)) as gateway:
        target = TARGET.format(url=direct.url, protocol="mlflow") + 'classes = [0, 1]\napi_key = "env:DIRECT_KEY"\n'
        through = f'\n[through]\nurl = "{gateway.url}"\napi_key = "env:GATEWAY_KEY"\nheader = "X-API-Key"\n'
        path = plan(home, target, REST.replace("count = 3", "count = 0") + through)
        ran = CliRunner().invoke(app, ["audit", str(path)])
    assert {headers["Authorization"] for _, headers, _ in direct.requests} == {f"Bearer {KEY}1"}
    assert {headers["X-API-Key"] for _, headers, _ in gateway.requests} == {f"{KEY}2"}
    assert not any(f"{KEY}1" in str(headers) for _, headers, _ in gateway.requests)
    assert KEY not in ran.output
    left = [one for one in (home / "unseen-run").rglob("*") if one.is_file()]
    assert len(left) > 6
    assert not [one.name for one in left if KEY.encode() in one.read_bytes()]


def keyed(reply):
    """Answer only those who show the key, as a guard does."""

    def answer(handler, body, turn):
        reply(handler, body, turn) if handler.headers["Authorization"] == f"Bearer {KEY}" else send(handler, 401, b"{}")

    return answer


@pytest.fixture
def guarded(home):
    """A plan whose direct side answers all, the same model behind a policy that takes one key, and that key's file."""
    (home / "audit.key").write_text(f"{KEY}\n")
    (home / "wrong.key").write_text("Rapunzel\n")
    with served(mlflow(MODEL.predict_proba)) as direct, served(keyed(mlflow(labels_only))) as gateway:
        target = TARGET.format(url=direct.url, protocol="mlflow") + "classes = [0, 1]\n"
        rest = REST.replace("count = 3", "count = 0").replace('"lira-online", "loss", ', "")
        yield plan(home, target, rest), direct, gateway


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ([], "wants a key (HTTP 401), and none is named"),
        (["--through-key", "file:wrong.key"], "refused the key at file:wrong.key (HTTP 401)"),
    ],
)
def test_a_policy_that_refuses_the_key_is_found_out_before_anybody_is_asked_directly(guarded, monkeypatch, key, says):
    path, direct, gateway = guarded
    monkeypatch.chdir(path.parent)
    ran = CliRunner().invoke(app, ["audit", str(path), "--through", gateway.url, *key])
    assert ran.exit_code == 2
    assert says in ran.output
    assert 'api_key = "env:NAME" or "file:PATH"' in ran.output
    assert "--through-key" in ran.output
    assert len(ran.output.splitlines()) == 1
    assert (len(direct.requests), len(gateway.requests), gateway.records) == (0, 1, 1)


def test_the_key_of_the_policy_is_named_on_the_command_line_and_never_shown_there(guarded, monkeypatch):
    path, direct, gateway = guarded
    (path.parent / "elsewhere").mkdir()
    monkeypatch.chdir(path.parent / "elsewhere")  # paths on a command line start here, not at the plan
    ran = CliRunner().invoke(app, ["audit", str(path), "--through", gateway.url, "--through-key", "file:../audit.key"])
    assert ran.exit_code == 1, ran.output
    assert direct.records == gateway.records  # the record that was asked first is not asked twice
    left = [one for one in (path.parent / "unseen-run").rglob("*") if one.is_file()]
    assert not [one.name for one in left if KEY.encode() in one.read_bytes()]
    target = read_saved(path.parent / "unseen-run" / "through").report.provenance.plan["target"]
    assert target["api_key"] == "file:audit.key"


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--through", "http://127.0.0.1:1/x", "--through-key", KEY], "never the key itself"),
        (["--through", "http://127.0.0.1:1/x", "--through-key", "file:none.key"], "could not be read"),
        (["--through-key", "file:audit.key"], "needs its address"),
    ],
)
def test_a_key_that_is_none_is_refused_without_being_shown(guarded, flags, says):
    path, direct, _ = guarded
    ran = CliRunner().invoke(app, ["audit", str(path), *flags])
    assert ran.exit_code == 2
    assert says in ran.output
    assert KEY not in ran.output
    assert direct.requests == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[target]\nmodel = "m.skops"\n', "needs the protocol"),
        ('[target]\nurl = "http://m/x"\nprotocol = "mlflow"\n', None),
    ],
)
def test_the_key_of_the_target_is_not_shown_to_the_gateway(text, says):
    data = '[data]\nmembers = "a.csv"\nnon_members = "b.csv"\nlabel = "y"\n'
    if says is None:
        found = through_plan(parse_plan(f'{text}api_key = "env:A"\n{data}'), "http://g/x").target
        assert (found.url, found.protocol, found.api_key) == ("http://g/x", "mlflow", None)
    else:
        with pytest.raises(PlanError, match=says):
            through_plan(parse_plan(text + data), "http://g/x")
    with pytest.raises(PlanError, match="its address"):
        through_plan(parse_plan(text + data))


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("", "a model .* or a url"),
        ('model = "m"\nprotocol = "mlflow"\n', "of an endpoint"),
        ('model = "m"\ncontrols = [{ name = "rounding" }]\n', "of an endpoint"),
        ('url = "http://m/x"\n', "target.protocol must be one of"),
        ('url = "http://m/x"\nprotocol = "soap"\n', "target.protocol must be one of"),
        ('url = "http://m/x"\nprotocol = "json"\nanswers = "logits"\n', "target.answers must be one of"),
        ('url = "http://m/x"\nprotocol = "json"\nrecords_per_request = 0\n', "1 or more"),
        ('url = "http://m/x"\nprotocol = "json"\nrequests_per_second = 0.0\n', "above 0"),
        ('url = "http://m/x"\nprotocol = "json"\napi_kye = "env:A"\n', "did you mean 'api_key'"),
    ],
)
def test_a_target_that_cannot_be_asked_is_refused_by_its_key(target, says):
    with pytest.raises(PlanError, match=says):
        parse_plan(f'[target]\n{target}[data]\nmembers = "a.csv"\nnon_members = "b.csv"\nlabel = "y"\n')


def test_what_an_endpoints_references_cost_is_known_without_asking_it(home):
    target = TARGET.format(url="http://127.0.0.1:1/x", protocol="mlflow") + 'model = "model.skops"\n'
    path = plan(home, target)
    options = plan_options(read_plan(path), home, home, quiet)
    assert task_of_plan(read_plan(path), home, options, trust=False).inclusion.shape == (3, 2 * N)
    assert not (home / "endpoint.ledger").exists()


def test_init_writes_a_plan_for_an_endpoint_that_runs(home):
    out = home / "written.toml"
    arguments = ["--members", home / "members.csv", "--non-members", home / "non_members.csv", "--out", out]
    with served(mlflow(MODEL.predict_proba)) as seen:
        ran = CliRunner().invoke(app, ["init", "--url", seen.url, "--protocol", "mlflow", *map(str, arguments)])
        assert ran.exit_code == 0, ran.output
        written = read_plan(out)
        assert (written.target.url, written.target.classes, written.references.count) == (seen.url, (0, 1), 0)
        soon = out.read_text().replace("# requests_per_second = 5.0", "requests_per_second = 10000.0")
        out.write_text(soon.replace('# only = ["learned"]', 'only = ["gap"]'))
        assert unseen.audit_plan(out).report.target.kind == "endpoint (mlflow)"
    ran = CliRunner().invoke(app, ["init", "--url", seen.url, *map(str, arguments)])
    assert ran.exit_code == 2
    assert "--protocol" in ran.output


def test_a_pair_of_runs_does_not_go_into_a_run_of_one(home):
    unseen.audit_plan(plan(home, 'model = "model.skops"\n'))
    with pytest.raises(FolderError, match="not this pair"):
        unseen.audit_plan_through(plan(home, 'model = "model.skops"\n'), "http://127.0.0.1:1/x")
