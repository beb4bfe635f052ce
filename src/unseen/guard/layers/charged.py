"""How much: every record is charged, durably, before the model is asked; an idempotency key charges once."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from typing import Any

import msgspec

from unseen.guard.budget import DAY_S, Accounts, Charge, Kept, Store, what_is_full
from unseen.guard.exchange import Exchange, Handler, Reply
from unseen.guard.layers.recorded import told
from unseen.guard.leases import Leases
from unseen.guard.neighbourhood import Neighbourhoods
from unseen.guard.policy import Policy
from unseen.guard.question import Question
from unseen.guard.refusal import AGAIN, Refused, bad

LONGEST = 255  # bytes of an idempotency key
GRACE_S = 5.0  # beyond the model's time: then a request with the same key takes over from a worker that died


class Charged:
    """Refuses with 429 what is beyond a budget. What is charged comes back only where the model said nothing."""

    def __init__(self, inner: Handler, policy: Policy, leases: Leases, store: Store, near: Neighbourhoods) -> None:
        self._inner = inner
        self._policy = policy
        self._leases = leases
        self._store = store
        self._near = near
        self._shadow = policy.guard.mode == "shadow"
        self._accounts = Accounts(policy.budgets)

    async def __call__(self, exchange: Exchange) -> Reply:
        """Charge, ask, and give back where that failed."""
        if not isinstance(exchange.question, Question):
            return await self._inner(exchange)
        said = exchange.headers.get(b"idempotency-key")
        if said is None or self._shadow:
            return await self._spend(exchange)
        if not 0 < len(said) <= LONGEST or exchange.question.stream:
            raise bad("idempotency", f"An idempotency key has 1 to {LONGEST} bytes, and no stream can have one.")
        return await self._once(exchange, said)

    async def _once(self, exchange: Exchange, said: bytes) -> Reply:
        """Answer the first request with an idempotency key, and repeat that answer's bytes to the others.

        What was charged and refused is an answer too; what was not charged is forgotten, and may be asked again.
        """
        token = blake2b(exchange.client.id.encode() + b"\0" + said, digest_size=32).digest()
        request = blake2b(exchange.path.encode() + b"\0" + exchange.body, digest_size=32).digest()
        patience = self._policy.upstream.timeout_s + self._policy.guard.read_timeout_s + GRACE_S  # `now` is of its head
        state = await self._stored(self._store.begin, token, request, exchange.now, patience)
        if isinstance(state, Kept):
            exchange.replayed = True
            return _again(state)
        if state == "other":
            raise Refused(422, "idempotency", "This idempotency key came with another request before.")
        if state == "busy":
            raise Refused(409, "idempotency", "The request with this idempotency key is being answered.", 1.0)
        try:
            reply = await self._spend(exchange)
        except BaseException as error:
            if not exchange.upstream or not isinstance(error, Exception):
                with suppress(Refused):  # a store that fails now has the word taken over later
                    await asyncio.shield(self._stored(self._store.finish, token, request, None))
                raise
            reply = told(_kept(error))
        kept = Kept(reply.status, reply.content_type.decode(), reply.body)
        # before the answer leaves: a crash before this leaves nothing answered
        await asyncio.shield(self._stored(self._store.finish, token, request, kept))
        return reply

    async def _stored(self, step: Callable[..., Any], *given: object) -> Any:
        """Take a step of the store in turn. Raises `Refused` where that fails or lasts: then nothing is answered."""
        try:
            return await self._leases.step(step, *given)
        except Exception:  # noqa: BLE001 - whatever the store raised
            raise _no_store() from None

    async def _spend(self, exchange: Exchange) -> Reply:
        tier = exchange.tier
        owed = self._accounts.charges(exchange.client, tier, exchange.records, exchange.now)
        if tier.budget.per_neighbourhood is not None:
            owed += self._near.charges(exchange, tier.budget.per_neighbourhood)
        try:
            full = await self._leases.reserve(owed)
        except Exception:  # noqa: BLE001 - whatever the store raised: nothing is asked that cannot be charged
            raise _no_store() from None
        if full is not None:
            if not self._shadow:
                sentence = f"The request is beyond {what_is_full(full.account)}."
                raise Refused(429, "budget", sentence, _wait(full, exchange.now))
            exchange.shadow = exchange.shadow or "budget"
            owed = ()
        try:
            return await self._inner(exchange)
        except BaseException as error:  # nothing has left, of a stream neither: it is read once this has returned
            if not exchange.upstream:  # a status tells something too, such as whether a word was seen in training
                self._leases.refund(owed)
            elif owed and isinstance(error, Refused):
                error.say_charged()
            raise


def _no_store() -> Refused:
    return Refused(503, "store", "The guard cannot keep its budgets now, and answers nothing.")


def _kept(error: Exception) -> Exception:
    """Return an error that the same request will meet again, with what it takes to ask anew in the place of "again"."""
    if isinstance(error, Refused) and error.sentence.endswith(AGAIN):
        error.sentence = f"{error.sentence.removesuffix('.')} with another idempotency key."
    return error


def _again(kept: Kept) -> Reply:
    """Return the answer that was kept; of a refusal the word for clients stands in it, and is the reason then."""
    reason = "answered" if kept.status == 200 else str(msgspec.json.decode(kept.body)["error"]["code"])
    return Reply(kept.status, kept.content_type.encode(), kept.body, reason=reason)


def _wait(full: Charge, now: float) -> float | None:
    """Return the seconds until a day's budget begins anew; a lifetime does not."""
    return DAY_S - now % DAY_S if ":day:" in full.account else None
