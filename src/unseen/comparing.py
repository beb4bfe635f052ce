"""Comparing two runs: which numbers rose, by how much, and whether by more than the policy allows."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from msgspec.structs import replace

from unseen.comparison import NO_REGRESSION_FOUND, REGRESSION, UNDECIDED, Comparison, Difference, Side
from unseen.errors import TooFewRecords
from unseen.estimate import Estimate
from unseen.estimating import ERROR_BUDGET
from unseen.outcome import Outcome
from unseen.report import FAILED, INCONCLUSIVE, NOT_APPLICABLE, Report
from unseen.saved import SavedRun, read_saved
from unseen.signal import Bools, Floats
from unseen.stats.difference import auc_difference
from unseen.stats.intervals import delong_variance
from unseen.stats.multiplicity import holm
from unseen.stats.power import POWER
from unseen.stats.square_and_add import auc_difference_unpaired
from unseen.stats.tpr_difference import tpr_difference, tpr_difference_unpaired

FEWEST_COMPARED = 10  # units a side
HOPELESS_RISE = 0.45  # of the AUC: a comparison that finds only a larger one has not looked
SMALLEST_P = 1e-9  # where the search for a p-value ends
NUMBERED = re.compile(r"\w+\[\d+\]")  # an id that an audit made up of a record's place in its table

Rise = Callable[[float], Estimate]  # at a confidence


@dataclass(frozen=True)
class _Question:
    """A number that two runs may differ in: of which attack, before and after, and its rise at any confidence."""

    attack: str
    quantity: str
    fpr: float | None
    before: float
    after: float
    rise: Rise = field(repr=False)

    @property
    def name(self) -> str:
        return f"{self.attack}, {self.quantity.upper()}{'' if self.fpr is None else f' at FPR {self.fpr:g}'}"


@dataclass(frozen=True)
class _Units:
    """The units to compare: two tables, row by row the same units where `paired`, and a sentence that says so."""

    older: pl.DataFrame = field(repr=False)
    newer: pl.DataFrame = field(repr=False)
    paired: bool
    pairing: str

    @property
    def fewest(self) -> int:
        """The size of the smallest side of either table."""
        sides = [int((table["member"] == side).sum()) for table in (self.older, self.newer) for side in (True, False)]
        return min(sides)


def compare(older: str | Path | Outcome | SavedRun, newer: str | Path | Outcome | SavedRun) -> Comparison:
    """Hold a newer run against an older one: by how much did each number of each attack rise?

    Runs are folders that audits left, or outcomes. Every attack that both measured is asked for its AUC, and its TPR at
    each rate that both resolved. Where both hold the same units (ids and membership), they are compared unit by unit. A
    regression is a rise that lies above the newer run's `policy.worsen_at_most` within one error budget of 5 % for the
    whole comparison (Holm). It compares these two models on these units, not two ways of training. Raises
    `FolderError`.
    """
    before, after = _run(older), _run(newer)
    units = _units(before, after)
    margin = after.report.policy.worsen_at_most
    doubts = _doubts(before.report, after.report)
    questions, left_out = list[_Question](), _measured_once(before.report, after.report)
    if before.report.unit == after.report.unit and units.fewest >= FEWEST_COMPARED:
        questions, refused = _questions(before.report, after.report, units)
        left_out |= refused
    differences = _judged(questions, margin)
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


def _units(before: SavedRun, after: SavedRun) -> _Units:
    """Return the units that both runs hold, in one order; else all units of each."""
    apart = partial(_Units, before.units, after.units, paired=False)
    same_data = before.report.provenance.data_digest == after.report.provenance.data_digest
    if not same_data and _numbered(before.units) and _numbered(after.units):
        return apart(pairing="unpaired, as neither run names its records by ids, and their data differ")
    keys = ["id", "member"]
    older = before.units.join(after.units.select(keys), on=keys, how="semi").sort("id")
    newer = after.units.join(before.units.select(keys), on=keys, how="semi").sort("id")
    common, most = older.height, max(before.units.height, after.units.height)
    what = f"{after.report.unit}s"
    if common == most:
        return _Units(older, newer, paired=True, pairing=f"paired, the same {common} {what} in both runs")
    found = _Units(
        older,
        newer,
        paired=True,
        pairing=f"paired over {common} {what} that both runs hold; left out of the older run: "
        f"{before.units.height - common}, of the newer: {after.units.height - common}",
    )
    if found.fewest >= FEWEST_COMPARED:
        return found
    return apart(pairing=f"unpaired, as only {common} {what} have the same id and side in both runs")


def _numbered(units: pl.DataFrame) -> bool:
    return all(NUMBERED.fullmatch(one) for one in units["id"])


def _doubts(before: Report, after: Report) -> list[str]:
    """Return why a comparison of these two settles nothing, whatever it finds."""
    unsettled = {INCONCLUSIVE, FAILED, NOT_APPLICABLE}
    doubts = [
        f"the {name} run is itself {report.state}{f' ({report.reasons[0]})' if report.reasons else ''}"
        for name, report in (("older", before), ("newer", after))
        if report.state in unsettled
    ]
    if before.unit != after.unit:
        doubts.append(f"the older run's unit is the {before.unit}, the newer run's the {after.unit}")
    return doubts


def _measured_once(before: Report, after: Report) -> dict[str, str]:
    older, newer = ({one.name: one for one in report.attacks} for report in (before, after))
    left = {}
    for name in [*newer, *(name for name in older if name not in newer)]:
        missing = [run for run, of in (("older", older), ("newer", newer)) if name not in of or not of[name].estimates]
        if missing:
            left[name] = f"not measured in the {' and the '.join(missing)} run"
    return left


def _questions(before: Report, after: Report, units: _Units) -> tuple[list[_Question], dict[str, str]]:
    """Return what is asked of each attack that both runs measured, and what the counts cannot carry."""
    found, refused = [], dict[str, str]()
    older = {one.name: one for one in before.attacks if one.estimates}
    for one in after.attacks:
        if not one.estimates or one.name not in older:
            continue
        both = [{e.fpr for e in attack.estimates if e.quantity == "tpr"} for attack in (older[one.name], one)]
        rates = sorted((fpr for fpr in both[0] & both[1] if fpr is not None), reverse=True)
        column = f"{one.name} score"
        new, old = units.newer[column].to_numpy(), units.older[column].to_numpy()
        is_new, is_old = units.newer["member"].to_numpy(), units.older["member"].to_numpy()
        found.append(_area(one.name, (new, is_new), (old, is_old), paired=units.paired))
        for fpr in rates:
            try:
                found.append(_rate(one.name, fpr, (new, is_new), (old, is_old), paired=units.paired))
            except TooFewRecords as error:
                refused[f"{one.name}, TPR at FPR {fpr:g}"] = str(error).rstrip(".")
    return found, refused


Scored = tuple[Floats, Bools]


def _area(attack: str, new: Scored, old: Scored, *, paired: bool) -> _Question:
    rise = partial(auc_difference, new[0], old[0], new[1]) if paired else partial(auc_difference_unpaired, *new, *old)
    before, after = delong_variance(*old)[0], delong_variance(*new)[0]
    return _Question(attack, "auc", None, before, after, lambda confidence: rise(confidence=confidence))


def _rate(attack: str, fpr: float, new: Scored, old: Scored, *, paired: bool) -> _Question:
    alike = partial(tpr_difference, new[0], old[0], new[1], fpr)
    apart = partial(tpr_difference_unpaired, *new, *old, fpr)
    rise = alike if paired else apart
    c = rise(confidence=0.95).counts
    before, after = c["other_true_positives"] / c["other_members"], c["true_positives"] / c["members"]
    return _Question(attack, "tpr", fpr, before, after, lambda confidence: rise(confidence=confidence))


def _judged(questions: list[_Question], margin: float) -> list[Difference]:
    """Return each rise with its p-value against `margin`, adjusted over all, and what would have been found."""
    raw = [rise_p_value(one.rise, margin) for one in questions]
    adjusted = iter(holm(np.array(raw)).tolist())
    level = ERROR_BUDGET / max(len(questions), 1)
    return [_difference(one, p, next(adjusted), level, margin) for one, p in zip(questions, raw, strict=True)]


def _difference(one: _Question, p_value: float, adjusted: float, level: float, margin: float) -> Difference:
    low = one.rise(1 - 2 * level).low
    rise = one.rise(0.95)
    # the reach of the test, and once more what a rise falls short of its value by in one of five samples
    needed = margin + (rise.value - low) + (rise.value - one.rise(1 - 2 * (1 - POWER)).low)
    rise = replace(
        rise,
        attack=one.attack,
        p_value=p_value,
        adjusted_p=adjusted,
        detectable=needed if needed <= 1 else None,
    )
    regressed = adjusted <= ERROR_BUDGET
    return Difference(one.attack, one.quantity, one.fpr, one.before, one.after, rise, low, regressed)


def rise_p_value(rise: Rise, margin: float) -> float:
    """Return the smallest one-sided error at which the lower bound of a rise lies above `margin`.

    1 where it does not even at an error of one half; never below 1e-9, where the search ends.
    """
    if rise(0.0).low <= margin:
        return 1.0
    below, above = np.log(SMALLEST_P), np.log(0.5)
    if rise(1 - 2 * SMALLEST_P).low > margin:
        return SMALLEST_P
    for _ in range(16):
        middle = (below + above) / 2
        if rise(1 - 2 * float(np.exp(middle))).low > margin:
            above = middle
        else:
            below = middle
    return float(np.exp(above))


def _concluded(differences: list[Difference], doubts: list[str], units: _Units, margin: float) -> tuple[str, list[str]]:
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
