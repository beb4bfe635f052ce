"""MinHash: pairs of sparse rows that store nearly the same columns."""

from typing import Any

import numpy as np

from unseen.features.cells import pairs_in_cells
from unseen.signal import Bools, Floats, Ints

FEWEST_STORED = 50  # columns, below which two strangers may store the same ones
SIMILAR = 0.9
BANDS, ROWS = 12, 6  # a pair at 0.9 is missed 1 time in 15,000


def similar_pairs(matrix: Any) -> Ints:
    """Return pairs of rows of a sparse matrix whose sets of stored columns have a Jaccard similarity of 0.9 or more.

    `(pairs, 2)` places of rows, each pair once. Broder 1997; bands as in Leskovec et al., Mining of Massive Datasets,
    section 3.4; every pair is verified.
    """
    rows = matrix.tocsr()
    stored = np.diff(rows.indptr)
    places = np.flatnonzero(stored >= FEWEST_STORED)
    if places.size < 2:
        return np.empty((0, 2), dtype=np.intp)
    kept = rows[places]
    rng = np.random.default_rng(places.size)
    found: list[Ints] = [np.empty((0, 2), dtype=np.intp)]
    for _ in range(BANDS):
        smallest = np.stack([_smallest(kept, rng.random(rows.shape[1])) for _ in range(ROWS)], axis=1)
        _, band = np.unique(smallest, axis=0, return_inverse=True)
        found.append(pairs_in_cells(band.reshape(-1)))
    pairs = np.unique(np.concatenate(found), axis=0)
    return places[pairs[_alike(kept, pairs)]]


def _smallest(rows: Any, value: Floats) -> Floats:
    return np.minimum.reduceat(value[rows.indices], rows.indptr[:-1])


def _alike(rows: Any, pairs: Ints) -> Bools:
    sets = rows.copy()
    sets.data = np.ones_like(sets.data, dtype=np.float64)
    stored = np.diff(sets.indptr)
    both = np.asarray(sets[pairs[:, 0]].multiply(sets[pairs[:, 1]]).sum(axis=1)).reshape(-1)
    return both >= SIMILAR * (stored[pairs].sum(axis=1) - both)
