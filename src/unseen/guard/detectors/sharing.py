"""The same coarse record asked for by many clients: one attack split over accounts."""

import zlib
from types import MappingProxyType

import numpy as np

from unseen.guard.detector import Query, Sighting
from unseen.guard.detectors.clients import Clients

WAYS = 4  # fingerprints that share a line of the table; the one not seen for longest makes room
MOST = 8  # clients told apart for one fingerprint
DAY_SECONDS = 86_400.0


class Sharing:
    """Adds 1 for a record whose fingerprint `others` other clients asked for within `days`, and takes `allowance`.

    It needs fingerprints of coarse forms, which the copies of one target share. The table holds `lines * 4`
    fingerprints in fixed memory (about 50 bytes each) and forgets the oldest of a line first; clients are told
    apart by 32 bits. Records that everybody asks for, such as a form's defaults, raise the level of honest clients too:
    `allowance` is the share of those. Heuristic.

    >>> detector = Sharing(others=2, threshold=5, allowance=0.1)
    >>> seen = [detector.observe(Query(f"key-{i % 4}", float(i), fingerprints=(b"same-one",))) for i in range(40)]
    >>> first = next(sighting for sighting in seen if sighting)
    >>> first.client, dict(first.evidence)
    ('key-2', {'records': 6, 'shared': 6})
    """

    name = "sharing"

    def __init__(
        self,
        *,
        threshold: float = 30.0,
        others: int = 3,
        allowance: float = 0.1,
        days: float = 7.0,
        lines: int = 16_384,
        clients: int = 10_000,
    ) -> None:
        self.threshold = threshold
        self._others, self._allowance, self._span = min(others, MOST - 1), allowance, days * DAY_SECONDS
        self._tags = np.zeros((lines, WAYS), dtype=np.uint64)
        self._seen = np.full((lines, WAYS), -np.inf)
        self._askers = np.zeros((lines, WAYS, MOST), dtype=np.uint32)
        self.clients: Clients[list[float]] = Clients(lambda: [0.0, 0.0, 0.0], clients)

    def observe(self, query: Query) -> Sighting | None:
        """Take note of the fingerprints asked for."""
        state = self.clients[query.client]
        asker = zlib.crc32(query.client.encode()) or 1
        for fingerprint in query.fingerprints:
            shared = self._others_before(fingerprint, asker, query.when) >= self._others
            state[0] = max(0.0, state[0] + shared - self._allowance)
            state[1] += 1
            state[2] += shared
        if state[0] < self.threshold:
            return None
        evidence = MappingProxyType({"records": int(state[1]), "shared": int(state[2])})
        strength = state[0] / self.threshold
        state[:] = [0.0, 0.0, 0.0]
        return Sighting(self.name, query.client, query.when, strength, evidence)

    def level(self, client: str) -> float:
        """Return how far a client has come towards the threshold."""
        return (self.clients.get(client) or [0.0])[0]

    def forget(self, client: str) -> None:
        """Drop the client's level and its place among those who asked for a fingerprint."""
        self.clients.forget(client)
        self._askers[self._askers == (zlib.crc32(client.encode()) or 1)] = 0

    def _others_before(self, fingerprint: bytes, asker: int, when: float) -> int:
        """Return how many other clients asked for it within the span, and write this one down."""
        tag = np.uint64(int.from_bytes(fingerprint[:8], "big"))
        line = int(tag) % len(self._tags)
        ways = np.flatnonzero(self._tags[line] == tag)
        way = int(ways[0]) if ways.size else int(self._seen[line].argmin())
        askers = self._askers[line, way]
        if not ways.size or when - self._seen[line, way] > self._span:
            askers[:] = 0
        self._tags[line, way], self._seen[line, way] = tag, when
        before = int(np.count_nonzero((askers != 0) & (askers != asker)))
        free = np.flatnonzero(askers == 0)
        if free.size and asker not in askers:
            askers[free[0]] = asker
        return before
