"""The command line: help, the catalogue, versions, `init`, and what starting up does not import."""

import json
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import skops.io
from sklearn.tree import DecisionTreeClassifier
from typer.testing import CliRunner

import unseen
from unseen.cli.main import app

COMMANDS = [
    [],
    ["init"],
    ["audit"],
    ["demo"],
    ["attacks"],
    ["attacks", "show"],
    ["manifest"],
    ["report"],
    ["open"],
    ["compare"],
]


def ran(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(command):
    result = ran(*command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout
    assert result.stderr == ""


def test_the_help_lists_the_commands_and_the_exit_codes():
    text = ran("--help").stdout
    assert all(name in text for name in ("init", "audit", "report", "compare", "demo", "attacks"))
    assert "Exit codes" in text


def test_without_a_command_the_help_is_shown():
    assert "Usage:" in ran().output


def test_the_version_is_printed():
    result = ran("--version")
    assert result.exit_code == 0
    assert result.stdout.strip() == unseen.__version__


def test_the_attacks_are_listed():
    result = ran("attacks")
    assert result.exit_code == 0
    for name in unseen.attacks.catalogue():
        assert f"{name} " in result.stdout


def test_the_attacks_are_listed_for_programs():
    listed = json.loads(ran("attacks", "--json").stdout)
    assert [one["name"] for one in listed] == list(unseen.attacks.catalogue())
    assert all(one["meaning"] and one["cites"] and one["row"] for one in listed)


@pytest.mark.parametrize("name", sorted(unseen.attacks.catalogue()))
def test_every_attack_is_explained(name):
    result = ran("attacks", "show", name)
    assert result.exit_code == 0
    for word in (name, "Access:", "Needs ", "Source:", "Row S"):
        assert word in result.stdout
    facts = json.loads(ran("attacks", "show", name, "--json").stdout)
    assert facts["needs"] == [signal.name for signal in unseen.attacks.catalogue()[name].needs]


def test_an_unknown_attack_is_refused_with_the_near_one():
    result = ran("attacks", "show", "lira-onlin")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert "did you mean 'lira-online'" in result.stderr


@pytest.mark.parametrize("arguments", [["adit"], ["audit"], ["audit", "--nope"], ["init"], ["attacks", "show"]])
def test_wrong_usage_has_exit_code_two(arguments):
    result = ran(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 2)), rng.integers(0, 2, 80)
    for name, rows in (("members", slice(0, 40)), ("non_members", slice(40, 80))):
        pl.DataFrame({"a": X[rows, 0], "b": X[rows, 1], "label": y[rows]}).write_csv(tmp_path / f"{name}.csv")
    skops.io.dump(DecisionTreeClassifier().fit(X[:40], y[:40]), tmp_path / "model.skops")
    return tmp_path


def init(files, *more):
    return ran(
        "init",
        *("--model", files / "model.skops"),
        *("--members", files / "members.csv"),
        *("--non-members", files / "non_members.csv"),
        *("--out", files / "plan.toml"),
        *more,
    )


def test_init_writes_a_plan_and_says_what_is_next(files):
    result = init(files)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "unseen audit" in result.stdout
    assert unseen.plan.read_plan(files / "plan.toml").data.label == "label"


def test_init_does_not_overwrite(files):
    init(files)
    before = (files / "plan.toml").read_bytes()
    result = init(files)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert "is not overwritten" in result.stderr
    assert (files / "plan.toml").read_bytes() == before


def test_init_refuses_in_one_sentence_and_writes_nothing(files):
    (files / "members.csv").unlink()
    result = init(files)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert "there is no file" in result.stderr
    assert not (files / "plan.toml").exists()


LOADED = "import sys; print([name for name in ('sklearn', 'torch', 'matplotlib') if name in sys.modules])"
HELP = "from unseen.cli.main import app; app(['--help'], standalone_mode=False)"


@pytest.mark.parametrize(
    "script",
    [f"import unseen; {LOADED}", f"{HELP}; {LOADED}", f"import unseen; dir(unseen); {LOADED}"],
)
def test_starting_up_imports_neither_scikit_learn_nor_torch_nor_matplotlib(script):
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert loaded.stdout.splitlines()[-1] == "[]"
    assert loaded.stderr == ""


def test_every_public_name_is_there():
    for name in unseen.__all__:
        assert getattr(unseen, name) is not None
    assert set(unseen.__all__) <= set(dir(unseen))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = unseen.nothing
