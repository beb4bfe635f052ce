"""`unseen audit --from`: a report re-runs from itself, byte for byte but for times; what cannot run is one sentence."""

import json
import re
import shutil
import subprocess
import sys

import joblib
import numpy as np
import polars as pl
import pytest
import skops.io
from sklearn.datasets import make_classification
from sklearn.tree import DecisionTreeClassifier
from typer.testing import CliRunner

import unseen
from unseen.cli.main import app

N = 120
NAMES = ["a", "b", "c", "d"]
X, Y = make_classification(3 * N, 4, n_informative=3, n_redundant=0, flip_y=0.4, random_state=0)
PLAN = """
seed = 3

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
only = ["lira-online", "noise-robustness", "qmia", "gap"]

[statistics]
fprs = [0.1]
"""


def tree(rows=slice(0, N), **settings):
    return DecisionTreeClassifier(random_state=0, **settings).fit(pl.DataFrame(X[rows], schema=NAMES), Y[rows])


class Home:
    """A folder with a plan, a model and two tables; `times` blanks what may differ between two runs."""

    def __init__(self, path):
        self.path, self.run = path, path / "unseen-run"
        path.mkdir(exist_ok=True)
        (path / "plan.toml").write_text(PLAN)
        skops.io.dump(tree(), path / "model.skops")
        for name, rows in (("members", slice(0, N)), ("non_members", slice(N, 2 * N))):
            self.table(rows).write_csv(path / f"{name}.csv")

    @staticmethod
    def table(rows):
        ids = [f"record {i}" for i in range(rows.start, rows.stop)]
        return pl.DataFrame(X[rows], schema=NAMES).with_columns(id=pl.Series(ids), label=pl.Series(Y[rows]))

    def edit(self, old, new):
        text = (self.path / "plan.toml").read_text()
        assert old in text
        (self.path / "plan.toml").write_text(text.replace(old, new))

    def audit(self, *more):
        result = CliRunner().invoke(app, ["audit", str(self.path / "plan.toml"), *map(str, more)])
        assert result.exit_code in {0, 1, 3}, result.output

    def again(self, *more, of=None):
        report = of or self.run / "report.json"
        return CliRunner().invoke(app, ["audit", "--from", str(report), *map(str, more)])


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


def but_for_times(path):
    text, found = re.subn(r'"(started|seconds)": ("[^"]*"|[\d.]+)', r'"\1": _', path.read_text())
    assert found == 2
    return text


def refused(result, says):
    lines = result.stderr.splitlines()
    assert result.exit_code == 2, result.output
    assert len(lines) == 1, result.stderr
    assert re.search(says, lines[0]), lines[0]
    assert result.stdout == ""


def test_a_report_re_runs_in_its_own_folder_to_the_same_bytes_but_for_times(home):
    home.audit()
    before = but_for_times(home.run / "report.json")
    result = home.again()
    assert result.exit_code in {0, 1, 3}, result.output
    assert result.stderr == "unseen: 2 of 2 references were kept from an earlier run.\n"
    assert but_for_times(home.run / "report.json") == before


def test_a_report_re_runs_into_a_fresh_folder_to_the_same_bytes_but_for_times(home, tmp_path):
    home.audit()
    result = home.again("--out", tmp_path / "fresh")
    assert result.stderr == ""
    assert but_for_times(tmp_path / "fresh" / "report.json") == but_for_times(home.run / "report.json")
    assert (tmp_path / "fresh" / "records.parquet").read_bytes() == (home.run / "records.parquet").read_bytes()
    assert (tmp_path / "fresh" / "plan.toml").read_bytes() == (home.path / "plan.toml").read_bytes()


def test_a_re_run_re_runs(home, tmp_path):
    home.audit()
    home.again("--out", tmp_path / "second")
    result = home.again("--home", home.path, "--out", tmp_path / "third", of=tmp_path / "second" / "report.json")
    assert result.exit_code in {0, 1, 3}, result.output
    assert but_for_times(tmp_path / "third" / "report.json") == but_for_times(home.run / "report.json")


def test_the_run_folder_stands_for_its_report(home):
    home.audit()
    before = but_for_times(home.run / "report.json")
    assert home.again(of=home.run).exit_code in {0, 1, 3}
    assert but_for_times(home.run / "report.json") == before


def test_a_deep_run_folder_of_the_plan_leads_home(home):
    home.edit("seed = 3", 'seed = 3\nfolder = "runs/first"')
    home.audit()
    report = home.path / "runs" / "first" / "report.json"
    before = but_for_times(report)
    assert home.again(of=report).exit_code in {0, 1, 3}
    assert but_for_times(report) == before


def test_a_policy_and_a_context_re_run_too(home, tmp_path):
    limits = '[[policy.limits]]\nmetric = "auc"\nat_most = 0.55\n\n[context]\nprior = 0.03\ndomain = "health"\n'
    (home.path / "plan.toml").write_text(f"{PLAN}\n{limits}\n[policy]\nworsen_at_most = 0.02\n")
    home.audit()
    home.again("--out", tmp_path / "fresh")
    assert but_for_times(tmp_path / "fresh" / "report.json") == but_for_times(home.run / "report.json")


def test_whatever_a_plan_says_re_runs(home, tmp_path):
    for name, start in (("members", 0), ("non_members", N), ("population", 2 * N)):
        table = home.table(slice(start, start + N))
        table.with_columns(
            person=pl.Series(np.arange(start, start + N) // 2), town=pl.Series(Y[start : start + N])
        ).drop("d").write_csv(home.path / f"{name}.csv")
    model = DecisionTreeClassifier(random_state=0).fit(pl.DataFrame(X[:N, :3], schema=NAMES[:3]), Y[:N])
    skops.io.dump(model, home.path / "model.skops")
    (home.path / "ids.txt").write_text("\n".join(f"record {i}" for i in range(N)))
    data = ('population = "population.csv"', 'group = "person"', 'rule = "max"', "training_size = 130")
    home.edit('id = "id"', "\n".join(['id = "id"', *data, 'manifest = "ids.txt"', 'drop = ["town"]']))
    home.edit('only = ["lira-online", "noise-robustness", "qmia", "gap"]', 'skip = ["gap"]\ncopies = 3')
    home.edit("[statistics]", '[slices]\ncolumns = ["town"]\n\n[statistics]')
    home.audit()
    assert home.again("--out", tmp_path / "fresh").exit_code in {0, 1, 3}
    assert but_for_times(tmp_path / "fresh" / "report.json") == but_for_times(home.run / "report.json")


def test_a_table_of_answers_re_runs(home, tmp_path):
    member = np.arange(300) < 150
    loss = np.random.default_rng(0).exponential(size=300) + ~member
    pl.DataFrame({"member": member, "loss": loss}).write_csv(home.path / "answers.csv")
    (home.path / "plan.toml").write_text('[answers]\ntable = "answers.csv"\n')
    home.audit()
    assert home.again("--out", tmp_path / "fresh").stderr == ""
    assert but_for_times(tmp_path / "fresh" / "report.json") == but_for_times(home.run / "report.json")


def test_a_plan_in_its_own_run_folder_leads_home(home):
    home.edit("seed = 3", 'seed = 3\nfolder = "."')
    for name in ("model.skops", "members.csv", "non_members.csv"):
        home.edit(f'"{name}', f'"../{name}')
    home.run.mkdir()
    shutil.move(home.path / "plan.toml", home.run / "plan.toml")
    report = home.run / "report.json"
    assert CliRunner().invoke(app, ["audit", str(home.run / "plan.toml")]).exit_code in {0, 1, 3}
    before = but_for_times(report)
    assert home.again().exit_code in {0, 1, 3}
    assert but_for_times(report) == before


@pytest.mark.parametrize("folder", ["../beside", "{absolute}"])
def test_a_run_folder_that_does_not_lie_under_its_plan_asks_for_home(home, tmp_path, folder):
    home.edit("seed = 3", f'seed = 3\nfolder = "{folder.format(absolute=tmp_path / "beside")}"')
    home.audit()
    report = tmp_path / "beside" / "report.json"
    refused(home.again(of=report), "--home")
    assert home.again("--home", home.path, of=report).exit_code in {0, 1, 3}


def test_a_report_outside_its_plans_folder_asks_for_home(home, tmp_path):
    home.audit("--out", tmp_path / "elsewhere")
    report = tmp_path / "elsewhere" / "report.json"
    refused(home.again(of=report), "name the plan's own folder with --home")
    assert home.again("--home", home.path, of=report).exit_code in {0, 1, 3}


def test_a_folder_that_only_looks_like_the_plans_asks_for_home(home, tmp_path):
    home.audit()
    shutil.copytree(home.run, tmp_path / "copy" / "unseen-run")
    refused(home.again(of=tmp_path / "copy" / "unseen-run"), "--home")


def test_other_data_are_refused_before_anything_is_written(home, tmp_path):
    home.audit()
    before = (home.run / "report.json").read_bytes()
    home.table(slice(N, 2 * N - 1)).write_csv(home.path / "non_members.csv")
    refused(home.again("--out", tmp_path / "fresh"), "the data are not those of the report")
    refused(home.again(), "the data are not those of the report")
    assert not (tmp_path / "fresh").exists()
    assert (home.run / "report.json").read_bytes() == before


def test_another_model_is_refused_before_anything_is_written(home, tmp_path):
    home.audit()
    skops.io.dump(tree(max_depth=2), home.path / "model.skops")
    refused(home.again("--out", tmp_path / "fresh"), "the model is not that of the report")
    assert not (tmp_path / "fresh").exists()


def test_a_report_made_from_python_is_refused(tmp_path):
    outcome = unseen.audit(tree(), (frame(0), Y[:N]), (frame(N), Y[N : 2 * N]), references=0, attacks=["loss"])
    outcome.save(tmp_path / "run")
    result = CliRunner().invoke(app, ["audit", "--from", str(tmp_path / "run" / "report.json")])
    refused(result, "made by a call from Python")


def frame(start):
    return pl.DataFrame(X[start : start + N], schema=NAMES)


def test_what_a_plan_trusts_is_trusted_anew(home):
    joblib.dump(tree(), home.path / "model.joblib")
    home.edit('model = "model.skops"', 'model = "model.joblib"\ntrust = true')
    home.audit()
    before = but_for_times(home.run / "report.json")
    refused(home.again(), "say --trust")
    assert home.again("--trust").exit_code in {0, 1, 3}
    assert but_for_times(home.run / "report.json") == before


def test_other_versions_are_told_and_not_refused(home):
    home.audit()
    report = json.loads((home.run / "report.json").read_text())
    report["provenance"]["versions"]["numpy"] = "1.0"
    (home.run / "report.json").write_text(json.dumps(report))
    result = home.again()
    assert result.exit_code in {0, 1, 3}
    assert "unseen: the report was made with numpy 1.0, here is" in result.stderr


@pytest.mark.parametrize("content", [None, "", "{}", '{"state": "leak"}', "\xff"])
def test_a_missing_or_damaged_report_is_one_sentence(tmp_path, content):
    path = tmp_path / "report.json"
    if content is not None:
        path.write_text(content, encoding="latin-1")
    result = CliRunner().invoke(app, ["audit", "--from", str(path)])
    refused(result, "there is no run" if content is None else "is damaged, or no report|has the schema")


@pytest.mark.parametrize("arguments", [[], ["plan.toml", "--from", "report.json"], ["plan.toml", "--home", "."]])
def test_a_plan_or_a_report_is_named_and_not_both(arguments):
    result = CliRunner().invoke(app, ["audit", *arguments])
    assert result.exit_code == 2
    assert "Traceback" not in result.output


RECIPE = """
from sklearn.tree import DecisionTreeClassifier


def train(features, labels, seed):
    return DecisionTreeClassifier(max_depth=3, random_state=seed).fit(features, labels)
"""


def test_a_recipe_that_was_changed_since_is_not_that_of_the_report(home):
    (home.path / "my_recipe.py").write_text(RECIPE)
    home.edit("[references]", '[recipe]\nuse = "my_recipe:train"\ntrust = true\n\n[references]')
    script = "from unseen.cli.main import app; app()"

    def run(*words):
        return subprocess.run(
            [sys.executable, "-c", script, "audit", *words], cwd=home.path, capture_output=True, text=True, check=False
        )

    first = run("plan.toml")
    assert first.returncode in {0, 1, 3}, first.stderr
    report = str(home.run / "report.json")
    assert run("--from", report, "--trust").returncode == first.returncode
    (home.path / "my_recipe.py").write_text(RECIPE.replace("max_depth=3, ", ""))
    second = run("--from", report, "--trust")
    assert second.returncode == 2
    assert "the recipe is not that of the report" in second.stderr
