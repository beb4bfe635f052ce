"""Rows that fall in one cell, as pairs to be looked at."""

import numpy as np

from unseen.signal import Ints

CROWD = 16  # rows in one cell, above which a row is paired with its next neighbours only


def pairs_in_cells(cell: Ints) -> Ints:
    """Return pairs of places with equal values of `cell (rows,)`, the smaller place first, `(pairs, 2)`.

    >>> pairs_in_cells(np.array([7, 3, 7]))
    array([[0, 2]])
    """
    order = np.argsort(cell, kind="stable")
    ranked, found = cell[order], [np.empty((0, 2), dtype=np.intp)]
    for step in range(1, CROWD):
        same = np.flatnonzero(ranked[step:] == ranked[:-step])
        if same.size == 0:
            break
        found.append(np.stack([order[same], order[same + step]], axis=1))
    return np.concatenate(found)
