"""Lower, then fill from the bottom: the one way in which controls make a distribution say less.

Lemma. Let p be a distribution over C classes, r <= p in every class, and let L be the level at which the max(r, L) sum
to 1. Then q = max(r, L) is a distribution, is ordered as r is, and its top is at most that of p.
Proof. max(r, L) rises with r, so no class overtakes another. If L <= max r, the top of q is max r <= max p. Otherwise
every class is at L, so L = 1/C, and the top of p is at least its mean, 1/C.
"""

from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from unseen.control import Floats, added_up

EXACT = 1e-10  # a row whose sum is this near to 1 is left as it is


def normalised(rows: Floats) -> Floats:
    """Return the rows (records, classes) with sums of 1; those that have it already are not touched.

    >>> normalised(np.array([[0.5, 0.5], [1.0, 3.0]]))
    array([[0.5 , 0.5 ],
           [0.25, 0.75]])
    """
    total = np.cumsum(rows, axis=1)[:, -1:]
    return rows / np.where(np.abs(total - 1) <= EXACT, 1.0, total)


def normalised_row(row: list[float]) -> list[float]:
    """Return what `normalised` makes of one row."""
    total = added_up(row)
    return row if abs(total - 1) <= EXACT else [value / total for value in row]


def filled(lowered: Floats) -> Floats:
    """Return max(row, L) for every row (records, classes), with the level L at which it sums to 1.

    Rows must sum to at most 1. L is the least of (what is missing + the sum of the j lowest) / j over all j.

    >>> filled(np.array([[0.6, 0.2, 0.1]]))
    array([[0.6, 0.2, 0.2]])
    """
    below = np.cumsum(np.sort(lowered, axis=1), axis=1)
    missing = np.maximum(1 - below[:, -1:], 0.0)
    levels = (missing + below) / np.arange(1, lowered.shape[1] + 1)
    return np.maximum(lowered, levels.min(axis=1, keepdims=True))


def filled_row(lowered: list[float]) -> list[float]:
    """Return what `filled` makes of one row."""
    below = list(accumulate(sorted(lowered)))
    missing = max(1 - below[-1], 0.0)
    level = min([(missing + one) / count for count, one in enumerate(below, 1)])
    return [max(value, level) for value in lowered]


def ranked(rows: Floats) -> NDArray[np.intp]:
    """Return the classes of each row from the most to the least likely, ties by index.

    >>> ranked(np.array([[0.2, 0.6, 0.2]]))
    array([[1, 0, 2]])
    """
    return np.argsort(-rows, axis=1, kind="stable")


def in_the_order_of(rows: Floats, values: Floats) -> Floats:
    """Return the values of each row, the largest where the row is largest and so on, ties by index.

    >>> in_the_order_of(np.array([[0.2, 0.7, 0.1]]), np.array([[0.5, 0.2, 0.3]]))
    array([[0.3, 0.5, 0.2]])
    """
    placed = np.empty_like(values)
    np.put_along_axis(placed, ranked(rows), -np.sort(-values, axis=1), axis=1)
    return placed
