"""A difference's interval from the intervals of what it is made of: squared distances to the bounds, added."""

from collections.abc import Iterable

import numpy as np

from unseen.estimate import Estimate
from unseen.signal import Bools, Floats
from unseen.stats.intervals import auc_interval

Reach = tuple[float, float, float]  # how far two values may be off, one each, and how they go together, in [-1, 1]


def square_and_add(parts: Iterable[Reach]) -> float:
    """Return how far a difference may be off: the root of a^2 + b^2 - 2 correlation a b, summed over its parts.

    Newcombe 1998, Statistics in Medicine 17:2635, method 10; in general, Zou and Donner 2008, doi:10.1002/sim.3095.

    >>> square_and_add([(3.0, 4.0, 0.0)])
    5.0
    """
    total = sum(a * a + b * b - 2 * correlation * a * b for a, b, correlation in parts)
    return float(np.sqrt(max(total, 0.0)))


def auc_difference_unpaired(
    scores: Floats, member: Bools, other: Floats, other_member: Bools, confidence: float = 0.95
) -> Estimate:
    """Return AUC of `scores (units,)` minus AUC of `other (other units,)`, as of two independent sets of units.

    From the two AUCs' own intervals, which hold at the edges too. Where the same records stand in both sets the AUCs
    mostly move together, and the interval is then too wide.
    """
    (new, _), (old, _) = (auc_interval(s, m, confidence) for s, m in ((scores, member), (other, other_member)))
    value = new.value - old.value
    return Estimate(
        quantity="auc_difference",
        value=value,
        low=max(value - square_and_add([(new.value - new.low, old.high - old.value, 0.0)]), -1.0),
        high=min(value + square_and_add([(new.high - new.value, old.value - old.low, 0.0)]), 1.0),
        confidence=confidence,
        method="unpaired: square and add, from the interval of each AUC",
        counts={
            "members": int(member.sum()),
            "non_members": int((~member).sum()),
            "other_members": int(other_member.sum()),
            "other_non_members": int((~other_member).sum()),
        },
        condition="two independent sets of units; members and non-members drawn alike in each",
    )
