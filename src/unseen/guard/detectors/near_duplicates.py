"""Many near copies around one point: the cloud that noise and boundary probing leave, and honest use does not."""

import math
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from unseen.guard.detector import Query, Sighting, Vectors
from unseen.guard.detectors.clients import Clients
from unseen.guard.detectors.ring import Ring, of_width, sensible, squared_length

LATEST = 8  # neighbours on the recent side of the comparison, and nearest ones whose changed fields are counted
FEWEST = 2 * LATEST  # neighbours a cloud has at least
LOCAL = 4.0  # a cloud reaches to twice the latest distance; a drift that goes on leaves that range, and shows its slope
FLAT = 0.7  # latest over earlier squared distance: 1 in a cloud, about 0.4 in a random walk, 0.2 in a straight drift
ROUND = (
    0.4  # lower quartile over latest: near 1 in a cloud of many features, 0.55 of eight, 0.25 on a curve that returns
)
DAY_SECONDS = 86_400.0
NUMBERS = 98_304  # that a ring has room for, so that those of fifty clients stay in a cache
LEAST, MOST = 256, 512  # records of a ring: of 256, a tenth of probes among cover are still enough for a cloud


@dataclass(slots=True)
class _State:
    rings: dict[int, Ring] = field(default_factory=dict)  # by the width of records
    level: float = 0.0
    when: float = -math.inf
    records: int = 0
    clouded: int = 0


def latest_kept(features: int) -> int:
    """Return how many of a client's records are kept, for this many features.

    >>> [latest_kept(features) for features in (8, 192, 256, 384, 1536)]
    [512, 512, 384, 256, 256]
    """
    return min(MOST, max(LEAST, NUMBERS // features))


class NearDuplicates:
    """Counts queries that fall into a cloud of earlier ones of the client, and alarms when they keep coming: a CUSUM.

    A query is in a cloud where at least 16 earlier records lie within `tau`, and
    (1) dense: even the nearest differ in more than `edits` fields, unlike a person who changes a few fields of a form;
    (2) flat: the latest lie as far away as the earlier ones do, unlike a reading that drifts, whose neighbours
        are the nearer the later they were; this is the flatness of a variogram;
    (3) round: all lie about as far away, unlike a curve that comes back every day, which passes by at every distance.
    The CUSUM (Page 1954) adds 1 for such a query and takes `allowance` from every record, so that cover traffic costs
    the watcher little. Exact retries are ignored, and half the level is forgotten in `half_life_days`. The rules of the
    cloud are a heuristic; how often they alarm on honest traffic is for calibration to measure.

    >>> rng = np.random.default_rng(0)
    >>> detector = NearDuplicates(tau=1.0, threshold=20)
    >>> person, copies = rng.normal(size=8), rng.normal(0, 0.05, (60, 8))
    >>> probes = (person + copies).astype(np.float32)
    >>> seen = [detector.observe(Query("key-7", float(i), probe[None])) for i, probe in enumerate(probes)]
    >>> next(i for i, sighting in enumerate(seen) if sighting)
    39
    """

    name = "near-duplicates"

    def __init__(
        self,
        *,
        tau: float,
        threshold: float = 40.0,
        edits: int = 3,
        allowance: float = 0.02,
        half_life_days: float = 7.0,
        ring: int | None = None,
        clients: int = 1000,
    ) -> None:
        self.threshold = threshold
        self._within, self._edits, self._allowance = tau * tau, edits, allowance
        self._half_life, self._size = half_life_days * DAY_SECONDS, ring
        self.clients = Clients(_State, clients)

    def observe(self, query: Query) -> Sighting | None:
        """Take note of each record in turn: a batch is watched as so many single queries."""
        if query.vectors is None:
            return None
        state = self.clients[query.client]
        for record in query.vectors:
            self._take(state, record, query.when)
        if state.level < self.threshold:
            return None
        evidence = {"records": state.records, "in_cloud": state.clouded}
        strength = state.level / self.threshold
        state.level, state.records, state.clouded = 0.0, 0, 0
        return Sighting(self.name, query.client, query.when, strength, MappingProxyType(evidence))

    def level(self, client: str) -> float:
        """Return how far a client has come towards the threshold."""
        state = self.clients.get(client)
        return state.level if state else 0.0

    def forget(self, client: str) -> None:
        """Drop the client's ring and level."""
        self.clients.forget(client)

    def _take(self, state: _State, record: Vectors, when: float) -> None:
        if not sensible(length := squared_length(record)):
            return
        size = self._size or latest_kept(record.size)
        ring = of_width(state.rings, record.size, lambda: Ring(size, record.size))
        places, distances = ring.near(record, length, self._within)
        if distances.size and not distances.all():  # a retry: neither evidence nor worth a place
            return
        clouded = self._clouded(ring, places, distances, record)
        ring.push(record, length)
        kept = 0.5 ** ((when - state.when) / self._half_life) if when > state.when else 1.0
        state.level = max(0.0, state.level * kept + clouded - self._allowance)
        state.when = max(when, state.when)
        state.records += 1
        state.clouded += clouded

    def _clouded(self, ring: Ring, places: NDArray[np.intp], distances: Vectors, record: Vectors) -> bool:
        if places.size < FEWEST:
            return False
        latest = float(np.add.reduce(distances[:LATEST])) / LATEST
        local = distances <= LOCAL * latest
        earlier = distances[LATEST:][local[LATEST:]]
        if earlier.size < LATEST or latest < FLAT * float(np.add.reduce(earlier)) / earlier.size:
            return False
        if np.count_nonzero(distances < ROUND * latest) > np.count_nonzero(local) // 4:  # so the lower quartile is near
            return False
        nearest = places[distances.argpartition(LATEST)[:LATEST]]
        return int(ring.changed(nearest, record).min()) > self._edits
