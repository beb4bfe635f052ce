"""A feature table as numbers, for attackers that learn from features."""

from typing import Any

import numpy as np
from scipy import sparse

from unseen.features.rows import table_columns
from unseen.signal import Array, Floats

MOST_COLUMNS = 200


def as_numbers(table: Any, most: int = MOST_COLUMNS) -> Floats:
    """Return `(records, columns)` float64: numbers as they are, other values as the code of their sorted rank.

    Missing values become NaN. A sparse or very wide table keeps its columns of largest variance, at most `most`.
    """
    if sparse.issparse(table):
        return _widest(table.tocsc(), most)
    matrix = np.column_stack([_numeric(values) for values in table_columns(table)])
    if matrix.shape[1] <= most:
        return matrix
    return matrix[:, np.sort(np.argsort(-np.nanvar(matrix, axis=0), kind="stable")[:most])]


def _numeric(values: Array) -> Floats:
    if values.dtype.kind in "bifu":
        return values.astype(np.float64)
    if values.dtype.kind in "mM":
        return values.astype("int64").astype(np.float64)
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError):
        _, codes = np.unique([str(value) for value in values.tolist()], return_inverse=True)
        return codes.astype(np.float64)


def _widest(matrix: Any, most: int) -> Floats:
    mean = np.asarray(matrix.mean(axis=0)).ravel()
    variance = np.asarray(matrix.multiply(matrix).mean(axis=0)).ravel() - mean**2
    kept = np.sort(np.argsort(-variance, kind="stable")[:most])
    return np.asarray(matrix[:, kept].toarray(), dtype=np.float64)
