"""Records that nobody has a reason to ask for: who asks holds a list that leaked."""

from types import MappingProxyType

from unseen.errors import PolicyError
from unseen.guard.detector import Query, Sighting
from unseen.guard.detectors.clients import Clients


class Decoys:
    """Alarms when a client has asked for `threshold` records that are on a list of decoys.

    `file` holds the list, one request a line, and `route` says whose requests they are; `listed.read_decoys` reads it,
    and what it returns is put in `known`. Decoys are made up, put where only a leak would expose them, and never
    training records: an alarm says where a list went, and nothing of membership.

    >>> detector = Decoys(file="decoys.jsonl")
    >>> detector.known = frozenset({bytes([10, 11])})
    >>> detector.observe(Query("key-7", 0.0, fingerprints=(bytes([10, 11]),))).strength
    1.0
    """

    name = "decoys"

    def __init__(self, *, file: str, route: str = "", threshold: float = 1.0, clients: int = 10_000) -> None:
        self.file, self.route, self.threshold = file, route, threshold
        self.known: frozenset[bytes] | None = None
        self.clients: Clients[list[float]] = Clients(lambda: [0.0], clients)

    def observe(self, query: Query) -> Sighting | None:
        """Take note of decoys among the records asked for. Raises `PolicyError` where the list was never read."""
        if self.known is None:
            raise PolicyError("decoys: the list was not read.")
        touched = sum(fingerprint in self.known for fingerprint in query.fingerprints)
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
