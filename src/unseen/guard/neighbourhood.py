"""Neighbourhoods: how often one client may ask about nearly one record, however it is varied.

Records fall into cells of random directions that only the key knows (locality-sensitive hashing: Datar et al. 2004,
section 3.2); each record is charged in the cell of every table, and a full cell refuses. Two records at a distance of
`radius` share the cell of one table with probability about 1/4 and of at least one of the four with about 2/3; records
ten radii apart hardly ever do. A client that asks ever new records is not held back: that is what the other budgets do.
"""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from unseen.control import Floats
from unseen.guard.budget import Charge
from unseen.guard.detectors.ring import of_width
from unseen.guard.exchange import Exchange

TABLES, DIRECTIONS = 4, 6
WIDTH = 4.0  # of a cell, in radii


class Neighbourhoods:
    """The cells of one guard; `key` is derived from its secret, so that a restart keeps them.

    Directions are drawn for as many numbers as a record has, and kept for the widths that were asked last.
    """

    def __init__(self, key: bytes, radius: float) -> None:
        self._key = key
        self._width = WIDTH * radius
        self._drawn: dict[int, tuple[Floats, Floats]] = {}

    def __repr__(self) -> str:
        return "Neighbourhoods()"

    def charges(self, exchange: Exchange, cap: int) -> tuple[Charge, ...]:
        """Return what a request is charged for its neighbourhoods: a cell that it meets twice is charged twice."""
        names = exchange.fingerprints if exchange.points is None else self.cells(exchange.points)
        answers = max(1, exchange.records // len(exchange.forms)) if exchange.forms else 1  # to one record, by `n`
        counted: dict[bytes, int] = {}
        for name in names:
            counted[name] = counted.get(name, 0) + answers
        holder = exchange.client.id
        return tuple(Charge(f"near:{holder}:{name.hex()}", times, cap) for name, times in counted.items())

    def cells(self, points: Floats) -> Sequence[bytes]:
        """Return the names of the cells of `points (records, features)`, four a record."""
        directions, offsets = self._directions(points.shape[1])
        places = np.floor(points.astype(np.float64) @ directions / self._width + offsets)
        placed = np.clip(places, -(2.0**62), 2.0**62).astype("<i8").reshape(len(points), TABLES, DIRECTIONS)
        return [
            blake2b(bytes([table]) + row[table].tobytes(), key=self._key, digest_size=8).digest()
            for row in placed
            for table in range(TABLES)
        ]

    def _directions(self, features: int) -> tuple[Floats, Floats]:
        return of_width(self._drawn, features, lambda: self._draw(features))

    def _draw(self, features: int) -> tuple[Floats, Floats]:
        seed = blake2b(features.to_bytes(8, "big"), key=self._key, digest_size=32).digest()
        rng = np.random.Generator(np.random.PCG64(int.from_bytes(seed, "big")))
        columns = TABLES * DIRECTIONS
        return rng.standard_normal((features, columns)), rng.random(columns)
