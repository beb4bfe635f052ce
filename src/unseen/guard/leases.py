"""Leases: a worker's small stock of every budget, so that the disk is asked once in many records.

What a worker holds is already charged in the store: a crash strands it, and nothing can be spent twice.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from unseen.guard.budget import Ask, Charge, Grant, Store

Waiting = tuple[Sequence[Charge], "asyncio.Future[Charge | None]"]
LOG = logging.getLogger("unseen.guard")
STRANDED = "unseen guard: the store failed at the end (%s): %d records held of %d accounts stay charged."
NEAR = "near:"  # accounts of neighbourhoods: too many to keep a stock of each
SHARE = 100  # workers together hold at most a hundredth of a cap, so that small caps are not stranded in leases


class Leases:
    """What one worker holds of each account; requests that find it empty wait together for one durable step."""

    def __init__(self, store: Store, *, lease: int, workers: int) -> None:
        self._store = store
        self._lease = lease
        self._workers = workers
        self._left: dict[str, int] = {}
        self._caps: dict[str, int] = {}  # the largest under which any of what is left was taken
        self._back: dict[str, int] = {}  # taken under a cap that has since been lowered: no longer anybody's to spend
        self._waiting: list[Waiting] = []
        self._task: asyncio.Task[None] | None = None
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="budget")
        self.waits = 0  # requests that waited for the store, and how long in all
        self.wait_s = 0.0

    async def reserve(self, charges: Sequence[Charge]) -> Charge | None:
        """Charge all of `charges` or none; return the one that its cap refuses. Raises what the store raises."""
        if self._take(charges):
            return None
        future: asyncio.Future[Charge | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((charges, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._serve())
        self.waits += 1
        since = time.monotonic()
        try:
            return await future
        finally:
            self.wait_s += time.monotonic() - since

    def refund(self, charges: Sequence[Charge]) -> None:
        """Put back what was charged for an answer that cannot have left, for this worker's next request."""
        for charge in charges:
            if self._caps.get(charge.account, charge.cap) < charge.cap:
                self._back[charge.account] = self._back.get(charge.account, 0) + charge.amount
            else:
                self._stock_up(charge.account, charge.amount, charge.cap)

    async def close(self) -> int:
        """Give back what is held; return how much of it the store did not take. Nothing may be reserved afterwards."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        held, stranded = self._held(), 0
        if held:
            stranded = await asyncio.get_running_loop().run_in_executor(self.thread, self._give_back, held)
        self.thread.shutdown()
        return stranded

    def close_now(self) -> int:
        """Do what `close` does: for callers outside an event loop."""
        self.thread.shutdown()
        return self._give_back(self._held())

    def _held(self) -> dict[str, int]:
        """Take out of the stock all that is held, by account."""
        held = {account: left for account, left in self._left.items() if left > 0}
        for account, left in self._back.items():
            held[account] = held.get(account, 0) + left
        self._left.clear()
        self._back.clear()
        return held

    def _give_back(self, held: dict[str, int]) -> int:
        """Give back at the end; what a store that fails does not take stays charged, and the operator is told."""
        try:
            if held:
                self._store.give_back(held)
        except Exception as error:  # noqa: BLE001 - whatever the store raised: the end goes on
            count = sum(held.values())
            LOG.error(STRANDED, type(error).__name__, count, len(held))  # noqa: TRY400
            return count
        return 0

    def _take(self, charges: Sequence[Charge]) -> bool:
        left, caps = self._left, self._caps
        for charge in charges:
            if left.get(charge.account, 0) < charge.amount or caps.get(charge.account, 0) > charge.cap:
                return False
        for charge in charges:
            left[charge.account] -= charge.amount
        return True

    async def _serve(self) -> None:
        while self._waiting:
            batch, self._waiting = _of_one_policy(self._waiting)
            try:
                await self._serve_batch(batch)
            except Exception as error:  # noqa: BLE001 - whatever the store raised goes to those who wait for it
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)

    async def _serve_batch(self, batch: list[Waiting]) -> None:
        self._lower([charge for charges, _ in batch for charge in charges])
        asked = self._asks([charges for charges, _ in batch])
        back, self._back = self._back, {}
        loop = asyncio.get_running_loop()
        grants = await loop.run_in_executor(self.thread, self._step, back, asked)
        for asks, grant in zip(asked, grants, strict=True):
            if grant.refused is None:
                for ask, amount in zip(asks, grant.amounts, strict=True):
                    self._stock_up(ask.account, amount, ask.cap)
        for (charges, future), asks, grant in zip(batch, asked, grants, strict=True):
            if future.done():  # whoever waited has gone: nothing was taken for them
                continue
            if self._take(charges):
                future.set_result(None)
            elif grant.refused is not None:
                full = asks[grant.refused].account
                future.set_result(next(charge for charge in charges if charge.account == full))
            else:  # somebody else took what was meant for this one: once more
                self._waiting.append((charges, future))
        self._left = {account: left for account, left in self._left.items() if left}
        self._caps = {account: self._caps[account] for account in self._left}

    def _stock_up(self, account: str, amount: int, cap: int) -> None:
        """Add to the stock of an account what was taken under `cap`."""
        if left := self._left.get(account, 0):
            cap = max(cap, self._caps[account])
        self._left[account], self._caps[account] = left + amount, cap

    def _lower(self, charges: Sequence[Charge]) -> None:
        """Take out of the stock what was taken under a higher cap than today's: it may be beyond it."""
        for charge in charges:
            if self._caps.get(charge.account, 0) > charge.cap and (left := self._left.pop(charge.account, 0)):
                self._back[charge.account] = self._back.get(charge.account, 0) + left

    def _step(self, back: dict[str, int], asked: list[list[Ask]]) -> list[Grant]:
        if back:
            self._store.give_back(back)
        return self._store.reserve(asked)

    def _stock(self, cap: int) -> int:
        return max(1, min(self._lease, cap // (SHARE * self._workers)))

    def _asks(self, requests: list[Sequence[Charge]]) -> list[list[Ask]]:
        """Return what each request lacks, given what is held and what those before it will bring."""
        planned = dict(self._left)
        asked = []
        for charges in requests:
            asks = []
            for charge in charges:
                there = planned.get(charge.account, 0)
                if there < charge.amount:
                    need = charge.amount - there
                    stock = 0 if charge.account.startswith(NEAR) else self._stock(charge.cap)
                    asks.append(Ask(charge.account, need, max(need, stock), charge.cap))
                    there += max(need, stock)
                planned[charge.account] = there - charge.amount
            asked.append(asks)
        return asked


def _of_one_policy(waiting: list[Waiting]) -> tuple[list[Waiting], list[Waiting]]:
    """Return those that give each account one cap, from the first on, and those that wait for the next step.

    Of two caps for one account, as while a policy is replaced, what is taken under the higher is not the lower's.
    """
    caps: dict[str, int] = {}
    now, later = [], []
    for charges, future in waiting:
        if all(caps.get(charge.account, charge.cap) == charge.cap for charge in charges):
            caps.update((charge.account, charge.cap) for charge in charges)
            now.append((charges, future))
        else:
            later.append((charges, future))
    return now, later


def granted(asks: Sequence[Ask], used: dict[str, int]) -> Grant:
    """Return what one request is granted where `used` is used so far, and add it there; the rule that all stores keep.

    >>> used = {"a": 8}
    >>> granted([Ask("a", need=1, want=5, cap=10)], used), used
    (Grant(amounts=(2,), refused=None), {'a': 10})
    """
    amounts = tuple(min(ask.want, ask.cap - used.get(ask.account, 0)) for ask in asks)
    for number, (ask, amount) in enumerate(zip(asks, amounts, strict=True)):
        if amount < ask.need:
            return Grant(refused=number)
    for ask, amount in zip(asks, amounts, strict=True):
        used[ask.account] = used.get(ask.account, 0) + amount
    return Grant(amounts)
