"""The report as SARIF 2.1.0, for code scanning: a rule for each attack, gate and kind of limit, and what was found."""

import re
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from unseen.renderers.verdict import claim, title
from unseen.renderers.words import clean, find, plain
from unseen.report import BROKEN, FAILED, INCONCLUSIVE, LEAK, Report

SCHEMA_URI = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
PLAN = "plan.toml"  # where the plan's own name is not known
MOST_NAMED = 10  # slices in one message
MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\+00:00|Z)")
LIMITS = {
    "tpr": "Members recognised at a false-positive rate",
    "auc": "Members told from others (AUC)",
    "advantage": "Largest difference of true and false positives",
    "ppv": "Calls that are right (PPV)",
}


class Finding(NamedTuple):
    """One result: the rule that it breaks, how bad, what was found, and what tells it from another of its rule."""

    rule: str
    level: str
    message: str
    kind: str = "fail"
    key: str = ""


def sarif(report: Report) -> str:
    """Return one run with its rules, results, taxonomies and the exit code that the report's state decides."""
    content = {"$schema": SCHEMA_URI, "version": "2.1.0", "runs": [_run(report)]}
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode() + "\n"


def _run(report: Report) -> dict[str, Any]:
    rules = _rules(report)
    places = {rule["id"]: place for place, rule in enumerate(rules)}
    driver = {
        "name": "unseen",
        "rules": rules,
        "supportedTaxonomies": [{"name": clean(name), "index": i} for i, name in enumerate(report.identifiers)],
    }
    if version := report.provenance.versions.get("unseen"):
        driver["version"] = clean(version)
    return {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(report)],
        "artifacts": [{"location": {"uri": _artifact(report)}, "description": {"text": "what was audited"}}],
        "taxonomies": [_taxonomy(clean(name), clean(taxon)) for name, taxon in report.identifiers.items()],
        "results": [_result(one, places[one.rule], report) for one in _findings(report)],
        "properties": {"state": report.state, "family": report.family},
    }


def _rules(report: Report) -> list[dict[str, Any]]:
    """Return the rules, each id once: whatever can be found, found or not."""
    found = {f"attack/{clean(one.name)}": f"{clean(one.name)} tells members from others" for one in report.attacks}
    found |= {f"gate/{clean(one.name)}": clean(one.meaning) for one in report.gates}
    found |= {f"limit/{kind}": LIMITS.get(kind, kind) for kind in (_limit_kind(one.limit) for one in report.limits)}
    found["slice"] = "Members of a slice are told from others"
    found["verdict"] = "The audit settles nothing, and does not pass"
    return [_rule(name, text or name, report) for name, text in found.items()]


def _rule(name: str, text: str, report: Report) -> dict[str, Any]:
    related = [
        {"target": {"id": clean(taxon), "toolComponent": {"name": clean(taxonomy), "index": i}}, "kinds": ["relevant"]}
        for i, (taxonomy, taxon) in enumerate(report.identifiers.items())
    ]
    return {
        "id": name,
        "shortDescription": {"text": text},
        "relationships": related,
        "properties": {"tags": ["security", "privacy", "membership-inference"]},
    }


def _limit_kind(limit: str) -> str:
    return clean(limit).split(" ")[0].lower()


def _findings(report: Report) -> list[Finding]:
    """Return leaks, broken gates, limits that are over or undecided, and attacks that could not look."""
    allowed, doubted = bool(report.limits), report.state in {INCONCLUSIVE, FAILED}
    level = "note" if allowed else "warning" if doubted else "error"
    found = [
        Finding(f"limit/{_limit_kind(one.limit)}", "error", f"Over the limit, {one.limit}: {one.detail}", key=one.limit)
        for one in report.limits
        if one.verdict == "over"
    ]
    found += [
        Finding(f"limit/{_limit_kind(one.limit)}", "none", f"Undecided, {one.limit}: {one.detail}", "open", one.limit)
        for one in report.limits
        if one.verdict not in {"over", "within"}
    ]
    found += [
        Finding(f"gate/{clean(one.name)}", "warning", f"{one.name}: {one.finding}. {one.advice}")
        for one in report.gates
        if one.state == BROKEN
    ]
    for one in report.attacks:
        if one.state == LEAK:
            area = find(one.estimates, "auc")
            told = f" (AUC {plain(area)})" if area else ""
            found.append(Finding(f"attack/{clean(one.name)}", level, f"{one.name} tells members from others{told}."))
        elif one.state in {FAILED, INCONCLUSIVE}:
            found.append(Finding(f"attack/{clean(one.name)}", "none", f"{one.name}: {one.reason}.", "open"))
    found += _slices(report, level)
    if not found and report.exit_code:  # nobody may take an audit that settled nothing for one without findings
        found.append(Finding("verdict", "warning", f"{title(report).capitalize()}: {'; '.join(report.reasons)}."))
    return found


def _slices(report: Report, level: str) -> list[Finding]:
    """Return one finding for what divides the records, not one a slice: some tables have hundreds."""
    kinds: dict[str, list[str]] = {}
    for one in report.slices:
        if one.state == LEAK:
            kinds.setdefault(one.by, []).append(one.value)
    return [
        Finding("slice", level, f"{len(values)} slices by {by} leak: {', '.join(values[:MOST_NAMED])}.", key=by)
        for by, values in kinds.items()
    ]


def _result(one: Finding, place: int, report: Report) -> dict[str, Any]:
    print_of = blake2b(f"{one.rule}\n{clean(one.key)}".encode(), digest_size=16).hexdigest()
    taxa = [
        {"id": clean(taxon), "toolComponent": {"name": clean(name), "index": i}}
        for i, (name, taxon) in enumerate(report.identifiers.items())
    ]
    return {
        "ruleId": one.rule,
        "ruleIndex": place,
        "kind": one.kind,
        "level": one.level,
        "message": {"text": clean(one.message)},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": _artifact(report), "index": 0},
                    "region": {"startLine": 1},  # a whole file; code scanning shows nothing without a line
                }
            }
        ],
        "partialFingerprints": {"finding/v1": print_of},
        "taxa": taxa,
    }


def _artifact(report: Report) -> str:
    """Return the name of the audited model's or table's file, without its folder, as a relative URI."""
    plan = report.provenance.plan
    for section, key in (("target", "model"), ("answers", "table")):
        content = plan.get(section)
        named = content.get(key) if isinstance(content, dict) else None
        if isinstance(named, str) and (name := re.split(r"[/\\]", clean(named))[-1]):
            return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
    return PLAN


def _taxonomy(name: str, taxon: str) -> dict[str, Any]:
    return {"name": name, "shortDescription": {"text": name}, "taxa": [{"id": taxon, "name": "membership inference"}]}


def _invocation(report: Report) -> dict[str, Any]:
    told: dict[str, Any] = {
        "executionSuccessful": report.state != FAILED,
        "exitCode": report.exit_code,
        "exitCodeDescription": claim(report),
        "toolExecutionNotifications": [
            {"level": "warning" if report.exit_code == 3 else "note", "message": {"text": clean(reason)}}
            for reason in [*report.reasons, *report.notes]
        ],
    }
    if moment := MOMENT.fullmatch(report.provenance.started):
        told["startTimeUtc"] = f"{moment.group(1)}Z"
    return told
