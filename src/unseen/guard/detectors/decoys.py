"""Records that nobody has a reason to ask for: who asks holds a list that leaked."""

from collections.abc import Iterable
from types import MappingProxyType

from unseen.errors import PolicyError
from unseen.guard.detector import Query, Sighting
from unseen.guard.detectors.clients import Clients


class Decoys:
    """Alarms when a client has asked for `threshold` records whose fingerprints are on a list of decoys.

    `fingerprints` are keyed digests, in hexadecimal, of made-up records that were put where only a leak would expose
    them. They are made up, and never training records: an alarm says where a list went, and nothing of membership.

    >>> detector = Decoys(fingerprints=["0a0b"])
    >>> detector.observe(Query("key-7", 0.0, fingerprints=(bytes([10, 11]),))).strength
    1.0
    """

    name = "decoys"

    def __init__(self, *, fingerprints: Iterable[str], threshold: float = 1.0, clients: int = 10_000) -> None:
        self.threshold = threshold
        try:
            self._decoys = frozenset(bytes.fromhex(text) for text in fingerprints)
        except ValueError:
            raise PolicyError("decoys need fingerprints in hexadecimal.") from None
        self.clients: Clients[list[float]] = Clients(lambda: [0.0], clients)

    def observe(self, query: Query) -> Sighting | None:
        """Take note of decoys among the records asked for."""
        touched = sum(fingerprint in self._decoys for fingerprint in query.fingerprints)
        if not touched:
            return None
        state = self.clients[query.client]
        state[0] += touched
        if state[0] < self.threshold:
            return None
        evidence = MappingProxyType({"decoys": int(state[0])})
        strength, state[0] = state[0] / self.threshold, 0.0
        return Sighting(self.name, query.client, query.when, strength, evidence)

    def level(self, client: str) -> float:
        """Return how many decoys a client has asked for since its last sighting."""
        return (self.clients.get(client) or [0.0])[0]

    def forget(self, client: str) -> None:
        """Drop the client's count."""
        self.clients.forget(client)
