"""Leverage: how far out a record lies among others, in the directions that a linear fit knows least about."""

from collections.abc import Iterator

import numpy as np

from unseen.errors import DataError
from unseen.signal import Floats

CHUNK = 4096  # records at a time, or twice the columns where those are more


def leverage(features: Floats, ridge: float) -> Floats:
    """Return each record's leverage in a linear fit with an intercept to all records, `(records,)` in [1/records, 1].

    1/n + z'(Z'Z + ridge)^-1 z, with z the columns of `features (records, columns)` less their means, and `ridge` in
    the unit of a squared column, as scikit-learn's `Ridge(alpha)` has it. Directions in which no record differs count
    for nothing. Knows no membership: members and others count alike.

    Z'Z is never formed, which would square the loss of digits: the triangle of Z is taken chunk by chunk (QR), and its
    singular values. Memory is that of a chunk and of a few squares of the columns. Raises `DataError` where a feature
    is missing or infinite.

    >>> leverage(np.array([[0.0], [0.0], [3.0]]), 0.0).round(3)
    array([0.5, 0.5, 1. ])
    """
    records, columns = features.shape
    bad = sum(int((~np.isfinite(part)).sum()) for part in _chunks(features))
    if bad:
        raise DataError(f"leverage needs finite features, and {bad} of {features.size} are not: fill them.")
    centre = sum((part.sum(axis=0) for part in _chunks(features)), np.zeros(columns)) / max(records, 1)
    triangle = np.empty((0, columns))
    for part in _chunks(features):
        triangle = np.asarray(np.linalg.qr(np.vstack([triangle, part - centre]), mode="r"))
    _, sizes, axes = np.linalg.svd(triangle, full_matrices=False)
    kept = sizes > np.finfo(np.float64).eps * max(records, columns) * sizes.max(initial=0.0)
    weight = 1 / (sizes[kept] ** 2 + ridge)
    parts = [((part - centre) @ axes[kept].T) ** 2 @ weight for part in _chunks(features)]
    return np.minimum(np.concatenate([np.empty(0), *parts]) + 1 / max(records, 1), 1.0)


def _chunks(features: Floats) -> Iterator[Floats]:
    records, columns = features.shape
    step = max(CHUNK, 2 * columns)
    return (features[start : start + step].astype(np.float64) for start in range(0, records, step))
