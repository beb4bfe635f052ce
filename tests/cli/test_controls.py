"""`unseen controls`: the catalogue, one control explained, and the page's code."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from unseen.cli.main import app
from unseen.controls import CONTROLS

PAGE = Path(__file__).parents[2] / "docs" / "controls.md"
UNSAID = re.compile(r"\bsafe\b|\banonymous\b|\bno leakage\b", re.IGNORECASE)


def ran(*arguments):
    return CliRunner().invoke(app, list(arguments))


def test_the_controls_are_listed_with_what_none_of_them_does():
    result = ran("controls")
    assert result.exit_code == 0
    assert all(control.name in result.stdout for control in CONTROLS)
    assert "no defence by itself" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.name)
def test_each_control_is_explained(control):
    result = ran("controls", "show", control.name)
    assert result.exit_code == 0
    for title in ("Hides: ", "Costs: ", "Promises: ", "Does not stop: ", "OWASP: ", "MITRE ATLAS: "):
        assert title in result.stdout
    assert all(f"Setting {setting.name}: " in result.stdout for setting in control.settings)
    assert not UNSAID.search(result.stdout)


def test_a_control_that_is_not_there_is_an_error_with_the_nearest_name():
    result = ran("controls", "show", "roundin")
    assert result.exit_code == 2
    assert "did you mean 'rounding'" in result.stderr
    assert ran("controls", "show", "temperature").exit_code == 2


@pytest.mark.parametrize(("command", "name"), [("controls", "rounding"), ("attacks", "loss")])
def test_a_name_without_show_is_told_what_shows_it(command, name):
    result = ran(command, name)
    assert result.exit_code == 2
    assert f"unseen {command} show {name}" in result.stderr
    other = ran(command, "shwo")
    assert other.exit_code == 2
    assert "did you mean 'show'" in other.stderr


def test_controls_are_printed_for_programs():
    listed = json.loads(ran("controls", "--json").stdout)
    assert [one["name"] for one in listed] == [control.name for control in CONTROLS]
    assert json.loads(ran("controls", "show", "top-k", "--json").stdout)["settings"][0]["name"] == "k"


def test_the_code_of_the_page_runs_and_the_page_says_no_word_that_we_never_print():
    text = PAGE.read_text(encoding="utf-8")
    exec("\n".join(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)), {})
    assert not UNSAID.search(text)
