"""Counts: how many requests, records, refusals and sightings one worker has had since it began. Numbers only."""

import time
from bisect import bisect_left

import msgspec

from unseen.guard.log.entries import Done, Entry, Seen

EDGES_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # of the histogram


class Requests(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many requests of one route ended in one way; `route` is "" where none was found."""

    route: str
    status: int
    reason: str
    count: int


class Took(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long the requests of one route took: how many up to each of `EDGES_S`, then above all; and in all."""

    route: str
    buckets: tuple[int, ...]
    seconds: float


class Shipped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of the entries for one export: `waiting` may still be sent, `dropped` never will be."""

    to: str
    sent: int = 0
    dropped: int = 0
    failures: int = 0
    waiting: int = 0


class Snapshot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All counts of one worker at one time, as a file and every exporter have them."""

    began: float
    at: float
    requests: tuple[Requests, ...] = ()
    took: tuple[Took, ...] = ()
    records: dict[str, int] = {}  # answered, by route
    removed: dict[str, int] = {}  # fields with numbers that the policy does not speak of, by route
    sightings: dict[str, int] = {}  # by detector
    events: dict[str, int] = {}  # by what was done
    log_records: int = 0
    unwatched: int = 0  # answers that no detector saw, because too many waited
    admin_refused: int = 0
    budget_waits: int = 0
    budget_wait_s: float = 0.0
    exports: tuple[Shipped, ...] = ()


class Counts:
    """What one worker counts: a few additions a request, no lock, no library.

    >>> counts = Counts()
    >>> counts.asked("mlflow", 200, "answered", 3, 0.0007)
    >>> counts.snapshot().requests
    (Requests(route='mlflow', status=200, reason='answered', count=1),)
    """

    def __init__(self) -> None:
        self.began = time.time()
        self._requests: dict[tuple[str, int, str], int] = {}
        self._buckets: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}
        self._records: dict[str, int] = {}
        self._removed: dict[str, int] = {}
        self._sightings: dict[str, int] = {}
        self._events: dict[str, int] = {}
        self._log_records = 0
        self.unwatched = 0
        self.admin_refused = 0

    def asked(self, route: str, status: int, reason: str, records: int, seconds: float, removed: int = 0) -> None:
        """Count one request that ended."""
        how = (route, status, reason)
        self._requests[how] = self._requests.get(how, 0) + 1
        buckets = self._buckets.get(route)
        if buckets is None:
            buckets = self._buckets[route] = [0] * (len(EDGES_S) + 1)
            self._seconds[route] = 0.0
        buckets[bisect_left(EDGES_S, seconds)] += 1
        self._seconds[route] += seconds
        if status == 200 and records:
            self._records[route] = self._records.get(route, 0) + records
        if removed:
            self._removed[route] = self._removed.get(route, 0) + removed

    def written(self, entry: Entry) -> None:
        """Count one entry of the log."""
        self._log_records += 1
        if isinstance(entry, Done):
            self._events[entry.what] = self._events.get(entry.what, 0) + 1
        elif isinstance(entry, Seen):
            self._sightings[entry.detector] = self._sightings.get(entry.detector, 0) + 1

    def snapshot(self, waits: int = 0, wait_s: float = 0.0, exports: tuple[Shipped, ...] = ()) -> Snapshot:
        """Return all counts as they are now; `waits` and `exports` are counted elsewhere. Any thread may ask."""
        return Snapshot(
            began=self.began,
            at=time.time(),
            requests=tuple(Requests(*how, count) for how, count in sorted(self._requests.copy().items())),
            took=tuple(
                Took(route, tuple(buckets), self._seconds[route])
                for route, buckets in sorted(self._buckets.copy().items())
            ),
            records=self._records.copy(),
            removed=self._removed.copy(),
            sightings=self._sightings.copy(),
            events=self._events.copy(),
            log_records=self._log_records,
            unwatched=self.unwatched,
            admin_refused=self.admin_refused,
            budget_waits=waits,
            budget_wait_s=wait_s,
            exports=exports,
        )
