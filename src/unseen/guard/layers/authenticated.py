"""Who asks: an API key or a token, and a route that is open to whoever has it."""

from collections.abc import Sequence
from typing import Protocol

from unseen.guard.client import Client
from unseen.guard.exchange import Exchange, Handler, Reply
from unseen.guard.keys import KeyRing
from unseen.guard.policy import Policy, Route
from unseen.guard.question import Adapter, Telling
from unseen.guard.refusal import Refused
from unseen.guard.watching import Watch

METHODS = frozenset({"GET", "POST"})


class Tokens(Protocol):
    """What knows tokens of an identity provider."""

    async def client_of(self, token: str, now: float) -> Client | None:
        """Return who shows a token, or None where it is not valid."""


def authenticated(
    inner: Handler,
    policy: Policy,
    keys: KeyRing,
    tokens: Tokens | None,
    routes: Sequence[tuple[Route, Adapter]],
    watch: Watch,
) -> Handler:
    """Let through who is known to a route that is known. Others get 401, 403, 404 or 405, and nothing else."""

    async def handle(exchange: Exchange) -> Reply:
        shown = _shown(exchange.headers)
        client = keys.find(shown, exchange.now) if shown else None
        if client is None and tokens is not None and shown.count(".") == 2:
            client = await tokens.client_of(shown, exchange.now)
        if client is None:
            raise Refused(401, "unauthorized", "A valid key is needed: send it as 'Authorization: Bearer KEY'.")
        exchange.client = client
        if client.tier not in policy.tiers:
            raise Refused(403, "forbidden", "This key's tier is not in the policy.")
        exchange.tier = policy.tiers[client.tier]
        watch.standing(client, exchange.now)
        _find(exchange, routes)
        return await inner(exchange)

    return handle


def _shown(headers: dict[bytes, bytes]) -> str:
    said = headers.get(b"authorization", b"")
    if said[:7].lower() == b"bearer ":
        return said[7:].strip().decode("latin-1")
    return headers.get(b"x-api-key", b"").decode("latin-1")


def _find(exchange: Exchange, routes: Sequence[tuple[Route, Adapter]]) -> None:
    for route, adapter in routes if exchange.method in METHODS else ():
        found = adapter.match(exchange.method, exchange.path)
        if found is not None and exchange.client.may_use(route.name):
            exchange.route, exchange.adapter = route, adapter
            exchange.question = found if isinstance(found, Telling) else None
            return
    raise _unfound(exchange, routes)


def _unfound(exchange: Exchange, routes: Sequence[tuple[Route, Adapter]]) -> Refused:
    """Return why no route answers; of other methods than the one that came, only on routes that the key may use."""
    method, path = exchange.method, exchange.path
    usable = [adapter for route, adapter in routes if exchange.client.may_use(route.name)]
    if any(adapter.match("POST", path) is not None for adapter in usable):
        return Refused(405, "method", "POST is needed here.")
    if method not in METHODS:
        return Refused(405, "method", "Only GET and POST are understood.")
    if any(adapter.match(method, path) is not None for _, adapter in routes):
        return Refused(403, "forbidden", "This key may not use this route.")
    return Refused(404, "unknown_route", "The policy names no such route.")
