"""The other formats: valid against their schemas, in step with the exit code, short, and unharmed by hostile names."""

import json
import re
from functools import cache
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest
import xmlschema
from markdown_it import MarkdownIt
from msgspec.structs import replace
from rich.console import Console
from tests.renderers.reports import IDS, attack, cell, hostile, judged, specimen
from tests.renderers.test_page import REPORTS

from unseen.errors import PlanError
from unseen.renderers.formats import FORMATS, rendered
from unseen.renderers.html import summary_html
from unseen.renderers.junit import junit
from unseen.renderers.markdown import markdown
from unseen.renderers.sarif import sarif
from unseen.renderers.terminal import render, verdict
from unseen.report import (
    FAILED,
    INCONCLUSIVE,
    LEAK,
    NO_LEAK_FOUND,
    AttackResult,
    from_json,
    json_schema,
)

SCHEMAS = Path(__file__).parent / "schemas"
TEXTS = ("html", "markdown", "json", "junit", "sarif")


@cache
def sarif_schema():
    return jsonschema.Draft4Validator(json.loads((SCHEMAS / "sarif-schema-2.1.0.json").read_text(encoding="utf-8")))


@cache
def junit_schema():
    return xmlschema.XMLSchema(SCHEMAS / "junit-10.xsd")


@pytest.fixture(params=REPORTS)
def report(request):
    return REPORTS[request.param]()


def run(report):
    return json.loads(sarif(report))["runs"][0]


def cases(report):
    """The outcome of each test case, by class and name."""
    found = {}
    for case in ET.fromstring(junit(report)).iter("testcase"):
        outcome = [child.tag for child in case if child.tag in {"failure", "error", "skipped"}]
        found[case.get("classname").removeprefix("unseen."), case.get("name")] = outcome[0] if outcome else "passed"
    return found


@pytest.mark.parametrize("name", TEXTS)
def test_every_format_repeats_itself(name, report):
    assert rendered(report, name) == rendered(report, name)


def test_an_unknown_format_is_refused_with_the_near_one():
    with pytest.raises(PlanError, match="did you mean 'sarif'"):
        rendered(specimen(), "sarrif")


@pytest.mark.parametrize("name", TEXTS)
def test_ids_are_in_html_and_json_alone_and_nowhere_without_them(name):
    with_ids, without = rendered(specimen(), name).decode(), rendered(specimen(), name, ids=False).decode()
    assert [one in with_ids for one in IDS] == [name in {"html", "json"}] * 3
    assert not [one for one in IDS if one in without]


def test_the_json_is_the_report_and_keeps_its_schema():
    content = rendered(specimen(), "json")
    assert from_json(content) == specimen()
    jsonschema.validate(json.loads(content), json_schema(), cls=jsonschema.Draft202012Validator)


# --- SARIF


def test_sarif_is_valid(report):
    assert [error.message for error in sarif_schema().iter_errors(json.loads(sarif(report)))] == []


def test_sarif_has_a_rule_for_each_attack_gate_and_kind_of_limit():
    rules = [rule["id"] for rule in run(judged())["tool"]["driver"]["rules"]]
    assert len(rules) == len(set(rules))
    assert {"attack/rank-combined", "attack/qmia", "gate/blind-baseline", "limit/tpr", "limit/auc", "slice"} <= set(
        rules
    )


def test_sarif_results_are_leaks_broken_gates_and_limits_that_are_over():
    levels = {one["ruleId"]: one["level"] for one in run(specimen())["results"]}
    assert levels["attack/rank-combined"] == levels["slice"] == "error"
    assert not [name for name in levels if name.startswith("gate/")]
    levels = {one["ruleId"]: one["level"] for one in run(judged())["results"]}
    assert (levels["limit/tpr"], levels["attack/rank-combined"]) == ("error", "note")
    assert "limit/auc" not in levels
    levels = {one["ruleId"]: one["level"] for one in run(specimen(INCONCLUSIVE))["results"]}
    assert (levels["gate/blind-baseline"], levels["attack/rank-combined"]) == ("warning", "warning")
    assert run(specimen(NO_LEAK_FOUND))["results"] == []


def test_sarif_tells_the_exit_code_and_the_reasons(report):
    invocation = run(report)["invocations"][0]
    assert invocation["exitCode"] == report.exit_code
    assert invocation["executionSuccessful"] == (report.state != FAILED)
    assert len(invocation["toolExecutionNotifications"]) == len(report.reasons) + len(report.notes)


def test_sarif_names_the_taxonomies_on_every_finding():
    found = run(specimen())
    assert [[taxon["id"] for taxon in one["taxa"]] for one in found["taxonomies"]] == [
        ["ML04:2023"],
        ["AML.T0024.000"],
        ["NISTAML.033"],
    ]
    for one in found["results"]:
        assert [taxon["id"] for taxon in one["taxa"]] == ["ML04:2023", "AML.T0024.000", "NISTAML.033"]


@pytest.mark.parametrize(
    ("model", "uri"),
    [
        ("/home/ann/secret/model.skops", "model.skops"),
        ("C:\\Users\\ann\\m 1.pkl", "m_1.pkl"),
        ("..", ".."),
        (3, "plan.toml"),
    ],
)
def test_sarif_locates_a_file_by_its_name_alone(model, uri):
    origin = replace(specimen().provenance, plan={"target": {"model": model}})
    text = sarif(replace(specimen(), provenance=origin))
    assert "ann" not in text.replace("channel", "").replace("cannot", "").replace("annotation", "")
    assert run(replace(specimen(), provenance=origin))["artifacts"][0]["location"]["uri"] == uri


def test_a_finding_keeps_its_fingerprint_when_numbers_change_and_no_two_share_one():
    before = run(judged())["results"]
    after = run(replace(judged(), attacks=[attack(one.name, one.row, 0.9) for one in judged().attacks[:8]]))["results"]
    prints = {one["ruleId"]: one["partialFingerprints"] for one in before}
    assert prints["attack/loss"] == {one["ruleId"]: one["partialFingerprints"] for one in after}["attack/loss"]
    values = [one["partialFingerprints"]["finding/v1"] for one in before]
    assert len(values) == len(set(values))


# --- JUnit


def test_junit_is_valid(report):
    junit_schema().validate(junit(report))


def test_junit_fails_exactly_where_the_exit_code_does(report):
    outcomes = set(cases(report).values())
    assert bool(outcomes & {"failure", "error"}) == (report.exit_code != 0)


def test_junit_counts_what_it_holds(report):
    suite = ET.fromstring(junit(report)).find("testsuite")
    assert int(suite.get("tests")) == len(suite.findall("testcase"))
    for name, outcome in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(suite.get(name)) == len(suite.findall(f"testcase/{outcome}"))


def test_without_a_policy_a_leak_fails_its_attack():
    found = cases(specimen())
    assert (
        found["attacks", "rank-combined"] == found["slices", "slices by sex"] == found["report", "verdict"] == "failure"
    )
    assert found["attacks", "qmia"] == found["gates", "person-disjointness"] == "skipped"
    assert found["gates", "blind-baseline"] == "passed"


def test_under_a_policy_its_limits_fail_and_a_leak_that_it_allows_does_not():
    found = cases(judged())
    assert found["attacks", "rank-combined"] == found["slices", "slices by sex"] == "passed"
    assert found["limits", "TPR at FPR 1 % at most 0.05"] == "failure"
    assert found["limits", "AUC at most 0.9, in every slice"] == "passed"
    assert set(cases(judged("within")).values()) == {"passed", "skipped"}
    assert cases(judged("undecided"))["limits", "TPR at FPR 1 % at most 0.05"] == "error"


def test_a_broken_gate_and_a_failed_attack_are_errors():
    assert cases(specimen(INCONCLUSIVE))["gates", "blind-baseline"] == "error"
    assert cases(specimen(FAILED))["attacks", "loss"] == "error"


def test_an_audit_in_which_nothing_could_run_is_an_error():
    idle = replace(specimen(INCONCLUSIVE), attacks=[], slices=[], gates=[])
    assert cases(idle) == {("report", "verdict"): "error"}


# --- Markdown


def test_markdown_is_short(report):
    assert len(markdown(report)) < 4_000


def test_markdown_stays_short_with_much_to_tell():
    many = [attack(f"attack-{k}", "S2", 0.8) for k in range(300)]
    report = replace(
        specimen(INCONCLUSIVE),
        attacks=many,
        reasons=["long " * 500] * 50,
        slices=[cell("class", str(k), 0.8) for k in range(999)],
    )
    assert len(markdown(report)) < 8_000


def test_markdown_says_verdict_numbers_limits_attacks_and_what_to_do():
    text = markdown(judged())
    assert text.startswith("## unseen: Over policy\n")
    for words in (
        "| AUC | 0.830 | 0.818 to 0.842 |",
        "| TPR at FPR 1 % at most 0.05 | over |",
        "**Next**",
        "model inversion",
    ):
        assert words in text
    assert "| S2 | rank-combined | leak | 0.830 [0.818, 0.842] | 9.7 % [8.7, 10.7] |" in text
    assert text.index("| S1 |") < text.index("| S2 |") < text.index("| S3 |")


def test_markdown_gives_a_broken_gates_advice():
    text = markdown(specimen(INCONCLUSIVE))
    assert "**Draw members and non-members from one table, at random, before training.**" in text


def test_hostile_markdown_is_words_and_nothing_else():
    text = markdown(hostile())
    html = MarkdownIt("gfm-like", {"linkify": False}).render(text)
    assert not re.search(r"<(script|a|img|code|del)\b", html)
    assert not re.search(r"@team|#1\b|http://", text)
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    assert {len(re.findall(r"<t[hd]", row)) for row in rows} <= {3, 4, 5}


# --- all of them


@pytest.mark.parametrize("name", ["html", "markdown", "junit", "sarif"])
def test_hostile_names_leave_no_control_characters_and_no_new_lines(name):
    text = rendered(hostile(), name).decode()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\ufffe\uffff]", text)
    assert "alert(1)" in text
    assert "</script>\n|" not in text


def test_a_name_with_half_a_character_can_be_written():
    odd = replace(specimen(), attacks=[replace(attack("a", "S1", 0.7), name="half \ud800 \ufffe")])
    for name in ("html", "markdown", "junit", "sarif"):
        assert b"half" in rendered(odd, name)
    junit_schema().validate(junit(odd))


def printed(report):
    console = Console(width=200, record=True, force_terminal=True, color_system="truecolor")
    with console.capture() as got:
        console.print(render(report))
    return re.sub(r"\x1b\[[0-9;]*m", "", got.get())


def test_the_terminal_shows_broken_gates_with_advice_and_what_to_do_next():
    text = " ".join(printed(specimen(INCONCLUSIVE)).split())
    assert "Broken checks of the audit itself" in text
    assert "Draw members and non-members from one table, at random, before training." in text
    assert "Next: Audit again: until then nothing is known either way" in text
    assert "Broken checks" not in printed(specimen())


def test_the_terminal_and_notebooks_take_hostile_names_as_words():
    for text in (printed(hostile()), verdict(hostile()), summary_html(hostile())):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)
        assert "alert(1)" in text
    assert "<script>" not in summary_html(hostile())
    assert "[bold]x" in printed(replace(specimen(), attacks=[AttackResult("[bold]x", "S1", FAILED, [], "[red]y")]))


def test_every_format_is_there():
    assert list(FORMATS) == ["html", "markdown", "json", "junit", "sarif", "pdf"]
    assert {one().state for one in REPORTS.values()} == {LEAK, NO_LEAK_FOUND, INCONCLUSIVE, FAILED}
