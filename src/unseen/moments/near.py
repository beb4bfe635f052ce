"""Means over records near a record, of the same class: what a model does alike to all of them is not membership."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from unseen.signal import Bools, Floats, Ints

WIDTHS = (0.1, 0.3)  # of a kernel, in standard deviations of a block's squared distances, beyond the nearest record
MOST = 1000  # records in a block; a larger class is cut at the median of its leading direction
ROUNDS = 30


@dataclass(frozen=True)
class Block:
    """Records that can be each other's neighbours, and their weights, `(kinds, n, n)`; a record weighs 0 on itself."""

    rows: Ints = field(repr=False)
    weights: Floats = field(repr=False)


def blocks(features: Floats, label: Ints) -> list[Block]:
    """Return all records' neighbourhoods, by class: two kernels on the squared distance, and the plain block.

    `features (records, columns)`, `label (records,)`. Two-valued columns count as 0 and 1, others in units of two
    standard deviations (Gelman 2008, doi:10.1002/sim.3107); a missing value lies at the column's mean. A record that
    is alone has no neighbours, nor have more than 1,000 records that are all equal.
    """
    scaled = _scaled(features)
    groups = [rows for one in np.unique(label) for rows in _cut(scaled, np.flatnonzero(label == one))]
    return [Block(rows, _weights(scaled[rows])) for rows in groups if rows.size > 1]


def means_near(values: Floats, near: list[Block]) -> Floats:
    """Return means of `values (records,)` over each record's neighbours, `(records, kinds)`; 0 where it has none."""
    means = np.zeros((values.size, len(WIDTHS) + 1))
    for block in near:
        means[block.rows] = (block.weights @ values[block.rows]).T
    return means


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
    square = (scaled**2).sum(axis=1)
    distance = np.maximum(square[:, None] + square - 2 * scaled @ scaled.T, 0.0)
    other = ~np.eye(len(scaled), dtype=np.bool_)
    spread = float(distance[other].std())
    distance[~other] = np.inf
    distance -= distance.min(axis=1, keepdims=True)
    unit = spread if spread > 1e-9 else 1.0
    kinds = [np.exp(-distance / (width * unit)) for width in WIDTHS] + [other.astype(np.float64)]
    return np.stack([kind / kind.sum(axis=1, keepdims=True) for kind in kinds])
