"""The report as JUnit XML, for pipelines that show test results; it fails where the report's state does not pass."""

from collections.abc import Iterable
from typing import NamedTuple
from xml.etree import ElementTree as ET

from unseen.renderers.verdict import claim, title
from unseen.renderers.words import clean, find, plain, told
from unseen.report import (
    BROKEN,
    FAILED,
    INCONCLUSIVE,
    LEAK,
    NOT_APPLICABLE,
    AttackResult,
    GateResult,
    LimitResult,
    Report,
    SliceResult,
)

FAILURE, ERROR, SKIPPED = "failure", "error", "skipped"


class Case(NamedTuple):
    """One test case: the suite's part it belongs to, its name, an outcome ("" is passed) and one sentence."""

    part: str
    name: str
    outcome: str
    message: str
    type: str = ""


def junit(report: Report) -> str:
    """Return one test suite; attacks that leak under a policy do not fail, its limits do.

    The case "verdict" carries the state of the whole, so that failures and errors are there exactly where the exit code
    is not 0.
    """
    cases = [
        _verdict(report),
        *(_limit(one) for one in report.limits),
        *(_attack(one, allowed=bool(report.limits)) for one in report.attacks),
        *_slices(report.slices, allowed=bool(report.limits)),
        *(_gate(one) for one in report.gates),
    ]
    counts = {
        "tests": str(len(cases)),
        "failures": _count(cases, FAILURE),
        "errors": _count(cases, ERROR),
    }
    suites = ET.Element("testsuites", {"name": "unseen"} | counts)
    facts = {"skipped": _count(cases, SKIPPED), "timestamp": clean(report.provenance.started)}
    suite = ET.SubElement(suites, "testsuite", {"name": "membership inference"} | counts | facts)
    properties = ET.SubElement(suite, "properties")
    for name, value in {"state": report.state, "exit code": str(report.exit_code), **report.identifiers}.items():
        ET.SubElement(properties, "property", {"name": clean(name), "value": clean(value)})
    for case in cases:
        suite.append(_element(case))
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _count(cases: Iterable[Case], outcome: str) -> str:
    return str(sum(case.outcome == outcome for case in cases))


def _element(case: Case) -> ET.Element:
    one = ET.Element("testcase", {"classname": f"unseen.{case.part}", "name": clean(case.name), "time": "0"})
    if case.outcome:
        said = {"message": clean(case.message), "type": case.type or case.outcome}
        ET.SubElement(one, case.outcome, said).text = clean(case.message)
    elif case.message:
        ET.SubElement(one, "system-out").text = clean(case.message)
    return one


def _verdict(report: Report) -> Case:
    outcome = FAILURE if report.state == LEAK else ERROR if report.exit_code else ""
    message = f"{title(report)}: {claim(report)} {'; '.join(report.reasons)}"
    return Case("report", "verdict", outcome, message, report.state)


def _limit(one: LimitResult) -> Case:
    outcome = {"over": FAILURE, "within": ""}.get(one.verdict, ERROR)
    return Case("limits", one.limit, outcome, f"{one.verdict}: {one.detail}", one.verdict)


def _attack(one: AttackResult, *, allowed: bool) -> Case:
    area = find(one.estimates, "auc")
    measured = f"AUC {plain(area)}" if area else ""
    if one.state == LEAK and allowed:
        return Case("attacks", one.name, "", f"above chance, which the policy judges: {measured}")
    outcome = {LEAK: FAILURE, FAILED: ERROR, INCONCLUSIVE: SKIPPED, NOT_APPLICABLE: SKIPPED}.get(one.state, "")
    return Case("attacks", one.name, outcome, one.reason or measured, one.state)


def _slices(slices: Iterable[SliceResult], *, allowed: bool) -> list[Case]:
    """Return one case for what divides the records, not one a slice: some tables have hundreds."""
    kinds: dict[str, list[SliceResult]] = {}
    for one in slices:
        kinds.setdefault(one.by, []).append(one)
    cases = []
    for by, group in kinds.items():
        found = [one for one in group if one.state == LEAK]
        names = ", ".join(one.value for one in found[:10])
        message = f"{len(found)} of {len(group)} slices are above chance{f': {names}' if names else ''}"
        cases.append(Case("slices", f"slices by {by}", FAILURE if found and not allowed else "", message, LEAK))
    return cases


def _gate(one: GateResult) -> Case:
    outcome = {BROKEN: ERROR, NOT_APPLICABLE: SKIPPED}.get(one.state, "")
    numbers = "; ".join(told(e) for e in one.estimates)
    message = " ".join(part for part in (one.finding, one.advice, numbers) if part)
    return Case("gates", one.name, outcome, message, one.state)
