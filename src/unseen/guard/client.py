"""Client: who asks, once they have shown it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks: `id` is what budgets and detectors count by, `key` is the key or token that was shown.

    `scopes` names the routes that are open to it; none named is all of them. `since` is when the key was made, or the
    token issued or its user signed in, in seconds since 1970.
    """

    id: str
    tenant: str
    tier: str
    scopes: frozenset[str] = frozenset()
    key: str = ""
    since: float = 0.0

    def may_use(self, route: str) -> bool:
        """Whether a route is open to it."""
        return not self.scopes or route in self.scopes
