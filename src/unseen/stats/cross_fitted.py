"""The area under the ROC curve of cross-fitted scores, whose folds know each other."""

from math import sqrt

import numpy as np
from msgspec.structs import replace
from scipy.special import expit, logit
from scipy.stats import norm

from unseen.estimate import Estimate
from unseen.signal import Bools, Floats
from unseen.stats.roc import auc

TWICE = sqrt(2)


def cross_fitted_auc(scores: Floats, member: Bools, confidence: float = 0.95) -> Estimate:
    """Return the AUC of scores `(units,)` that a learner gave in folds, each fitted to the other folds.

    What fold A happens to look like makes the learner on fold B right or wrong, and the reverse: every pair of folds is
    counted twice, which doubles the variance where there is nothing to learn (exactly so for the sum of products of two
    folds' mean differences; measured, 1.3 to 1.4 times the standard deviation of independent scores). Interval and test
    are those of `auc`, with twice the variance.

    >>> one = cross_fitted_auc(np.arange(40.0), np.arange(40) % 2 == 0)
    >>> bool(one.low < auc(np.arange(40.0), np.arange(40) % 2 == 0).low)
    True
    """
    one = auc(scores, member, confidence)
    if not 0 < one.low < one.high < 1 or one.p_value is None:
        return one
    centre, low, high = logit(one.value), logit(one.low), logit(one.high)
    return replace(
        one,
        low=float(expit(centre - TWICE * (centre - low))),
        high=float(expit(centre + TWICE * (high - centre))),
        method=f"{one.method}, twice the variance (cross-fitted)",
        p_value=float(norm.sf(norm.isf(np.clip(one.p_value, 1e-300, 1 - 1e-16)) / TWICE)),
    )


def widened(one: Estimate) -> Estimate:
    """Return a difference of two AUCs, one of them cross-fitted, with twice the variance."""
    low, high = (one.value + TWICE * (end - one.value) for end in (one.low, one.high))
    return replace(one, low=max(low, -1.0), high=min(high, 1.0), method=f"{one.method}, twice the variance")
