"""A content digest for each row, so that order and equality rest on what a record is, not on where it stands."""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice, repeat
from typing import Any

import numpy as np
from scipy import sparse

from unseen.features.rows import is_missing, plain_columns
from unseen.signal import Array, Ints

CHUNK = 4096


def row_digests(table: Any, labels: Array) -> Ints:
    """Return a 64-bit BLAKE2b digest of each row with its label, `(records,)` unsigned.

    Equal rows have equal digests, whatever holds them. Numbers and times are compared as float64, other values by their
    text. A number that was rounded to float32 is another number.
    """
    text = [str(label) for label in (labels.astype(np.float64) if labels.dtype.kind in "biuf" else labels).tolist()]
    if sparse.issparse(table):
        return _hashed((row.tobytes() for row in _dense_rows(table.tocsr())), text)
    columns = plain_columns(table)
    if all(values.dtype.kind in "biuf" for values in columns):
        return _hashed((row.tobytes() for row in _number_rows(columns)), text)
    return _hashed(_mixed_rows(columns), text)


def _hashed(rows: Iterable[bytes], text: Sequence[str]) -> Ints:
    digests = (
        int.from_bytes(blake2b(row + b"\x1e" + label.encode(), digest_size=8).digest(), "big")
        for row, label in zip(rows, text, strict=True)
    )
    return np.fromiter(digests, dtype=np.uint64, count=len(text))


def _dense_rows(matrix: Any) -> Iterator[Array]:
    for start in range(0, matrix.shape[0], CHUNK):
        yield from np.ascontiguousarray(matrix[start : start + CHUNK].toarray(), dtype=np.float64) + 0.0


def _number_rows(columns: Sequence[Array]) -> Iterator[Array]:
    for start in range(0, columns[0].size, CHUNK):
        part = [values[start : start + CHUNK].astype(np.float64) for values in columns]
        yield from np.stack(part, axis=1) + 0.0  # -0.0 and 0.0 are one value


def _mixed_rows(columns: Sequence[Array]) -> Iterator[bytes]:
    """Yield each row's numbers as float64, so that 1 and 1.0 are one value, and then its other values as text."""
    numbers = [values for values in columns if values.dtype.kind in "biuf"]
    others = [values for values in columns if values.dtype.kind not in "biuf"]
    known: Iterable[Array] = _number_rows(numbers) if numbers else repeat(np.empty(0))
    for start in range(0, others[0].size, CHUNK):
        words = zip(*(_text(values[start : start + CHUNK]) for values in others), strict=True)
        for row, word in zip(islice(known, CHUNK), words, strict=False):
            yield row.tobytes() + b"\x1e" + "\x1f".join(word).encode()


def _text(values: Array) -> list[str]:
    """Return values as text; None, NaN and pandas' NA are one missing value."""
    listed = values.tolist()
    try:
        return ["\x00" if value is None or value != value else str(value) for value in listed]  # noqa: PLR0124 - NaN
    except TypeError:  # pandas' NA will not be compared
        return ["\x00" if is_missing(value) else str(value) for value in listed]
