"""Halving along a line: the search for a decision boundary between two records."""

from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from unseen.guard.detector import Query, Sighting, Vectors
from unseen.guard.detectors.clients import Clients
from unseen.guard.detectors.ring import Ring, of_width, sensible, squared_length

AROUND = 8  # nearest earlier records among which the two ends are sought
FAR = float(np.finfo(np.float32).max)
STRAIGHT = -0.999  # cosine of the angle at the record between its two ends: within 2.6 degrees of a line
SHRUNK = 0.75  # a span at most this much of the last one: halving gives 0.5, golden section 0.62


@dataclass(slots=True)
class _Records:
    ring: Ring
    labels: list[int | None]
    span: float = 0.0


@dataclass(slots=True)
class _State:
    records: dict[int, _Records] = field(default_factory=dict)  # by their width
    level: float = 0.0
    between: int = 0
    shrunk: int = 0


class Geometry:
    """Counts records that lie between two earlier ones on a line whose span shrinks, and alarms when they keep coming.

    Only ends that differ from the record in more than `edits` fields count, so a person who moves one slider is not a
    line; where labels are known, the two ends must have been answered differently. A shrinking span adds 1, one that
    does not shrink takes 1, so a reading that swings to and fro on a line loses as often as it gains. Records elsewhere
    cost nothing, so cover traffic hides no search unless it pushes the ends out of the last `ring` records. Heuristic.

    >>> low, high = np.zeros(8, dtype=np.float32), np.ones(8, dtype=np.float32)
    >>> asked = [low, high] + [low + 0.5**i * (high - low) for i in range(1, 15)]
    >>> detector = Geometry()
    >>> seen = [detector.observe(Query("key-7", float(i), point[None])) for i, point in enumerate(asked)]
    >>> next(dict(sighting.evidence) for sighting in seen if sighting)
    {'between': 10, 'shrunk': 10}
    """

    name = "geometry"

    def __init__(self, *, threshold: float = 10.0, edits: int = 3, ring: int = 64, clients: int = 1000) -> None:
        self.threshold = threshold
        self._edits, self._size = edits, ring
        self.clients = Clients(_State, clients)

    def observe(self, query: Query) -> Sighting | None:
        """Take note of each record in turn, with its label where that is known."""
        if query.vectors is None:
            return None
        state = self.clients[query.client]
        labels = [None] * query.records if query.labels is None else [int(label) for label in query.labels]
        for record, label in zip(query.vectors, labels, strict=True):
            self._take(state, record, label)
        if state.level < self.threshold:
            return None
        evidence = {"between": state.between, "shrunk": state.shrunk}
        strength = state.level / self.threshold
        state.level, state.between, state.shrunk = 0.0, 0, 0
        return Sighting(self.name, query.client, query.when, strength, MappingProxyType(evidence))

    def level(self, client: str) -> float:
        """Return how far a client has come towards the threshold."""
        state = self.clients.get(client)
        return state.level if state else 0.0

    def forget(self, client: str) -> None:
        """Drop the client's last records and level."""
        self.clients.forget(client)

    def _take(self, state: _State, record: Vectors, label: int | None) -> None:
        if not sensible(length := squared_length(record)):
            return
        known = of_width(
            state.records, record.size, lambda: _Records(Ring(self._size, record.size), [None] * self._size)
        )
        span = self._span(known.ring, known.labels, record, length)
        if span:
            shrunk = span <= SHRUNK * known.span
            state.level = max(0.0, state.level + (1 if shrunk or not known.span else -1))
            known.span = span
            state.between += 1
            state.shrunk += shrunk or state.level == 1
        known.labels[known.ring.at] = label
        known.ring.push(record, length)

    def _span(self, ring: Ring, labels: list[int | None], record: Vectors, length: float) -> float:
        """Return the distance between the nearest two ends that the record lies between, 0 where it lies on no line."""
        places, distances = ring.near(record, length, FAR)
        if places.size < 2 or not distances.all():
            return 0.0
        if places.size > AROUND:
            places = places[distances.argpartition(AROUND)[:AROUND]]
        apart = ring.rows.take(places, axis=0)
        apart -= record
        products = apart @ apart.T
        lengths = np.sqrt(products.diagonal())
        beside = products > STRAIGHT * (lengths[:, None] * lengths)  # not on a line through the record
        if beside.all():
            return 0.0
        spans = lengths[:, None] + lengths
        spans[beside] = np.inf
        one, other = divmod(int(spans.argmin()), places.size)
        ends = labels[places[one]], labels[places[other]]
        if None not in ends and ends[0] == ends[1]:
            return 0.0
        if ring.changed(places[[one, other]], record).min() <= self._edits:
            return 0.0
        return float(spans[one, other])
