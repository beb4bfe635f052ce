"""A content digest for each row, so that order and equality rest on what a record is, not on where it stands."""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from scipy import sparse

from unseen.features.rows import table_columns
from unseen.signal import Array, Ints

CHUNK = 4096


def row_digests(table: Any, labels: Array) -> Ints:
    """Return a 64-bit BLAKE2b digest of each row with its label, `(records,)` unsigned.

    Equal rows have equal digests, whatever holds them. Numbers are compared as float64, other values by their text.
    """
    text = [str(label) for label in labels.tolist()]
    matrix = _numbers_or_none(table)
    if matrix is not None:
        return _hashed((row.tobytes() for row in _dense_rows(matrix)), text)
    columns = [_comparable(values) for values in table_columns(table)]
    return _hashed(("\x1f".join(map(str, row)).encode() for row in zip(*columns, strict=True)), text)


def _hashed(rows: Iterable[bytes], text: Sequence[str]) -> Ints:
    digests = (
        int.from_bytes(blake2b(row + b"\x1e" + label.encode(), digest_size=8).digest(), "big")
        for row, label in zip(rows, text, strict=True)
    )
    return np.fromiter(digests, dtype=np.uint64, count=len(text))


def _numbers_or_none(table: Any) -> Any:
    if sparse.issparse(table):
        return table.tocsr()
    columns = table_columns(table)
    if any(values.dtype.kind not in "biuf" for values in columns):
        return None
    return np.column_stack([values.astype(np.float64) for values in columns])


def _dense_rows(matrix: Any) -> Iterator[Array]:
    for start in range(0, matrix.shape[0], CHUNK):
        part = matrix[start : start + CHUNK]
        dense = part.toarray() if sparse.issparse(part) else part
        yield from np.ascontiguousarray(dense, dtype=np.float64) + 0.0  # -0.0 and 0.0 are one value


def _comparable(values: Array) -> list[Any]:
    """Return numbers as floats, so that 1 and 1.0 are one value, and anything else as it is."""
    return (values.astype(np.float64) + 0.0).tolist() if values.dtype.kind in "biuf" else values.tolist()
