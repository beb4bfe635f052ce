"""Bounds on the TPR at a *true* false-positive rate, when the threshold too comes from the non-members at hand."""

from scipy.stats import binom

from unseen.signal import Bools, Floats
from unseen.stats.intervals import clopper_pearson
from unseen.stats.roc import threshold_for


def tpr_tolerance(scores: Floats, member: Bools, fpr: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return bounds on the TPR of the threshold whose true false-positive rate is `fpr`.

    Lower: a threshold so high that its true rate is at most `fpr` but for a quarter of the error (an order statistic's
    tolerance bound, Wilks 1941), and the Clopper-Pearson lower bound above it with another quarter. Upper: the mirror.
    Both hold with ties, for the lowest threshold whose rate is at most `fpr`. Where no threshold is that high or low,
    the bound is 0 or 1.

    >>> import numpy as np
    >>> scores, member = np.arange(4000) % 2000, np.arange(4000) < 2000
    >>> low, high = tpr_tolerance(scores, member, 0.1)
    >>> low < 0.1 < high
    True
    """
    null, inside = scores[~member], scores[member]
    tail = (1 - confidence) / 4
    allowed = int(binom.ppf(tail, null.size, fpr))
    while allowed >= 0 and binom.cdf(allowed, null.size, fpr) > tail:
        allowed -= 1
    low, high = 0.0, 1.0
    if allowed >= 0:
        above = int((inside > threshold_for(null, allowed)).sum())
        low = clopper_pearson(above, inside.size, 1 - 2 * tail).low
    most = int(binom.isf(tail, null.size, fpr))
    if most < null.size:
        reached = int((inside > threshold_for(null, most)).sum())
        high = clopper_pearson(reached, inside.size, 1 - 2 * tail).high
    return low, high
