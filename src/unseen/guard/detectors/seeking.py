"""Requests for more detail of the output than the application needs: what score attacks on language models ask for."""

from dataclasses import dataclass, field
from types import MappingProxyType

from unseen.guard.detector import Query, Sighting
from unseen.guard.detectors.clients import Clients

WATCHED = ("echo", "logit_bias", "logprobs", "prompt_logprobs", "top_logprobs")


@dataclass(slots=True)
class _State:
    level: float = 0.0
    requests: int = 0
    asked: dict[str, int] = field(default_factory=dict)


class Seeking:
    """Adds 1 for a request with a watched parameter and takes `allowance` from every request: a CUSUM of the share.

    `allowance` is the share that honest clients of this application reach; above it, the level climbs.

    >>> detector = Seeking(threshold=3, allowance=0.1)
    >>> for i in range(4):
    ...     sighting = detector.observe(Query("key-7", float(i), parameters=frozenset({"echo", "logprobs"})))
    >>> dict(sighting.evidence)
    {'requests': 4, 'echo': 4, 'logprobs': 4}
    """

    name = "seeking"

    def __init__(
        self,
        *,
        threshold: float = 30.0,
        allowance: float = 0.1,
        watched: tuple[str, ...] = WATCHED,
        clients: int = 10_000,
    ) -> None:
        self.threshold = threshold
        self._allowance, self._watched = allowance, frozenset(watched)
        self.clients = Clients(_State, clients)

    def observe(self, query: Query) -> Sighting | None:
        """Take note of the parameters asked for."""
        state = self.clients[query.client]
        asked = query.parameters & self._watched
        state.level = max(0.0, state.level + bool(asked) - self._allowance)
        state.requests += 1
        for name in asked:
            state.asked[name] = state.asked.get(name, 0) + 1
        if state.level < self.threshold:
            return None
        evidence = MappingProxyType({"requests": state.requests} | dict(sorted(state.asked.items())))
        strength = state.level / self.threshold
        state.level, state.requests, state.asked = 0.0, 0, {}
        return Sighting(self.name, query.client, query.when, strength, evidence)

    def level(self, client: str) -> float:
        """Return how far a client has come towards the threshold."""
        state = self.clients.get(client)
        return state.level if state else 0.0

    def forget(self, client: str) -> None:
        """Drop the client's counts."""
        self.clients.forget(client)
