"""Rises: how far each number of each attack rose between two runs, and whether further than a margin."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from msgspec.structs import replace

from unseen.comparison import Difference
from unseen.errors import TooFewRecords
from unseen.estimate import Estimate
from unseen.estimating import ERROR_BUDGET
from unseen.pairing import Paired
from unseen.report import Report
from unseen.signal import Bools, Floats
from unseen.stats.difference import auc_difference
from unseen.stats.intervals import delong_variance
from unseen.stats.multiplicity import holm
from unseen.stats.power import POWER
from unseen.stats.square_and_add import auc_difference_unpaired
from unseen.stats.tpr_difference import tpr_difference, tpr_difference_unpaired

SMALLEST_P = 1e-9  # where the search for a p-value ends

Rise = Callable[[float], Estimate]  # at a confidence
Scored = tuple[Floats, Bools]


@dataclass(frozen=True)
class Question:
    """A number that two runs may differ in: of which attack, before and after, and its rise at any confidence."""

    attack: str
    quantity: str
    fpr: float | None
    before: float
    after: float
    rise: Rise = field(repr=False)


def questions(before: Report, after: Report, units: Paired) -> tuple[list[Question], dict[str, str]]:
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


def _area(attack: str, new: Scored, old: Scored, *, paired: bool) -> Question:
    rise = partial(auc_difference, new[0], old[0], new[1]) if paired else partial(auc_difference_unpaired, *new, *old)
    before, after = delong_variance(*old)[0], delong_variance(*new)[0]
    return Question(attack, "auc", None, before, after, lambda confidence: rise(confidence=confidence))


def _rate(attack: str, fpr: float, new: Scored, old: Scored, *, paired: bool) -> Question:
    alike = partial(tpr_difference, new[0], old[0], new[1], fpr)
    apart = partial(tpr_difference_unpaired, *new, *old, fpr)
    rise = alike if paired else apart
    c = rise(confidence=0.95).counts
    before, after = c["other_true_positives"] / c["other_members"], c["true_positives"] / c["members"]
    return Question(attack, "tpr", fpr, before, after, lambda confidence: rise(confidence=confidence))


def judged(asked: list[Question], margin: float) -> list[Difference]:
    """Return each rise with its p-value against `margin`, adjusted over all, and what would have been found."""
    raw = [rise_p_value(one.rise, margin) for one in asked]
    adjusted = iter(holm(np.array(raw)).tolist())
    level = ERROR_BUDGET / max(len(asked), 1)
    return [_difference(one, p, next(adjusted), level, margin) for one, p in zip(asked, raw, strict=True)]


def _difference(one: Question, p_value: float, adjusted: float, level: float, margin: float) -> Difference:
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
