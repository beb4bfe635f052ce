"""The smallest leak that a test would have found, and the records that a rate needs."""

import math

import numpy as np
from scipy.special import betaincinv, ndtri

from unseen.stats.exceedance import critical_count

POWER = 0.8
FEWEST_EXPECTED = 10


def records_needed(fpr: float) -> int:
    """Return how many non-members a false-positive rate needs, so that ten false positives are expected.

    >>> records_needed(0.001)
    10000
    """
    return math.ceil(FEWEST_EXPECTED / fpr - 1e-9)


def detectable_tpr(members: int, allowed: int, non_members: int, level: float, power: float = POWER) -> float | None:
    """Return the smallest TPR that the exceedance test at `level` finds with `power`; None where no TPR is enough.

    Exact given the threshold: P[Binomial(members, tpr) >= critical count] = power is solved for the tpr.
    """
    count = critical_count(members, allowed, non_members, level)
    return None if count > members else float(betaincinv(count, members - count + 1, power))


def detectable_auc(members: int, non_members: int, level: float, power: float = POWER) -> float:
    """Return the smallest AUC that the Mann-Whitney test at `level` finds with `power`, by its null variance.

    The variance shrinks as the AUC grows in the usual models, so this errs on the side of a larger leak.
    """
    deviation = np.sqrt((members + non_members + 1) / (12 * members * non_members))
    return float(min(0.5 + (ndtri(power) - ndtri(level)) * deviation, 1.0))
