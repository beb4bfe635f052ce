"""`unseen audit`: exit codes, one sentence for every bad input, nothing half-written, nothing lost on an interrupt."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import joblib
import jsonschema
import numpy as np
import polars as pl
import pytest
import skops.io
from sklearn.base import BaseEstimator
from sklearn.datasets import make_classification
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeClassifier
from typer.testing import CliRunner

import unseen
from unseen.cli.main import app
from unseen.report import json_schema
from unseen.targets.estimator import EstimatorTarget

SECRET = "Rumpelstilzchen"
KEPT = re.compile(r"unseen: (\d+) of \d+ references were kept")
N = 150
NAMES = ["a", "b", "c", "d"]
X, Y = make_classification(3 * N, 4, n_informative=3, n_redundant=0, flip_y=0.4, random_state=0)
PLAN = """
[target]
model = "model.skops"

[data]
members = "members.csv"
non_members = "non_members.csv"
label = "label"
id = "id"

[references]
count = 2
workers = 1

[attacks]
only = ["lira-online", "loss", "gap"]
"""


def table(rows):
    start = rows.start
    ids = [f"{SECRET}{start + i}" for i in range(N)]
    return pl.DataFrame(X[rows], schema=NAMES).with_columns(id=pl.Series(ids), label=pl.Series(Y[rows]))


def fitted(rows=slice(0, N), model=None):
    return (model or DecisionTreeClassifier(random_state=0)).fit(pl.DataFrame(X[rows], schema=NAMES), Y[rows])


class Home:
    """A folder with a plan, a model and two tables, each of which a test may spoil."""

    def __init__(self, path):
        self.path, self.plan = path, path / "plan.toml"
        self.plan.write_text(PLAN)
        skops.io.dump(fitted(), path / "model.skops")
        self.write("members", table(slice(0, N)))
        self.write("non_members", table(slice(N, 2 * N)))

    def write(self, name, frame):
        frame.write_csv(self.path / f"{name}.csv")

    def change(self, name, change):
        self.write(name, change(pl.read_csv(self.path / f"{name}.csv")))

    def edit(self, old, new):
        assert old in self.plan.read_text()
        self.plan.write_text(self.plan.read_text().replace(old, new))

    def pickled(self, model):
        joblib.dump(model, self.path / "model.joblib")
        self.edit("model.skops", "model.joblib")

    def audit(self, *more):
        return CliRunner().invoke(app, ["audit", str(self.plan), *map(str, more)])

    @property
    def run(self):
        return self.path / "unseen-run"


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


# --- what it does


def test_a_leak_has_exit_code_one_and_a_verdict_on_standard_output(home):
    result = home.audit()
    assert result.exit_code == 1
    assert "LEAK FOUND" in result.stdout
    assert result.stderr == ""
    assert SECRET not in result.output


def test_within_the_policy_has_exit_code_zero(home):
    home.edit("[attacks]", "[[policy.limits]]\nmetric = 'auc'\nat_most = 0.999\n\n[attacks]")
    skops.io.dump(fitted(slice(2 * N, 3 * N)), home.path / "model.skops")
    assert home.audit().exit_code == 0


def test_undecided_has_exit_code_three(home):
    home.edit("[attacks]", "[[policy.limits]]\nmetric = 'tpr'\nfpr = 0.001\nat_most = 0.5\n\n[attacks]")
    result = home.audit()
    assert result.exit_code == 3
    assert "10000 non-members" in result.stdout


def test_json_is_the_report_and_nothing_else(home):
    result = home.audit("--json")
    report = json.loads(result.stdout)
    jsonschema.validate(report, json_schema())
    assert report == json.loads((home.run / "report.json").read_text())
    assert report["provenance"]["plan"]["references"]["count"] == 2
    assert unseen.report.from_json(result.stdout.encode()).state == "leak"
    assert result.stderr == ""
    assert SECRET not in result.stdout


def test_the_run_folder_holds_report_table_plan_and_references_for_its_owner_alone(home):
    home.audit()
    left = sorted(str(path.relative_to(home.run)) for path in home.run.rglob("*") if path.is_file())
    references = [name for name in left if name.startswith("references/")]
    assert len(references) == 2
    others = [name for name in left if name not in references]
    assert others == ["plan.toml", "records.parquet", "report.json", "run.json"]
    assert {path.stat().st_mode & 0o777 for path in home.run.rglob("*") if path.is_file()} == {0o600}
    assert (home.run / "plan.toml").read_bytes() == home.plan.read_bytes()
    assert pl.read_parquet(home.run / "records.parquet")["id"].str.starts_with(SECRET).all()
    for path in home.run.rglob("*.json"):
        assert SECRET not in path.read_text()


def test_a_second_audit_uses_the_references_and_says_the_same(home):
    runs = [home.audit("--json") for _ in range(2)]
    assert [KEPT.findall(run.stderr) for run in runs] == [[], ["2"]]
    first, second = (json.loads(run.stdout) for run in runs)
    assert first["attacks"] == second["attacks"]
    assert first["provenance"]["model_digest"] == second["provenance"]["model_digest"]


def test_another_question_of_the_same_run_uses_the_references_too(home):
    home.audit()
    home.edit('only = ["lira-online", "loss", "gap"]', 'only = ["lira-offline"]')
    home.edit("count = 2", "count = 3")
    assert KEPT.findall(home.audit("--json").stderr) == ["2"]


def test_the_folder_of_another_run_is_refused_and_left_alone(home):
    home.audit()
    before = {path: path.read_bytes() for path in home.run.rglob("*") if path.is_file()}
    home.plan.write_text(f"seed = 5\n{home.plan.read_text()}")
    refused(home.audit(), "holds another run")
    assert {path: path.read_bytes() for path in home.run.rglob("*") if path.is_file()} == before


def test_a_folder_with_other_files_is_refused_and_left_alone(home):
    home.run.mkdir()
    (home.run / "precious.txt").write_text("keep")
    refused(home.audit(), "holds something that is not a run")
    assert [path.name for path in home.run.iterdir()] == ["precious.txt"]


def test_a_file_where_the_folder_should_be_is_refused(home):
    home.run.write_text("keep")
    refused(home.audit(), "unseen-run")
    assert home.run.read_text() == "keep"


def test_out_names_another_folder(home):
    home.audit("--out", home.path / "deep" / "other")
    assert (home.path / "deep" / "other" / "report.json").exists()
    assert not home.run.exists()


def test_a_plan_may_lie_in_its_own_run_folder(home):
    home.plan.write_text(f"folder = 'here'\n{home.plan.read_text()}".replace('"m', '"../m').replace('"n', '"../n'))
    (home.path / "here").mkdir()
    home.plan = home.plan.rename(home.path / "here" / "plan.toml")
    home.edit("folder = 'here'", "folder = '.'")
    assert home.audit().exit_code == 1


def test_a_pickle_runs_on_trust_by_plan_or_by_option(home):
    home.pickled(fitted())
    refused(home.audit(), "runs any code inside it")
    assert home.audit("--trust").exit_code == 1
    home.edit("[target]", "[target]\ntrust = true")
    assert home.audit().exit_code == 1


@pytest.mark.parametrize("frame", ["auto", "polars", "pandas"])
def test_a_table_reaches_the_model_in_the_frame_the_plan_says(home, frame):
    home.edit("[data]", f'frame = "{frame}"\n\n[data]')
    assert home.audit().exit_code == 1


@pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")
def test_a_model_fitted_on_an_array_gets_an_array(home):
    skops.io.dump(DecisionTreeClassifier(random_state=0).fit(X[:N], Y[:N]), home.path / "model.skops")
    assert home.audit().exit_code == 1


def test_groups_of_the_plan_make_the_person_the_unit(home):
    for name in ("members", "non_members"):
        home.change(name, lambda t: t.with_columns(person=pl.col("id").str.slice(len(SECRET)).cast(pl.Int64) // 3))
    home.edit('id = "id"', 'id = "id"\ngroup = "person"\nrule = "max"')
    report = json.loads(home.audit("--json").stdout)
    assert (report["unit"], report["rule"]) == ("person", "max")
    assert report["members"] == N // 3


def test_a_table_of_answers_is_audited(home):
    member = np.arange(300) < 150
    loss = np.random.default_rng(0).exponential(size=300) + ~member
    pl.DataFrame({"member": member, "loss": loss}).write_csv(home.path / "answers.csv")
    home.plan.write_text('[answers]\ntable = "answers.csv"\n')
    result = home.audit()
    assert result.exit_code == 1
    assert "table of answers" in result.stdout


# --- what it refuses: each in one sentence, with nothing written


def refused(result, says, code=2):
    lines = result.stderr.splitlines()
    assert result.exit_code == code, result.output
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("unseen: ")
    assert re.search(says, lines[0]), lines[0]
    assert "Traceback" not in result.output
    assert SECRET not in result.output
    assert result.stdout == ""


class Answering(BaseEstimator):
    """Fitted on nothing; its answers are those it is given."""

    _estimator_type = "classifier"

    def __init__(self, answer=None):
        self.answer = answer

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.zeros(len(X), int)

    def predict_proba(self, X):
        return ANSWERS[self.answer][0](len(X))


def burst(rows):
    raise ValueError(f"row 3 of {rows} holds {SECRET}")


ANSWERS = {
    "NaN probabilities": (lambda rows: np.full((rows, 2), np.nan), "NaN or infinite probabilities for 300 of 300", 2),
    "infinite probabilities": (lambda rows: np.full((rows, 2), np.inf), "NaN or infinite", 2),
    "rows that do not sum to 1": (lambda rows: np.full((rows, 2), 0.4), "do not sum to 1", 2),
    "a wrong class count": (lambda rows: np.full((rows, 3), 1 / 3), "must give 2 probabilities", 2),
    "a model that raises": (burst, "raised ValueError in predict_proba on 300 records", 3),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_bad_answer_is_one_sentence_and_leaves_nothing(home, kind, monkeypatch):
    _, says, code = ANSWERS[kind]
    monkeypatch.setattr("unseen.planned.load_model", lambda *_, **__: Answering(kind).fit(X, Y))
    refused(home.audit(), says, code)
    assert not home.run.exists()


def drop(name):
    return lambda t: t.drop(name)


def fill(name, value):
    return lambda t: t.with_columns(pl.lit(value).alias(name))


BAD_TABLES = {
    "no label": (drop("label"), "no label column 'label'"),
    "a misspelt label": (lambda t: t.rename({"label": "lable"}), "did you mean 'lable'"),
    "no id": (drop("id"), "no id column 'id'"),
    "a label missing": (lambda t: t.with_columns(label=pl.when(pl.col("a") < 1).then("label")), "have no label"),
    "unknown labels": (fill("label", SECRET), "a label that the model never saw"),
    "a feature missing": (drop("b"), r"lacks 1 of the columns of the model: \['b'\]"),
    "a feature more": (fill("more", SECRET), r"has 1 columns that the model has not, first column 5"),
    "features reordered": (lambda t: t.select("b", "a", "c", "d", "id", "label"), "another order, first at column 1"),
    "ids used twice": (fill("id", SECRET), "ids of the members are used more than once"),
    "the non-members": (lambda t: table(slice(N, 2 * N)), "members and non_members overlap"),
    "no rows": (lambda t: t.clear(), "has no rows"),
    "text for a number": (fill("b", SECRET), r"\bb\b"),
}


@pytest.mark.parametrize("kind", BAD_TABLES)
def test_a_bad_table_is_one_sentence_and_leaves_nothing(home, kind):
    change, says = BAD_TABLES[kind]
    home.change("members", change)
    refused(home.audit(), says)
    assert not home.run.exists()


def test_records_of_one_class_only_are_refused_before_references_are_trained(home):
    for name, rows in (("members", slice(0, N)), ("non_members", slice(N, 2 * N))):
        home.write(name, table(rows).filter(pl.col("label") == 1))
    refused(home.audit(), "one class|same label|one label")


def test_a_model_of_one_class_is_refused(home):
    skops.io.dump(DecisionTreeClassifier().fit(X, np.ones(3 * N)), home.path / "model.skops")
    refused(home.audit(), "needs two classes or more, got 1")


def test_an_unfitted_model_is_refused(home):
    for model, says in ((LinearRegression(), "is not fitted"), (DecisionTreeClassifier(), "as a classifier")):
        skops.io.dump(model, home.path / "model.skops")
        refused(home.audit(), says)


def test_a_regressor_is_audited(home):
    skops.io.dump(LinearRegression().fit(X, Y), home.path / "model.skops")
    result = home.audit("--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["target"]["kind"] == "LinearRegression"


BAD_FILES = {
    "missing": (lambda path: path.unlink(), "there is no file"),
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:40] + b"\xff\xfe"), ""),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "is a folder"),
}


@pytest.mark.parametrize("name", ["members.csv", "non_members.csv", "model.skops"])
@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_is_one_sentence_and_leaves_nothing(home, kind, name):
    spoil, says = BAD_FILES[kind]
    spoil(home.path / name)
    refused(home.audit(), says)
    assert not home.run.exists()


def test_a_parquet_file_that_is_none_is_refused(home):
    (home.path / "members.parquet").write_text(SECRET)
    home.edit("members.csv", "members.parquet")
    refused(home.audit(), "truncated or of another type")


BAD_PLANS = {
    "misspelt section": ("[references]", "[refrences]", "unknown key 'refrences'; did you mean 'references'"),
    "misspelt key": ("count = 2", "cuont = 2", r"unknown key 'cuont' in \[references\]; did you mean 'count'"),
    "one reference": ("count = 2", "count = 1", "references must be 0 or at least 2"),
    "negative references": ("count = 2", "count = -2", "references must be"),
    "negative seed": ("[target]", "seed = -2\n[target]", ""),
    "unknown attack": ('"loss"', '"los"', "did you mean 'loss'"),
    "no attack": ('only = ["lira-online", "loss", "gap"]', "only = []", "no attack is left"),
    "unknown slice": ("[attacks]", '[slices]\ncolumns = ["town"]\n\n[attacks]', "no (feature )?column 'town'"),
    "column to drop": ('label = "label"', 'label = "label"\ndrop = ["bb"]', "no column 'bb' to drop"),
    "not TOML": ("[data]", "[data", "is not TOML"),
    "no copies": ("[attacks]", "[attacks]\ncopies = 0", "copies must be"),
    "tiny training set": ('label = "label"', 'label = "label"\ntraining_size = 1', "training_size must be"),
    "bad rate": ("[attacks]", "[statistics]\nfprs = [2.0]\n\n[attacks]", "statistics.fprs must be"),
    "another model file": ("model.skops", "model.onnx", "there is no file"),
}


@pytest.mark.parametrize("kind", BAD_PLANS)
def test_a_bad_plan_is_one_sentence_and_leaves_nothing(home, kind):
    old, new, says = BAD_PLANS[kind]
    home.edit(old, new)
    if kind == "negative seed":
        home.edit("seed = -2\n[target]", "[target]")
        home.plan.write_text(f"seed = -2\n{home.plan.read_text()}")
    refused(home.audit(), says)
    assert not home.run.exists()


def test_a_missing_or_empty_plan_is_refused(home):
    home.plan.write_text("")
    refused(home.audit(), "is empty; `unseen init` writes a plan")
    home.plan.unlink()
    refused(home.audit(), "there is no plan")
    home.plan.mkdir()
    refused(home.audit(), "could not be read")


def test_an_unforeseen_error_is_no_verdict(home, monkeypatch):
    def fall_over(*_, **__):
        raise RuntimeError(SECRET)

    monkeypatch.setattr("unseen.planned.audit_records", fall_over)
    result = home.audit()
    assert result.exit_code == 3  # 1 would say: measured, and over the policy
    assert SECRET not in result.output


# --- the disk and the interrupt


@pytest.mark.parametrize("place", ["claim", "references", "report"])
def test_a_full_disk_is_one_sentence_and_nothing_is_half_written(home, monkeypatch, place):
    written, opened = [], tempfile.NamedTemporaryFile
    room = {"claim": 0, "references": 2, "report": 4}[place]

    def full(*args, **kwargs):
        file = opened(*args, **kwargs)
        written.append(file)
        if len(written) > room:

            def write(content):
                file.file.write(content[:3])
                raise OSError(errno.ENOSPC, "No space left on device")

            file.write = write
        return file

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", full)
    refused(home.audit(), "could not be written in .*: No space left on device")
    assert not (home.run / "report.json").exists()
    assert not list(home.run.rglob(".part-*"))
    monkeypatch.undo()
    said = home.audit("--json").stderr
    assert KEPT.findall(said) == {"claim": [], "references": ["1"], "report": ["2"]}[place]
    assert "damaged" not in said


def test_a_folder_that_may_not_be_written_is_one_sentence(home, monkeypatch):
    def forbidden(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", forbidden)
    refused(home.audit(), "Permission denied")


def test_an_interrupt_is_one_sentence_and_says_what_is_kept(home, monkeypatch):
    train, count = EstimatorTarget.refit, []

    def interrupted(self, *args):
        if count:
            raise KeyboardInterrupt
        count.append(1)
        return train(self, *args)

    monkeypatch.setattr(EstimatorTarget, "refit", interrupted)
    refused(home.audit(), "interrupted.*What is finished is kept", 130)
    assert not (home.run / "report.json").exists()
    monkeypatch.undo()
    assert KEPT.findall(home.audit("--json").stderr) == ["1"]


@pytest.mark.parametrize(
    "moment",
    ["unseen.planned.read_plan", "unseen.planned.load_model", "unseen.planned.audit_records", "unseen.renderers.show"],
)
def test_an_interrupt_at_any_other_moment_is_one_sentence_too(home, monkeypatch, moment):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(moment, stop)
    result = home.audit()
    assert result.exit_code == 130
    assert len(result.stderr.splitlines()) <= 1
    assert "Traceback" not in result.output


SLOW = """
    import sys, time
    import numpy as np
    from sklearn.tree import DecisionTreeClassifier

    class Slow(DecisionTreeClassifier):
        def fit(self, X, y):
            time.sleep(0.25)
            return super().fit(X, y)
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_control_c_leaves_finished_references_and_exit_code_130(home, workers):
    (home.path / "slow_model.py").write_text(textwrap.dedent(SLOW))
    sys.path.insert(0, str(home.path))
    try:
        import slow_model

        home.pickled(fitted(model=slow_model.Slow(random_state=0)))
    finally:
        sys.path.remove(str(home.path))
        sys.modules.pop("slow_model", None)
    home.edit("count = 2\nworkers = 1", f"count = 40\nworkers = {workers}")
    command = [sys.executable, "-c", "from unseen.cli.main import app; app()", "audit", str(home.plan), "--trust"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(home.path), *sys.path])}
    process = subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wanted = 2 * workers
    deadline = time.monotonic() + 90
    while len(list(home.run.rglob("reference-*"))) < wanted and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    kept = len(list(home.run.rglob("reference-*")))
    assert process.returncode == 130, err
    assert err.splitlines() == ["unseen: interrupted. What is finished is kept; the same command continues."]
    assert out == ""
    assert wanted <= kept < 40
    assert not (home.run / "report.json").exists()
    assert not list(home.run.rglob(".part-*"))


# --- the demonstration


def test_the_demonstration_runs_and_can_be_run_again(tmp_path, monkeypatch):
    monkeypatch.setattr("unseen.demo.SIZES", {"members": 150, "non_members": 200, "population": 150})
    quick = '[references]\ncount = 2\nworkers = 1\n\n[attacks]\nonly = ["loss", "lira-online"]\n'
    monkeypatch.setattr("unseen.demo.PLAN", f"{unseen.demo.PLAN}\n{quick}")
    first = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "demo")])
    assert first.exit_code == 0, first.output
    assert "Left in" in first.stdout
    again = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "demo"), "--json"])
    assert KEPT.findall(again.stderr) == ["2"]
    audit = CliRunner().invoke(app, ["audit", str(tmp_path / "demo" / "plan.toml"), "--json"])
    assert KEPT.findall(audit.stderr) == ["2"]


def test_the_demonstration_does_not_write_among_other_files(tmp_path):
    (tmp_path / "precious.txt").write_text("keep")
    refused(CliRunner().invoke(app, ["demo", "--out", str(tmp_path)]), "does not hold a demonstration")
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]
