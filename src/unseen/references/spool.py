"""Spool: arrays whose rows come one at a time, in any order, kept in memory where they fit and on disk where not."""

import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike

from unseen.disk import refused
from unseen.signal import Array, Ints

IN_MEMORY_BYTES = 256 * 2**20  # of all arrays of one audit's references together


class Rows(Protocol):
    """An array `(rows, columns)` in the making."""

    def put(self, row: int, values: Array) -> None:
        """Set a row, `(columns,)`."""

    def taken(self, rows: Sequence[int]) -> Array:
        """Return those rows, in ascending order, and end the making."""


class InMemory:
    """Rows of an array in memory."""

    def __init__(self, shape: tuple[int, int], dtype: DTypeLike) -> None:
        self._array = np.empty(shape, dtype)

    def put(self, row: int, values: Array) -> None:
        """Set a row, `(columns,)`."""
        self._array[row] = _checked(values, self._array.shape[1])

    def taken(self, rows: Sequence[int]) -> Array:
        """Return those rows, in ascending order."""
        return self._array if len(rows) == len(self._array) else self._array[list(rows)]


class OnDisk:
    """Rows of an array in a file without a name, so that nothing is left of it however this process ends.

    Rows are written, not mapped: a full disk is then an error of ours, and no signal that ends the process.
    """

    def __init__(self, shape: tuple[int, int], dtype: DTypeLike, folder: Path | None) -> None:
        self._columns, self._dtype = shape[1], np.dtype(dtype)
        self._folder = folder or Path(tempfile.gettempdir())
        try:
            self._file = tempfile.TemporaryFile(buffering=0, dir=self._folder)  # noqa: SIM115 - closed when mapped, or:
        except OSError as error:
            raise refused("an array of references", self._folder, error) from None
        weakref.finalize(self, self._file.close)

    def put(self, row: int, values: Array) -> None:
        """Write a row, `(columns,)`."""
        content = np.ascontiguousarray(_checked(values, self._columns), self._dtype).view(np.uint8).data
        try:
            self._file.seek(row * self._row_bytes)
            while content:
                content = content[self._file.write(content) :]
        except OSError as error:
            raise refused("an array of references", self._folder, error) from None

    def taken(self, rows: Sequence[int]) -> Array:
        """Return those rows, in ascending order, as a read-only array that is mapped from the file."""
        for place, row in enumerate(rows):
            if place != row:
                self._file.seek(row * self._row_bytes)
                self.put(place, np.frombuffer(self._file.read(self._row_bytes), self._dtype))
        if not rows:
            return np.empty((0, self._columns), self._dtype)
        with self._file:  # a map holds the file by itself
            return np.memmap(self._file, self._dtype, mode="r", shape=(len(rows), self._columns))

    @property
    def _row_bytes(self) -> int:
        return self._columns * self._dtype.itemsize


def _checked(values: Array, columns: int) -> Array:
    if values.shape != (columns,):
        raise ValueError(f"a reference must answer {columns} records, got shape {values.shape}.")
    return values


def rows_of(shape: tuple[int, int], dtype: DTypeLike, folder: Path | None, total: int) -> Rows:
    """Return where to put the rows of an array, `total` being the bytes of all arrays that are made together.

    Past `IN_MEMORY_BYTES` it is on disk, in `folder` or, without one, where temporary files go.
    """
    return InMemory(shape, dtype) if total <= IN_MEMORY_BYTES else OnDisk(shape, dtype, folder)


def columns_of(
    array: Array, columns: Ints, bounds: tuple[float, float] | None = None, folder: Path | None = None
) -> Array:
    """Return `array[:, columns]`, clipped to `bounds`, of an array `(rows, columns)`; on disk where that is on disk.

    Row by row, so that there is never a second whole array in memory.

    >>> columns_of(np.array([[0.0, 1.0, -np.inf]]), np.array([2, 1]), (-9.0, 9.0))
    array([[-9.,  1.]])
    """
    chosen: Rows
    shape = (array.shape[0], columns.size)
    chosen = OnDisk(shape, array.dtype, folder) if isinstance(array, np.memmap) else InMemory(shape, array.dtype)
    for place, row in enumerate(array):
        values: Any = row[columns]
        chosen.put(place, values if bounds is None else np.clip(values, *bounds))
    return chosen.taken(range(shape[0]))
