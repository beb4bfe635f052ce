"""A ring of the last records a client asked for, exact: distances by one matrix product, deletion by overwriting."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from unseen.guard.detector import Vectors

Kept = TypeVar("Kept")

RESOLVED = 1e-4  # of the records' squared length: below, float32 products do not tell a distance from zero
EXACT = 24  # such records that are compared exactly, the newest; older ones are left out, so that no client costs more
LARGEST = 1e30  # of a record's squared length: beyond, float32 overflows, and no declared scale gives such a number
SOME = 64  # features that are compared first where there are twice as many: what is far in these is far in all
BELOW = 1 - 1e-5  # of their squared length: so much less, that float32 products never make near ones far
LONG = 256  # records from which on this is worth its while
WIDTHS = 3  # of records of one client, as of routes for several models, that are kept apart
FEW = 8  # one in so many records at most is then compared in all features by itself; otherwise all are at once


def squared_length(record: Vectors) -> float:
    """Return the squared length of a record; `sensible` says whether distances can be computed from it."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(record @ record)


def sensible(length: float) -> bool:
    """Whether a record of this squared length has finite numbers, of a size that distances can be computed from.

    >>> [sensible(squared_length(np.array([value], dtype=np.float32))) for value in (1.5, 1e16, np.nan)]
    [True, False, False]
    """
    return length < LARGEST


def of_width(kept: dict[int, Kept], width: int, make: Callable[[], Kept]) -> Kept:
    """Return what is kept for records of one width, made where there is none; of `WIDTHS`, the latest used stay.

    >>> kept = {}
    >>> [of_width(kept, width, list) for width in (8, 4, 8, 2, 1)], list(kept)
    ([[], [], [], [], []], [8, 2, 1])
    """
    found = kept.pop(width, None)
    if found is None:
        found = make()
        if len(kept) == WIDTHS:
            del kept[next(iter(kept))]
    kept[width] = found
    return found


class Ring:
    """The last `size` distinct records of one width, in `size * features * 4` bytes and at most a half more.

    >>> ring = Ring(size=2, features=3)
    >>> for value in (1.0, 2.0, 4.0):
    ...     ring.push(np.full(3, value, dtype=np.float32), 3 * value * value)
    >>> ring.near(np.full(3, 3.0, dtype=np.float32), 27.0, 10.0)  # the newest first; the first record is gone
    (array([0, 1]), array([3., 3.], dtype=float32))
    """

    def __init__(self, size: int, features: int) -> None:
        self.rows = np.zeros((size, features), dtype=np.float32)
        self.lengths = np.full(size, np.inf, dtype=np.float32)  # squared; infinite where no record is yet
        self.at = 0
        self._every = features // SOME  # of these features, those that are compared first
        wide = self._every > 1 and size >= LONG
        self._some = np.zeros((size if wide else 0, SOME), dtype=np.float32)
        self._some_lengths = np.full(len(self._some), np.inf, dtype=np.float32)
        self._crowded = not wide  # whether comparing some features first is of no use

    @property
    def nbytes(self) -> int:
        """How much memory it takes."""
        return self.rows.nbytes + self.lengths.nbytes + self._some.nbytes + self._some_lengths.nbytes

    def push(self, record: Vectors, length: float) -> None:
        """Keep a record, of this squared length, in the place of the oldest."""
        self.rows[self.at] = record
        self.lengths[self.at] = length
        if len(self._some):
            part = self._part(record)
            self._some[self.at] = part
            self._some_lengths[self.at] = (part @ part) * BELOW
        self.at = (self.at + 1) % self.lengths.size

    def near(self, record: Vectors, length: float, within: float) -> tuple[NDArray[np.intp], Vectors]:
        """Return places and squared distances of the records nearer than `within` (squared), the newest first.

        Where a distance is too small for products of float32, it is computed from the difference itself, for the
        newest 24 of those; the others are left out.
        """
        places, close = self._within(record, length, within)
        if len(self._some):
            self._crowded = places.size * FEW > self.lengths.size
        if not places.size:
            return places, close
        newer = int(places.searchsorted(self.at))
        places = np.concatenate((places[:newer][::-1], places[newer:][::-1]))
        close = np.concatenate((close[:newer][::-1], close[newer:][::-1]))
        unresolved = close < RESOLVED * length
        if unresolved.any():
            exactly = unresolved.nonzero()[0][:EXACT]
            apart = self.rows.take(places[exactly], axis=0)
            apart -= record
            close[exactly] = np.einsum("ij,ij->i", apart, apart)
            unresolved[exactly] = False
            return places[~unresolved], close[~unresolved]
        return places, close

    def changed(self, places: NDArray[np.intp], record: Vectors) -> NDArray[np.intp]:
        """Return for each place how many features differ at all from the record's, `(places,)`."""
        return (self.rows[places] != record).sum(axis=1)

    def _within(self, record: Vectors, length: float, within: float) -> tuple[NDArray[np.intp], Vectors]:
        """Return places, in order, and squared distances of the records within.

        Where records are wide, some features are compared first: part of a squared distance is no more than the whole,
        so what is far in these is far, and the others are not read. It misses nothing, by a margin for float32.
        """
        if not self._crowded:
            part = self._part(record)
            least = self._some @ part
            least *= -2
            least += self._some_lengths
            perhaps = (least <= within - float(part @ part) * BELOW).nonzero()[0]
            if perhaps.size * FEW <= self.lengths.size:
                distances = self.rows.take(perhaps, axis=0) @ record
                distances *= -2
                distances += self.lengths[perhaps]
                distances += length
                kept = (distances <= within).nonzero()[0]
                return perhaps[kept], distances[kept]
        distances = self.rows @ record
        distances *= -2
        distances += self.lengths
        distances += length
        places = (distances <= within).nonzero()[0]
        return places, distances[places]

    def _part(self, record: Vectors) -> Vectors:
        """Return some features from all over a record."""
        return np.ascontiguousarray(record[:: self._every][:SOME])
