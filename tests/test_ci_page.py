"""docs/ci.md is true: its files are whole, its commands run, its test is a test."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import skops.io
import yaml
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from typer.testing import CliRunner

import unseen
from unseen.cli.main import app

PAGE = (Path(__file__).parents[1] / "docs" / "ci.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"\bunseen ((?:audit|report|compare) [^'\n]*)")
COMMANDS = list(
    dict.fromkeys(one.strip() for kind, code in BLOCKS if kind != "python" for one in COMMAND.findall(code))
)


@pytest.fixture
def build(tmp_path, monkeypatch):
    """A folder as a runner has it: the page's own files, a model that leaks little, and its tables."""
    monkeypatch.chdir(tmp_path)
    for _, code in BLOCKS:
        if file := re.match(r"# ([\w.]+)\n", code):
            Path(file.group(1)).write_text(code, encoding="utf-8")
    X, y = make_classification(800, 4, n_informative=3, n_redundant=0, flip_y=0.2, random_state=0)
    table = pl.DataFrame(X, schema=["a", "b", "c", "d"]).with_columns(label=pl.Series(y)).with_row_index("id")
    table[:400].write_csv("members.csv")
    table[400:].write_csv("non_members.csv")
    skops.io.dump(LogisticRegression().fit(X[:400], y[:400]), "model.skops")
    return tmp_path


@pytest.mark.parametrize("code", [code for kind, code in BLOCKS if kind == "yaml"])
def test_every_recipe_in_yaml_is_yaml(code):
    assert yaml.safe_load(code)


def test_no_recipe_hands_out_ids_or_records():
    assert [one for one in COMMANDS if one.startswith("report ")]
    assert all("--no-ids" in one for one in COMMANDS if one.startswith("report "))
    assert not [code for kind, code in BLOCKS if "records.parquet" in code]


def test_the_page_names_every_exit_code():
    rows = re.findall(r"^\| (\d) \|", PAGE, re.MULTILINE)
    assert {int(one) for one in rows} == {*unseen.report.EXIT_CODES.values(), unseen.errors.InputError.exit_code}


@pytest.mark.slow
def test_every_command_of_the_page_runs(build):
    assert {one.split()[0] for one in COMMANDS} == {"audit", "report", "compare"}
    for one in COMMANDS:
        if one.startswith("compare"):
            shutil.copytree("unseen-run", "last-release")
        done = CliRunner().invoke(app, one.split())
        assert done.exit_code == 0, (one, done.output)
    assert {path.name for path in build.glob("unseen.*")} == {"unseen.sarif", "unseen.md", "unseen.xml", "unseen.html"}


@pytest.mark.slow
def test_the_test_of_the_page_is_a_test_that_passes(build):
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:randomly", "test_privacy.py"]
    done = subprocess.run(command, cwd=build, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
