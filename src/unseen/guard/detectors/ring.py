"""A ring of the last records a client asked for, exact: distances by one matrix product, deletion by overwriting."""

import numpy as np
from numpy.typing import NDArray

from unseen.guard.detector import Vectors

RESOLVED = 1e-4  # of the records' squared length: below, float32 products do not tell a distance from zero
EXACT = 24  # such records that are compared exactly, the newest; older ones are left out, so that no client costs more
LARGEST = 1e30  # of a record's squared length: beyond, float32 overflows, and no declared scale gives such a number


def sensible(record: Vectors) -> bool:
    """Whether a record's numbers are finite and of a size that distances can be computed from.

    >>> [sensible(np.array([value], dtype=np.float32)) for value in (1.5, 1e16, np.nan)]
    [True, False, False]
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(record @ record < LARGEST)


class Ring:
    """The last `size` distinct records of one width, in `size * features * 4` bytes and a little.

    >>> ring = Ring(size=2, features=3)
    >>> for value in (1.0, 2.0, 4.0):
    ...     ring.push(np.full(3, value, dtype=np.float32))
    >>> ring.near(np.full(3, 3.0, dtype=np.float32), 10.0)  # the newest first; the first record is gone
    (array([0, 1]), array([3., 3.], dtype=float32))
    """

    def __init__(self, size: int, features: int) -> None:
        self.rows = np.zeros((size, features), dtype=np.float32)
        self.lengths = np.full(size, np.inf, dtype=np.float32)  # squared; infinite where no record is yet
        self.at = 0

    def push(self, record: Vectors) -> None:
        """Keep a record in the place of the oldest."""
        self.rows[self.at] = record
        self.lengths[self.at] = record @ record
        self.at = (self.at + 1) % self.lengths.size

    def near(self, record: Vectors, within: float) -> tuple[NDArray[np.intp], Vectors]:
        """Return places and squared distances of the records nearer than `within` (squared), the newest first.

        Where a distance is too small for products of float32, it is computed from the difference itself, for the
        newest 24 of those; the others are left out.
        """
        distances = self.rows @ record
        distances *= -2
        distances += self.lengths
        length = float(record @ record)
        distances += length
        places = np.flatnonzero(distances <= within)
        newer = int(np.searchsorted(places, self.at))
        places = np.concatenate([places[:newer][::-1], places[newer:][::-1]])
        close = distances[places]
        unresolved = close < RESOLVED * length
        if unresolved.any():
            exactly = np.flatnonzero(unresolved)[:EXACT]
            apart = self.rows[places[exactly]] - record
            close[exactly] = np.einsum("ij,ij->i", apart, apart)
            unresolved[exactly] = False
            return places[~unresolved], close[~unresolved]
        return places, close

    def changed(self, places: NDArray[np.intp], record: Vectors) -> NDArray[np.intp]:
        """Return for each place how many features differ at all from the record's, `(places,)`."""
        return (self.rows[places] != record).sum(axis=1)
