"""Near copies: rows that are one another's, but for a little noise or a few changed values."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.special import ndtri
from sklearn.neighbors import NearestNeighbors

from unseen.features.cells import pairs_in_cells
from unseen.features.minhash import similar_pairs
from unseen.features.rows import plain_columns
from unseen.signal import Floats, Ints

CLOSEST = 0.01  # in standard deviations of a normal score: the most that a near copy's value may be off
BY_CHANCE = 1e-3  # rows with a near copy by chance, as a share, at most
RESOLVED = 100  # values that a column must have for nearness to say something; below, only equal values agree
COMMON = 0.05  # the largest share that one value of such a column may have
CHANGED = 0.05  # of the resolved columns may differ altogether, where there are at least twenty
BIN = 8.0  # tolerances a bin of a projection is wide
SEARCHES = 6
NARROW = 50  # columns, up to which tolerances can be too small for float32
SAMPLE = 5_000
NEIGHBOURS = 2_000  # rows whose neighbours say how many dimensions the table fills
KNOTS = 32  # quantiles a normal score is read between
ABSENT = 37.0  # where a value is missing: far from every other


def near_copies(table: Any, distinct: Ints, also: Ints | None = None) -> Ints:
    """Return a number for each row of `table`, `(records,)`: rows with the same number are copies, exact or near.

    `distinct (records,)` holds equal numbers for equal rows; near copies have the same value of `also (records,)`, the
    label. Near copies of a dense table are equal in every column of few values, or in which one value is common, and in
    the others off by at most 1 % of the column's spread (in normal scores); in wide tables one such column of twenty
    may differ. Where strangers would be as near (few such columns, or columns that hang together), the tolerance
    shrinks until one row in a thousand has such a neighbour by chance. Found by quantised random projections, which
    miss about one pair in a thousand, and verified. Rows of a sparse table are near copies where nine of ten stored
    columns are the same (MinHash; rows of fifty stored values and more).
    """
    _, first, number = np.unique(distinct, return_index=True, return_inverse=True)
    if first.size < 2:
        return number
    label = np.zeros(first.size, dtype=np.int64) if also is None else also[first]
    pairs = similar_pairs(table[first]) if sparse.issparse(table) else _dense_pairs(table, first, label)
    pairs = pairs[label[pairs[:, 0]] == label[pairs[:, 1]]]
    return _joined(pairs, first.size)[number] if pairs.size else number


def _joined(pairs: Ints, rows: int) -> Ints:
    ones = np.ones(pairs.shape[0], dtype=bool)
    graph = sparse.coo_matrix((ones, (pairs[:, 0], pairs[:, 1])), shape=(rows, rows))
    return np.asarray(connected_components(graph, directed=False)[1])


def _dense_pairs(table: Any, first: Ints, label: Ints) -> Ints:
    """Return verified pairs of places in `first`, `(pairs, 2)`."""
    matrix, rest = _standardised(table, first, label)
    if matrix.shape[1] == 0:
        return np.empty((0, 2), dtype=np.intp)
    dimension = _effective_dimension(matrix[:SAMPLE])
    tolerance = min(CLOSEST, (BY_CHANCE / first.size) ** (1 / dimension) / 0.56)  # 0.56: density of two normals' gap
    may_differ = int(CHANGED * matrix.shape[1])
    found = [
        _verified(pairs, matrix, rest, tolerance, may_differ)
        for pairs in _candidates(matrix, rest, tolerance, may_differ)
    ]
    return np.unique(np.concatenate(found), axis=0)


def _standardised(table: Any, first: Ints, label: Ints) -> tuple[Floats, Ints]:
    """Return the columns of many values as normal scores, `(rows, columns)`, and one number for all the rest.

    Rows with other values in a column of few, or in one that holds no numbers, have other numbers.
    """
    rest: Ints = _mix(np.zeros(first.size, dtype=np.uint64), label)
    resolved: list[Floats] = []
    for column in plain_columns(table):
        values = column[first]
        if values.dtype.kind not in "biuf":
            rest = _mix(rest, np.unique([str(value) for value in values.tolist()], return_inverse=True)[1])
            continue
        numbers = values.astype(np.float64) + 0.0
        known = np.isfinite(numbers)
        if not _resolved(numbers[known][:SAMPLE]):
            rest = _mix(rest, numbers.view(np.int64))
            continue
        placed = np.where(known, _normal_scores(numbers, numbers[known][:SAMPLE]), ABSENT)
        resolved.append(placed if len(resolved) < NARROW else placed.astype(np.float32))
    if not resolved:
        return np.empty((first.size, 0)), rest
    return np.stack(resolved, axis=1, dtype=np.float64 if len(resolved) <= NARROW else np.float32), rest


def _resolved(sample: Floats) -> bool:
    """Say whether a column has many values, none of them common: nearness in it then says something."""
    count = np.unique(sample, return_counts=True)[1]
    return bool(count.size > RESOLVED and count.max() <= COMMON * sample.size)


def _normal_scores(values: Floats, sample: Floats) -> Floats:
    """Return values placed where their rank would be among normal ones, straight between quantiles of a sample.

    So a tolerance is a share of what lies between, in a crowded place as in a tail. Beyond the sample the line goes on.
    """
    share = (np.arange(KNOTS) + 0.5) / KNOTS
    known, first = np.unique(np.quantile(sample, share), return_index=True)
    place = ndtri(share[first])
    if known.size < 2:
        return np.asarray((values - known[0]) / sample.std())
    inside = np.interp(values, known, place)
    low, high = ((place[k + 1] - place[k]) / (known[k + 1] - known[k]) for k in (0, -2))
    below, above = np.minimum(values - known[0], 0), np.maximum(values - known[-1], 0)
    with np.errstate(invalid="ignore"):
        return np.asarray(inside + low * below + high * above)


def _effective_dimension(sample: Floats) -> float:
    """Return how many dimensions the rows fill: the smaller of what their correlations and their neighbours say.

    The participation ratio of the correlations, (sum of eigenvalues)^2 / sum of their squares; and the two-nearest-
    neighbour estimate (Facco et al. 2017, doi:10.1038/s41598-017-11873-y), which sees that columns hang together in
    other ways than by straight lines. Copies in the sample can only make it smaller, and the tolerance with it.
    """
    centred = np.clip(sample, -10, 10)
    centred = centred - centred.mean(axis=0)
    deviation = centred.std(axis=0)
    centred = centred[:, deviation > 0] / deviation[deviation > 0]
    if centred.shape[1] < 2:
        return 1.0
    correlation = centred.T @ centred / centred.shape[0]
    return min(float(centred.shape[1] ** 2 / (correlation**2).sum()), _two_neighbours(sample[:NEIGHBOURS]))


def _two_neighbours(sample: Floats) -> float:
    nearest = NearestNeighbors(n_neighbors=3).fit(sample).kneighbors(sample)[0][:, 1:]
    apart = nearest[nearest[:, 0] > 0]
    middle = float(np.median(np.log(apart[:, 1] / apart[:, 0]))) if apart.size else 0.0
    return max(np.log(2) / middle, 1.0) if middle > 0 else 1.0  # the ratio is Pareto; its median bears copies


def _candidates(matrix: Floats, rest: Ints, tolerance: float, may_differ: int) -> Iterator[Ints]:
    """Yield pairs that share a cell of some projections; each search that allows changes looks at half the columns."""
    rows, columns = matrix.shape
    rng = np.random.default_rng(rows)
    wide = BIN * tolerance
    projections = int(np.clip(math.ceil(math.log(100 * rows) / math.log(max(2 / wide, 2))), 2, 8))
    for _ in range(4 * SEARCHES if may_differ else SEARCHES):
        weights = rng.normal(size=(columns, projections))
        if may_differ:
            weights[rng.permutation(columns)[: columns // 2]] = 0
        weights /= np.linalg.norm(weights, axis=0)
        cell = rest
        for place in np.floor(matrix @ weights / wide + rng.random(projections)).astype(np.int64).T:
            cell = _mix(cell, place)
        yield pairs_in_cells(cell)


def _mix(mixed: Ints, number: Ints) -> Ints:
    """Return one 64-bit number from two, `(rows,)`: with SplitMix64's multiplier, other pairs are other numbers."""
    mixed = (mixed ^ number.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
    return mixed ^ (mixed >> np.uint64(29))


def _verified(pairs: Ints, matrix: Floats, rest: Ints, tolerance: float, may_differ: int) -> Ints:
    kept = [np.empty((0, 2), dtype=np.intp)]
    for start in range(0, pairs.shape[0], SAMPLE):
        one, two = pairs[start : start + SAMPLE].T
        off = (np.abs(matrix[one] - matrix[two]) > tolerance).sum(axis=1)
        kept.append(pairs[start : start + SAMPLE][(rest[one] == rest[two]) & (off <= may_differ)])
    return np.concatenate(kept)
