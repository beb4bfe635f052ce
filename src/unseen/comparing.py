"""Comparing two runs: which numbers rose, by how much, and whether by more than the policy allows."""

from collections.abc import Iterator
from pathlib import Path

from unseen.comparison import NO_REGRESSION_FOUND, REGRESSION, UNDECIDED, Comparison, Difference, Side
from unseen.outcome import Outcome
from unseen.pairing import FEWEST_COMPARED, Paired, pair
from unseen.report import BROKEN, FAILED, INCONCLUSIVE, NOT_APPLICABLE, Report
from unseen.rises import Question, judged, questions
from unseen.saved import SavedRun, read_saved

HOPELESS_RISE = 0.45  # of the AUC: a comparison that finds only a larger one has not looked


def compare(older: str | Path | Outcome | SavedRun, newer: str | Path | Outcome | SavedRun) -> Comparison:
    """Hold a newer run against an older one: by how much did each number of each attack rise?

    Runs are folders that audits left, or outcomes. Every attack that both measured is asked for its AUC, and its TPR at
    each rate that both resolved. Where both hold the same units (ids and membership), they are compared unit by unit. A
    regression is a rise that lies above the newer run's `policy.worsen_at_most` within one error budget of 5 % for the
    whole comparison (Holm). It compares these two models on these units, not two ways of training. Raises
    `FolderError`.
    """
    before, after = _run(older), _run(newer)
    units = pair(before, after)
    margin = after.report.policy.worsen_at_most
    doubts = _doubts(before.report, after.report)
    asked, left_out = list[Question](), _measured_once(before.report, after.report)
    if before.report.unit == after.report.unit and units.fewest >= FEWEST_COMPARED:
        asked, refused = questions(before.report, after.report, units)
        left_out |= refused
    differences = judged(asked, margin)
    state, reasons = _concluded(differences, doubts, units, margin)
    return Comparison(
        state=state,
        reasons=reasons,
        worsen_at_most=margin,
        unit=after.report.unit,
        paired=units.paired,
        pairing=units.pairing,
        family=len(differences),
        differences=differences,
        not_compared=left_out,
        notes=_notes(before.report, after.report),
        older=_side(before.report),
        newer=_side(after.report),
    )


def _run(given: str | Path | Outcome | SavedRun) -> SavedRun:
    if isinstance(given, Outcome):
        return SavedRun(given.report, given.records)
    return given if isinstance(given, SavedRun) else read_saved(given)


def _doubts(before: Report, after: Report) -> list[str]:
    """Return why a comparison of these two settles nothing, whatever it finds."""
    unsettled = {INCONCLUSIVE, FAILED, NOT_APPLICABLE}
    doubts = [
        f"the {name} run is itself {report.state}{f' ({report.reasons[0]})' if report.reasons else ''}"
        for name, report in (("older", before), ("newer", after))
        if report.state in unsettled and not _only_undecided(report)
    ]
    if before.unit != after.unit:
        doubts.append(f"the older run's unit is the {before.unit}, the newer run's the {after.unit}")
    return doubts


def _only_undecided(report: Report) -> bool:
    """Say whether all that keeps a run from a verdict is a limit that its counts cannot decide: its numbers stand."""
    looked = all(one.state != FAILED for one in report.attacks) and any(one.estimates for one in report.attacks)
    broken = any(one.state == BROKEN for one in report.gates) or report.references.identical
    short = 2 * report.references.finished < report.references.asked
    return looked and not broken and not short and any(one.verdict == "undecided" for one in report.limits)


def _measured_once(before: Report, after: Report) -> dict[str, str]:
    older, newer = ({one.name: one for one in report.attacks} for report in (before, after))
    left = {}
    for name in [*newer, *(name for name in older if name not in newer)]:
        missing = [run for run, of in (("older", older), ("newer", newer)) if name not in of or not of[name].estimates]
        if missing:
            left[name] = f"not measured in the {' and the '.join(missing)} run"
    return left


def _concluded(differences: list[Difference], doubts: list[str], units: Paired, margin: float) -> tuple[str, list[str]]:
    if not differences:
        few = f"fewer than {FEWEST_COMPARED} units stand on a side, which compare nothing"
        why = few if units.fewest < FEWEST_COMPARED else "no attack was measured in both runs"
        return UNDECIDED, doubts or [why]
    worse = [_told(one) for one in differences if one.regressed]
    if doubts:
        return UNDECIDED, [*doubts, *(f"what was measured, and may not be believed: {one}" for one in worse)]
    if worse:
        return REGRESSION, worse
    areas = [one.rise.detectable for one in differences if one.quantity == "auc"]
    reach = min((one for one in areas if one is not None), default=1.0)
    if reach - margin >= HOPELESS_RISE:
        return UNDECIDED, [f"so few units that only a rise of the AUC by {reach:.3f} would have been found"]
    return NO_REGRESSION_FOUND, list(_looked(differences, margin))


def _told(one: Difference) -> str:
    at = "" if one.fpr is None else f" at FPR {one.fpr:g}"
    return (
        f"{one.attack}: the {one.quantity.upper()}{at} rose from {one.before:.3f} to {one.after:.3f}, by "
        f"{one.rise.value:.3f} [{one.rise.low:.3f}, {one.rise.high:.3f}]"
    )


def _looked(differences: list[Difference], margin: float) -> Iterator[str]:
    yield f"no rise above {margin:g} was found, at one error budget of 5 % for {len(differences)} comparisons"
    reach = dict[str, list[float | None]]()
    for one in differences:
        name = one.quantity.upper() if one.fpr is None else f"{one.quantity.upper()} at FPR {one.fpr:g}"
        reach.setdefault(name, []).append(one.rise.detectable)
    for name, found in reach.items():
        known = [one for one in found if one is not None]
        if len(known) < len(found):
            yield f"{name}: no rise, however large, would have been found by each attack"
        else:
            yield f"{name}: a rise by {max(known):.3f} would have been found 4 times of 5 by each attack"


def _notes(before: Report, after: Report) -> list[str]:
    """Return what else differs between the runs, and may be why a number rose."""
    facts = {
        "references": (before.references.finished, after.references.finished),
        "rule": (before.rule, after.rule),
        "access": (", ".join(before.target.access), ", ".join(after.target.access)),
        "queries": (before.target.queries, after.target.queries),
        "seed": (before.provenance.seed, after.provenance.seed),
        "unseen": (before.provenance.versions.get("unseen"), after.provenance.versions.get("unseen")),
    }
    notes = [f"the runs differ in {name}: {old}, then {new}" for name, (old, new) in facts.items() if old != new]
    tables = "table" in {
        before.provenance.model_digest,
        after.provenance.model_digest,
    }  # of answers: its data are those
    if not tables and before.provenance.data_digest != after.provenance.data_digest:
        notes.append("the runs hold different data, or sides: numbers may differ for that alone")
    return notes


def _side(report: Report) -> Side:
    origin = report.provenance
    return Side(
        state=report.state,
        members=report.members,
        non_members=report.non_members,
        references=report.references.finished,
        seed=origin.seed,
        data_digest=origin.data_digest,
        model_digest=origin.model_digest,
        version=origin.versions.get("unseen", ""),
        started=origin.started,
    )
