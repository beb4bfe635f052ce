"""What can be said of one record: an exact p-value by its rank among the non-members."""

import numpy as np

from unseen.signal import Bools, Floats


def record_p_values(scores: Floats, member: Bools) -> Floats:
    """Return `(units,)` exact p-values of "this unit is a non-member": its rank among the *other* non-members.

    p = (1 + number of other non-members scoring at least as high) / (1 + number of other non-members). Under
    exchangeability P[p <= a] <= a for every a (conformal p-values); never interpolated.

    >>> record_p_values(np.array([5.0, 1.0, 2.0]), np.array([True, False, False]))
    array([0.33333333, 1.        , 0.5       ])
    """
    null = np.sort(scores[~member])
    at_least = null.size - np.searchsorted(null, scores, side="left")
    others = null.size - ~member
    return (1 + at_least - ~member) / (1 + others)
