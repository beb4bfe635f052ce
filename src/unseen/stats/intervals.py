"""Exact and near-exact intervals for proportions and for the area under a ROC curve."""

from typing import Any

import numpy as np
from scipy.special import betaincinv, stdtrit
from scipy.stats import rankdata

from unseen.estimate import Interval
from unseen.signal import Bools, Floats

FEWEST_FOR_DELONG = 10  # units on the smaller side; below, bounds on disjoint pairs


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Return the exact binomial interval (Clopper and Pearson 1934); it covers at least at its stated rate.

    >>> round(clopper_pearson(1, 1000).high, 6)
    0.005559
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"successes must be in [0, trials] and trials positive, got {successes} of {trials}.")
    tail = (1 - confidence) / 2
    low = float(betaincinv(successes, trials - successes + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, trials - successes, 1 - tail)) if successes < trials else 1.0
    return Interval(successes / trials, low, high)


def delong_variance(scores: Floats, member: Bools) -> tuple[float, float]:
    """Return AUC and its variance by DeLong's placements, ties as halves, in O(n log n).

    Sun and Xu 2014, doi:10.1109/LSP.2014.2337313.
    `scores (units,)`, `member (units,)`. The variance is 0 where the placements do not vary (separated or constant
    scores): see `auc_interval` for what is said then.
    """
    positive, negative = np.sort(scores[member]), np.sort(scores[~member])  # sums that row order cannot change
    pooled = rankdata(np.concatenate([positive, negative]))
    above = (pooled[: positive.size] - rankdata(positive)) / negative.size
    below = 1 - (pooled[positive.size :] - rankdata(negative)) / positive.size
    return float(above.mean()), _spread(above) + _spread(below)


def _spread(placements: Floats) -> float:
    return float(placements.var(ddof=1) / placements.size) if placements.size > 1 else 0.0


def auc_interval(scores: Floats, member: Bools, confidence: float = 0.95) -> tuple[Interval, str]:
    """Return the AUC with DeLong's interval on the logit scale, and the method's name.

    Where the placements do not vary, the bound rests on disjoint pairs instead: with all of m pairs in order,
    AUC^m >= tail gives the lower bound (exact); for a constant score, Hoeffding's bound on m pairs.
    """
    value, variance = delong_variance(scores, member)
    pairs = int(min(member.sum(), (~member).sum()))
    tail = (1 - confidence) / 2
    if variance > 0 and 0 < value < 1 and pairs >= FEWEST_FOR_DELONG:
        reach = float(stdtrit(pairs - 1, 1 - tail))  # Student's t for the smaller side: DeLong is optimistic there
        centre, half = _logit(value), reach * np.sqrt(variance) / (value * (1 - value))
        return Interval(value, _expit(centre - half), _expit(centre + half)), "DeLong, logit scale"
    if value in {0.0, 1.0}:
        edge = float(tail ** (1 / pairs))
        bounds = (edge, 1.0) if value == 1.0 else (0.0, 1 - edge)
        return Interval(value, *bounds), "disjoint pairs, exact"
    half = float(np.sqrt(np.log(1 / tail) / (2 * pairs)))
    return Interval(value, max(value - half, 0.0), min(value + half, 1.0)), "disjoint pairs, Hoeffding"


def _logit(p: float) -> float:
    return float(np.log(p) - np.log1p(-p))


def _expit(x: Any) -> float:
    return float(1 / (1 + np.exp(-x)))


def dkw_margin(records: int, tail: float) -> float:
    """Return the one-sided Dvoretzky-Kiefer-Wolfowitz margin of `records` draws at `tail` <= 1/2 (Massart 1990)."""
    return float(np.sqrt(np.log(1 / tail) / (2 * records)))
