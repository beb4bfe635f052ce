"""The difference of two true-positive rates at one false-positive rate, when both thresholds are estimates too."""

from dataclasses import dataclass, field

import numpy as np
from scipy.stats import binom

from unseen.errors import DataError, TooFewRecords
from unseen.estimate import Estimate
from unseen.signal import Bools, Floats
from unseen.stats.intervals import clopper_pearson
from unseen.stats.power import FEWEST_EXPECTED, records_needed
from unseen.stats.roc import threshold_for
from unseen.stats.square_and_add import Reach, square_and_add

CONDITION = "each threshold set on its own run's non-members; the interval pays for both"


def tpr_difference(scores: Floats, other: Floats, member: Bools, fpr: float, confidence: float = 0.95) -> Estimate:
    """Return the TPR of `scores` minus that of `other` at an FPR of at most `fpr`, over the same units.

    Both `(units,)`, higher means member; `member (units,)` boolean. Four things may be off: the count above each
    threshold (Clopper-Pearson), and each threshold (an order statistic's tolerance bound, Wilks 1941). Their squared
    reaches are added; how the two scores go together, among members and among non-members, is taken off by the phi of
    each side with Newcombe's correction. Raises `TooFewRecords` as `tpr_at_fpr` does.

    >>> member = np.arange(400) < 200
    >>> tpr_difference(np.arange(400.0)[::-1], np.arange(400) % 200 + 0.0, member, 0.1).value
    0.9
    """
    new, old = _Rate.of(scores, member, fpr), _Rate.of(other, member, fpr)
    together = _phi(new.found, old.found), _phi(new.mistaken, old.mistaken)
    method = "paired: square and add over Clopper-Pearson and threshold tolerance, less phi"
    both = {"found_by_both": int((new.found & old.found).sum())}
    return _estimate(new, old, together, fpr, confidence, method, _counts(new) | _counts(old, "other_") | both)


def tpr_difference_unpaired(
    scores: Floats, member: Bools, other: Floats, other_member: Bools, fpr: float, confidence: float = 0.95
) -> Estimate:
    """Return the same difference, as of two independent sets of units; see `tpr_difference`."""
    new, old = _Rate.of(scores, member, fpr), _Rate.of(other, other_member, fpr)
    method = "unpaired: square and add over Clopper-Pearson and threshold tolerance"
    counts = _counts(new) | _counts(old, "other_")
    return _estimate(new, old, (0.0, 0.0), fpr, confidence, method, counts)


@dataclass(frozen=True)
class _Rate:
    """One TPR: which members lie above the threshold, `found`, which non-members, `mistaken`, and all scores sorted."""

    found: Bools = field(repr=False)
    mistaken: Bools = field(repr=False)
    inside: Floats = field(repr=False)
    outside: Floats = field(repr=False)
    fpr: float

    @classmethod
    def of(cls, scores: Floats, member: Bools, fpr: float) -> "_Rate":
        if scores.shape != member.shape or member.all() or not member.any():
            raise DataError("scores and member must be one value a unit each, with units on both sides.")
        outside = int((~member).sum())
        if outside * fpr < FEWEST_EXPECTED * (1 - 1e-9):
            needed = records_needed(fpr)
            raise TooFewRecords(f"a TPR at an FPR of {fpr:g} needs {needed} non-members, got {outside}.", needed)
        threshold = threshold_for(scores[~member], int(np.floor(fpr * outside * (1 + 1e-12))))
        above = scores > threshold
        return cls(above[member], above[~member], np.sort(scores[member]), np.sort(scores[~member]), fpr)

    @property
    def value(self) -> float:
        return float(self.found.mean())

    def above(self, allowed: int) -> float:
        """Return the share of members above the threshold that `allowed` non-members may exceed; at the ends 0, 1."""
        if allowed < 0:
            return 0.0
        if allowed >= self.outside.size:
            return 1.0
        place = np.searchsorted(self.inside, self.outside[self.outside.size - allowed - 1], side="right")
        return float(1 - place / self.inside.size)

    def reaches(self, tail: float) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return how far the TPR may lie (below, above) its value: by the members' count, by the threshold."""
        size, rate = self.outside.size, clopper_pearson(int(self.found.sum()), self.found.size, 1 - 2 * tail)
        strict = int(binom.ppf(tail, size, self.fpr))
        strict -= int(binom.cdf(strict, size, self.fpr) > tail)
        lax = int(binom.isf(tail, size, self.fpr))
        by_threshold = max(self.value - self.above(strict), 0.0), max(self.above(lax) - self.value, 0.0)
        return (self.value - rate.low, rate.high - self.value), by_threshold


def _estimate(
    new: _Rate,
    old: _Rate,
    together: tuple[float, float],
    fpr: float,
    confidence: float,
    method: str,
    counts: dict[str, int],
) -> Estimate:
    tail = (1 - confidence) / 2
    sources = list(zip(new.reaches(tail), old.reaches(tail), together, strict=True))
    down: list[Reach] = [(a[0], b[1], correlation) for a, b, correlation in sources]
    up: list[Reach] = [(a[1], b[0], correlation) for a, b, correlation in sources]
    value = new.value - old.value
    return Estimate(
        quantity="tpr_difference",
        value=value,
        low=max(value - square_and_add(down), -1.0),
        high=min(value + square_and_add(up), 1.0),
        confidence=confidence,
        method=method,
        counts=counts,
        condition=CONDITION,
        fpr=fpr,
    )


def _phi(one: Bools, other: Bools) -> float:
    """Return the correlation of two yes-or-no answers on the same units; towards 0 by Newcombe's correction."""
    both, neither = int((one & other).sum()), int((~one & ~other).sum())
    first, second = int((one & ~other).sum()), int((~one & other).sum())
    crossed = float(both * neither - first * second)
    product = max(crossed - one.size / 2, 0.0) if crossed > 0 else crossed
    margins = float((both + first) * (second + neither) * (both + second) * (first + neither))
    return product / np.sqrt(margins) if margins else 0.0


def _counts(rate: _Rate, prefix: str = "") -> dict[str, int]:
    return {
        f"{prefix}members": rate.found.size,
        f"{prefix}non_members": rate.mistaken.size,
        f"{prefix}true_positives": int(rate.found.sum()),
        f"{prefix}false_positives": int(rate.mistaken.sum()),
    }
