"""A content digest for each row, so that order and equality rest on what a record is, not on where it stands."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import polars as pl
from scipy import sparse

from unseen.features.rows import is_pandas
from unseen.signal import Array, Ints

CHUNK = 4096


def row_digests(table: Any, labels: Array) -> Ints:
    """Return a 64-bit BLAKE2b digest of each row with its label, `(records,)` unsigned.

    Equal rows have equal digests. Numbers are compared as float64, other values by their text.
    """
    matrix = _numbers_or_none(table)
    text = [str(label) for label in labels.tolist()]
    if matrix is None:
        return _hashed(("\x1f".join(map(str, row)).encode() for row in _rows_of(table)), text)
    return _hashed((row.tobytes() for row in _dense_rows(matrix)), text)


def _hashed(rows: Any, text: Sequence[str]) -> Ints:
    digests = (
        int.from_bytes(blake2b(row + b"\x1e" + label.encode(), digest_size=8).digest(), "big")
        for row, label in zip(rows, text, strict=True)
    )
    return np.fromiter(digests, dtype=np.uint64, count=len(text))


def _numbers_or_none(table: Any) -> Any:
    if sparse.issparse(table):
        return table.tocsr()
    if isinstance(table, pl.DataFrame) or is_pandas(table):
        return None
    array = np.asarray(table)
    return None if array.dtype.kind in "OSU" else array.reshape(array.shape[0], -1)


def _dense_rows(matrix: Any) -> Any:
    for start in range(0, matrix.shape[0], CHUNK):
        part = matrix[start : start + CHUNK]
        dense = part.toarray() if sparse.issparse(part) else part
        yield from np.ascontiguousarray(dense, dtype=np.float64) + 0.0  # -0.0 and 0.0 are one value


def _rows_of(table: Any) -> Any:
    if isinstance(table, pl.DataFrame):
        return table.iter_rows()
    return table.itertuples(index=False, name=None) if is_pandas(table) else iter(np.asarray(table))
