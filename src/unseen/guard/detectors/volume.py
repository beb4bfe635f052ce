"""More records, or a wider spread of them, than is usual: enumeration, and the harvest of data for shadow models."""

import math
from dataclasses import dataclass, field
from types import MappingProxyType

from unseen.guard.detector import Query, Sighting
from unseen.guard.detectors.clients import Clients

DAY_SECONDS = 86_400
OWN_DAYS = 3  # days after which a client is compared with itself
CROWD_DAYS = 20  # client-days before which nobody is compared with the population
STEADY = 0.3  # least spread of a logarithm: a habit no client keeps to less than a third of it
CELLS = 8192  # bits of the sketch that counts distinct fingerprints


@dataclass(slots=True)
class Baseline:
    """Mean and spread of the logarithm of daily counts, older days weighing less by `weight` a day (EWMA).

    >>> usual = Baseline(weight=0.1)
    >>> for count in (100, 120, 90, 110):
    ...     usual.add(count)
    >>> round(usual.above(1000), 1)
    7.5
    """

    weight: float
    days: int = 0
    mean: float = 0.0
    variance: float = 0.0

    def add(self, count: float) -> None:
        """Take in a finished day."""
        self.days += 1
        share = max(self.weight, 1 / self.days)
        ahead = math.log1p(count) - self.mean
        self.mean += share * ahead
        self.variance = (1 - share) * (self.variance + share * ahead * ahead)

    def above(self, count: float) -> float:
        """Return by how many spreads a count is above the mean."""
        return (math.log1p(count) - self.mean) / max(math.sqrt(self.variance), STEADY)


@dataclass(slots=True)
class _Usual:
    weight: float
    records: Baseline = field(init=False)
    breadth: Baseline = field(init=False)

    def __post_init__(self) -> None:
        self.records, self.breadth = Baseline(self.weight), Baseline(self.weight)


@dataclass(slots=True)
class _State:
    usual: _Usual
    day: int = -1
    records: int = 0
    cells: bytearray = field(default_factory=lambda: bytearray(CELLS // 8))
    filled: int = 0
    told: bool = False

    @property
    def breadth(self) -> float:
        """Distinct fingerprints today, by linear counting (Whang et al. 1990); it ends at about 70,000."""
        return -CELLS * math.log1p(-min(self.filled, CELLS - 1) / CELLS)


class Volume:
    """Compares a client's records and distinct fingerprints of the day with its own days, or at first the population's.

    The level is the larger of the two distances from the baseline, in its spreads, on the logarithm. A client is
    compared with the population until it has three days of its own, and with nothing until the population has twenty
    client-days. One sighting a client and day at most. A client that grows slowly carries its baseline along.

    >>> detector = Volume(threshold=5)
    >>> for day in range(30):
    ...     for i in range(10):
    ...         moment = day * 86400.0 + i
    ...         assert detector.observe(Query("key-7", moment, fingerprints=(bytes([day, i]),))) is None
    >>> many = tuple(i.to_bytes(4, "big") for i in range(200))
    >>> dict(detector.observe(Query("key-7", 30 * 86400.0, fingerprints=many)).evidence)
    {'records': 200, 'distinct': 202}
    """

    name = "volume"

    def __init__(self, *, threshold: float = 6.0, weight: float = 0.1, clients: int = 10_000) -> None:
        self.threshold = threshold
        self._weight = weight
        self._crowd = _Usual(weight / 10)
        self.clients = Clients(lambda: _State(_Usual(weight)), clients)

    def observe(self, query: Query) -> Sighting | None:
        """Take note of how many records were asked for, and how many of them are new today."""
        state = self.clients[query.client]
        day = int(query.when // DAY_SECONDS)
        if day > state.day:
            self._finish(state)
            state.day, state.records, state.filled, state.told = day, 0, 0, False
            state.cells[:] = bytes(CELLS // 8)
        state.records += query.records
        for fingerprint in query.fingerprints:
            self._mark(state, fingerprint)
        level = self._level(state)
        if state.told or level < self.threshold:
            return None
        state.told = True
        evidence = MappingProxyType({"records": state.records, "distinct": round(state.breadth)})
        return Sighting(self.name, query.client, query.when, level / self.threshold, evidence)

    def level(self, client: str) -> float:
        """Return how far above its baseline a client is today, in spreads; 0 where there is no baseline."""
        state = self.clients.get(client)
        return self._level(state) if state else 0.0

    def forget(self, client: str) -> None:
        """Drop the client's counts and baseline; the population's baseline keeps its sums."""
        self.clients.forget(client)

    def _level(self, state: _State) -> float:
        if state.usual.records.days >= OWN_DAYS:
            usual = state.usual
        elif self._crowd.records.days >= CROWD_DAYS:
            usual = self._crowd
        else:
            return 0.0
        wide = usual.breadth.above(state.breadth) if usual.breadth.days else 0.0
        return max(0.0, usual.records.above(state.records), wide)

    def _finish(self, state: _State) -> None:
        if not state.records:
            return
        for usual in (state.usual, self._crowd):
            usual.records.add(state.records)
            if state.filled:
                usual.breadth.add(state.breadth)

    @staticmethod
    def _mark(state: _State, fingerprint: bytes) -> None:
        cell = int.from_bytes(fingerprint[:4], "big") % CELLS
        place, bit = cell >> 3, 1 << (cell & 7)
        if not state.cells[place] & bit:
            state.cells[place] |= bit
            state.filled += 1
