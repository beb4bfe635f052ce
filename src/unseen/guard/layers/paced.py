"""How fast: one turn after another, for each client and route."""

from unseen.guard.exchange import Exchange, Handler, Reply
from unseen.guard.pace import Turns
from unseen.guard.policy import Policy, rate_of
from unseen.guard.refusal import Refused


def paced(inner: Handler, policy: Policy, pace: Turns) -> Handler:
    """Refuse with 429 and the seconds to wait whoever comes before their turn."""
    rates = {name: rate_of(tier.rate) for name, tier in policy.tiers.items()}
    shadow = policy.guard.mode == "shadow"

    async def handle(exchange: Exchange) -> Reply:
        route = exchange.route.name if exchange.route else ""
        per_second, burst = rates[exchange.client.tier]
        wait = pace.wait((exchange.client.id, route), per_second, burst)
        if wait:
            if not shadow:
                raise Refused(429, "rate", "Too many requests; wait before the next.", wait)
            exchange.shadow = "rate"
        return await inner(exchange)

    return handle
