"""Budget: how many records may be asked in all, and what a store of budgets must do.

A budget is charged before the model is asked and durably before an answer leaves; never twice, never given back once an
answer may have left. Accounts are names such as `key:ab12:lifetime`; caps come from the policy, not from the store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from unseen.guard.client import Client
from unseen.guard.policy import Budget, Shared, Tier

DAY_S = 86_400
REMEMBERED = 10_000  # charges that are known


@dataclass(frozen=True, slots=True)
class Charge:
    """`amount` records against `cap` on one account."""

    account: str
    amount: int
    cap: int


@dataclass(frozen=True, slots=True)
class Ask:
    """What a worker asks a store for: `need` at least, up to `want` at once, never beyond `cap` in all."""

    account: str
    need: int
    want: int
    cap: int


@dataclass(frozen=True, slots=True)
class Grant:
    """What each ask of one request was granted; or which of them was refused, and then none is granted."""

    amounts: tuple[int, ...] = ()
    refused: int | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """The answer kept for an idempotency key."""

    status: int
    content_type: str
    body: bytes = field(repr=False)


class Store(Protocol):
    """Durable counters, shared by workers and nodes. All calls block; each is durable when it returns."""

    def reserve(self, requests: Sequence[Sequence[Ask]]) -> list[Grant]:
        """Grant each request wholly or not at all, in order, in one durable step."""

    def give_back(self, amounts: Mapping[str, int]) -> None:
        """Take back what was granted and not used for any answer."""

    def used(self, prefix: str) -> dict[str, int]:
        """Return what is used of each account whose name begins so."""

    def begin(self, token: bytes, request: bytes, now: float, patience: float) -> str | Kept:
        """Return the answer kept for a token, "new", "busy" (being answered), or "other" (of another request).

        Begun over `patience` seconds ago and never answered is new: its worker died, and what it charged is stranded.
        """

    def finish(self, token: bytes, request: bytes, kept: Kept | None) -> None:
        """Keep the answer for a token, as long as it is of this request; None forgets it, where nothing was charged."""

    def close(self) -> None:
        """Let go of the store."""


class Accounts:
    """What each client is charged to; worked out once a day for each number of records.

    >>> client, tier = Client("ab12", "acme", "basic"), Tier(budget=Budget(lifetime=9))
    >>> Accounts(Shared(total=Budget(per_day=50))).charges(client, tier, 3, 0.0)
    (Charge(account='key:ab12:lifetime', amount=3, cap=9), Charge(account='total:day:1970-01-01', amount=3, cap=50))
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._day = -1
        self._known: dict[tuple[str, str, str, int], tuple[Charge, ...]] = {}

    def charges(self, client: Client, tier: Tier, records: int, now: float) -> tuple[Charge, ...]:
        """Return everything that one request is charged to."""
        day = int(now // DAY_S)
        if day != self._day or len(self._known) > REMEMBERED:
            self._day, self._known = day, {}
        known = (client.id, client.tenant, client.tier, records)
        found = self._known.get(known)
        if found is None:
            accounts = _accounts(client, tier.budget, self._shared, day)
            found = self._known[known] = tuple([Charge(account, records, cap) for account, cap in accounts])
        return found


def _accounts(client: Client, own: Budget, shared: Shared, day: int) -> tuple[tuple[str, int], ...]:
    date = datetime.fromtimestamp(day * DAY_S, UTC).date().isoformat()
    found = []
    for holder, budget in (
        (f"key:{client.id}", own),
        (f"tenant:{client.tenant}", shared.tenant),
        ("total", shared.total),
    ):
        if budget.per_day is not None:
            found.append((f"{holder}:day:{date}", budget.per_day))
        if budget.lifetime is not None:
            found.append((f"{holder}:lifetime", budget.lifetime))
    return tuple(found)


def what_is_full(account: str) -> str:
    """Return what to tell a client whose account is full, without another client's name.

    >>> what_is_full("total:day:2026-11-26")
    "everybody's budget for the day"
    """
    holder, _, rest = account.partition(":")
    whose = {"key": "this key's", "tenant": "this tenant's", "total": "everybody's"}.get(holder, "this key's")
    if holder == "near":
        return "this key's budget for records near this one"
    return f"{whose} budget for {'the day' if ':day:' in f':{rest}' else 'its lifetime'}"
