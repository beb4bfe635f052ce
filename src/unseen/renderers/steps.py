"""What to do next: in an audit that settled nothing, what each of its reasons asks for."""

from unseen.renderers.words import percent, sentence
from unseen.report import BROKEN, FAILED, INCONCLUSIVE, LEAK, NO_LEAK_FOUND, PRESENT, GateResult, Report

REMEDIES = (
    "Try what lowers it: regularisation, fewer epochs or shallower trees, less detailed answers, more data, "
    "differential privacy."
)
MOST_STEPS = 3  # of one kind; the report holds them all


def broken_gates(report: Report) -> list[GateResult]:
    """Return the gates that do not hold."""
    return [one for one in report.gates if one.state == BROKEN]


def steps(report: Report) -> list[str]:
    """Return what to do next, first things first: in an audit that settled nothing, what each reason asks for."""
    if report.state in {INCONCLUSIVE, FAILED}:
        until = "until then nothing is known either way, and" if broken_gates(report) else "until then"
        return [*_repairs(report), f"Audit again: {until} the audit does not pass."]
    if report.state == LEAK:
        return [*_lowering(report), "Then audit again with the same plan, and compare the intervals."]
    if report.state == NO_LEAK_FOUND and report.limits:
        return [
            "Keep this report with the release: the limits hold for the attacks that were run, and for no others.",
            "Read what was not tested before you rely on this.",
        ]
    if report.state == NO_LEAK_FOUND:
        return [
            "Read the smallest leak that would have been found; to rule out a smaller one, audit more records.",
            "Read what was not tested before you rely on this.",
        ]
    return ["Give the audit an access with which an attack can run, and audit again."]


def _repairs(report: Report) -> list[str]:
    """Return the advice of each broken gate; then what failures, too few records and undecided limits ask for."""
    found = [f"Gate {one.name}: {one.advice or one.finding}" for one in broken_gates(report)]
    references = report.references
    if references.identical:
        found.append("Hand in a model that can be fitted anew: its references were not retrained, or learn nothing.")
    if 2 * references.finished < references.asked:
        why = ", ".join(f"{count} x {name}" for name, count in references.failures.items()) or "no reason was kept"
        found.append(f"Repair what stopped references from being trained: {why}.")
    failed: dict[str, list[str]] = {}
    for one in report.attacks:
        if one.state == FAILED:
            failed.setdefault(one.reason, []).append(one.name)
    found += [f"Repair {_some(names)}, or leave out of the plan: {why}." for why, names in failed.items()]
    undecided = [one for one in report.limits if one.verdict == "undecided"]
    found += [f"Limit {one.limit} is undecided ({one.detail}): audit more records." for one in undecided]
    unclear = [one for one in report.attacks if one.state == INCONCLUSIVE]
    unread = unclear or (report.attacks if undecided else [])
    needed = sorted({(one.non_members_needed, one.fpr) for a in unread for one in a.refused})
    found += [
        f"Hand in {count:,} non-members or more, there are {report.non_members:,}: a false-positive rate of "
        f"{percent(fpr)} needs them."
        for count, fpr in needed[:1]
        if count > report.non_members
    ]
    return (
        found
        or [f"Attack {one.name}: {one.reason}." for one in unclear[:1]]
        or [sentence(one) for one in report.reasons]
    )


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} attacks ({', '.join(names[:MOST_STEPS])}, ...)"


def _lowering(report: Report) -> list[str]:
    present = [one for one in report.factors if one.state == PRESENT and one.controls]
    measured = [f"The factor {one.name} is present: try {', '.join(one.controls)}." for one in present[:MOST_STEPS]]
    return ["See which records are exposed, and in which slices.", *(measured or [REMEDIES])]
