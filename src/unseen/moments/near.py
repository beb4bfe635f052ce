"""Means over records near a record, of the same class: what a model does alike to all of them is not membership."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from unseen.signal import Bools, Floats, Ints

WIDTH = 0.3  # of a kernel, in standard deviations of a block's squared distances, beyond the nearest record
KINDS = 3  # of means: by a third of the width, by the width, and plain
MOST = 1000  # records in a block; a larger class is cut at the median of its leading direction
ROUNDS = 30


@dataclass(frozen=True)
class Neighbourhoods:
    """Features in common units, `(records, columns)`, and blocks of records that can be each other's neighbours."""

    scaled: Floats = field(repr=False)
    blocks: list[Ints] = field(repr=False)


def neighbourhoods(features: Floats, label: Ints) -> Neighbourhoods:
    """Return all records' neighbourhoods, by class; see `means_near`.

    `features (records, columns)`, `label (records,)`. Two-valued columns count as 0 and 1, others in units of two
    standard deviations (Gelman 2008, doi:10.1002/sim.3107); a missing value lies at the column's mean. A record that
    is alone has no neighbours, nor have more than 1,000 records that are all equal.
    """
    scaled = _scaled(features)
    groups = [rows for one in np.unique(label) for rows in _cut(scaled, np.flatnonzero(label == one))]
    return Neighbourhoods(scaled, [rows for rows in groups if rows.size > 1])


def means_near(values: Floats, near: Neighbourhoods) -> Iterator[tuple[Ints, Floats]]:
    """Yield each block's rows `(n,)` and means over each one's neighbours, itself left out, `(kinds, n, columns)`.

    `values (records, columns)`. The kinds are two kernels on the squared distance and the plain mean of the block. The
    weights, `n` squared, are made block by block and forgotten.
    """
    for rows in near.blocks:
        given = np.column_stack([values[rows], np.ones(rows.size)])
        wide = _weights(near.scaled[rows])
        sums = np.stack([wide**3 @ given, wide @ given, given.sum(axis=0) - given])  # exp(-3 d) is exp(-d) cubed
        yield rows, sums[:, :, :-1] / sums[:, :, -1:]


def _scaled(features: Floats) -> Floats:
    given = np.isfinite(features)
    count = np.maximum(given.sum(axis=0), 1)
    mean = np.where(given, features, 0.0).sum(axis=0) / count
    centred = np.where(given, features - mean, 0.0).astype(np.float64)
    low, high = centred.min(axis=0), centred.max(axis=0)
    two = ((centred == low) | (centred == high)).all(axis=0)
    unit = np.where(two, high - low, 2 * np.sqrt((centred**2).sum(axis=0) / count))
    return centred / np.where(unit > 0, unit, 1.0)


def _cut(scaled: Floats, rows: Ints) -> Iterator[Ints]:
    if rows.size <= MOST:
        yield rows
        return
    place = _leading(scaled[rows])
    middle = np.median(place)
    left: Bools = place <= middle
    left = left if not left.all() else place < middle
    if left.any() and not left.all():
        yield from _cut(scaled, rows[left])
        yield from _cut(scaled, rows[~left])


def _leading(scaled: Floats) -> Floats:
    """Return each row's place along the leading direction, rounded, so that equal rows are never parted."""
    centred = scaled - scaled.mean(axis=0)
    direction = centred.std(axis=0)
    for _ in range(ROUNDS):
        moved = (centred @ direction) @ centred
        length = np.linalg.norm(moved)
        if length == 0:
            break
        direction = moved / length
    return np.round(centred @ direction, 7)


def _weights(scaled: Floats) -> Floats:
    """Return exp(-squared distance beyond the nearest / width), `(n, n)`; a record weighs 0 on itself."""
    square = (scaled**2).sum(axis=1)
    distance = -2 * (scaled @ scaled.T)
    distance += square
    distance += square[:, None]
    np.maximum(distance, 0.0, out=distance)
    np.fill_diagonal(distance, 0.0)
    pairs = distance.size - len(distance)
    mean = distance.sum() / pairs
    spread = np.sqrt(max(float(np.vdot(distance, distance)) / pairs - mean**2, 0.0))
    np.fill_diagonal(distance, np.inf)
    distance -= distance.min(axis=1, keepdims=True)
    distance /= -WIDTH * spread if spread > 1e-6 * mean else -WIDTH  # below it, rounding alone
    return np.asarray(np.exp(distance, out=distance))
