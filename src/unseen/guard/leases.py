"""Leases: a worker's small stock of every budget, so that the disk is asked once in many records.

What a worker holds is already charged in the store: a crash strands it, and nothing can be spent twice.
"""

import asyncio
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from itertools import chain
from typing import Any

from unseen.guard.budget import Ask, Charge, Grant, Store
from unseen.guard.step_thread import StepThread

Going = tuple[Mapping[str, int], Sequence[Sequence[Ask]]]
Waiting = tuple[Sequence[Charge], "asyncio.Future[Charge | None]"]
LOG = logging.getLogger("unseen.guard")
STRANDED = "unseen guard: the store failed (%s): up to %d records held of %d accounts stay charged."
NOTHING: Going = ({}, ())
NEAR = "near:"  # accounts of neighbourhoods: too many to keep a stock of each
SHARE = 100  # workers together hold at most a hundredth of a cap, so that small caps are not stranded in leases
PATIENCE_S = 15.0  # how long a request waits for the store; what it brings later is stock
END_S = 10.0  # how long the end waits for the store
IDLE_S = 3600.0  # a stock that nobody touched for so long is given back, as of a day that is over
LOOKS = 1000  # accounts, at most, that one step looks at for that


class Leases:
    """What one worker holds of each account; requests that find it empty wait together for one durable step.

    A step whose outcome is not known is never taken to have failed: what it may have charged is spent by nobody, and
    what it may have given back is not given back again.
    """

    def __init__(self, store: Store, *, lease: int, workers: int) -> None:
        self._store = store
        self._lease = lease
        self._workers = workers
        self._left: dict[str, int] = {}
        self._caps: dict[str, int] = {}  # the largest under which any of what is left was taken
        self._back: dict[str, int] = {}  # taken under a cap that has since been lowered: no longer anybody's to spend
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()  # when a stock was looked at, and what was left
        self._going = NOTHING  # what the step that is being taken may fail to take back, or charge
        self._waiting: list[Waiting] = []
        self._task: asyncio.Task[None] | None = None
        self._thread = StepThread()
        self._lost = 0  # records that were on their way back when the store failed, and may stay charged
        self.waits = 0  # requests that waited for the store, and how long in all
        self.wait_s = 0.0

    async def reserve(self, charges: Sequence[Charge]) -> Charge | None:
        """Charge all of `charges` or none; return the one that its cap refuses.

        Raises what the store raises, and `TimeoutError` where it is silent.
        """
        if self._take(charges):
            return None
        self._refuse_silent()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Charge | None] = loop.create_future()
        self._waiting.append((charges, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._serve())
        self.waits += 1
        since = time.monotonic()
        patience = loop.call_later(PATIENCE_S, _give_up, future)
        try:
            return await future
        except asyncio.CancelledError:
            if _charged(future):  # at the very moment
                self.refund(charges)
            raise
        finally:
            patience.cancel()
            self.wait_s += time.monotonic() - since

    async def step(self, step: Callable[..., Any], *given: Any) -> Any:
        """Take another step of the store, in its turn; one that nobody waits for any more is not begun.

        Raises what the step raises, and `TimeoutError` where the store is silent.
        """
        self._refuse_silent()
        return await asyncio.wait_for(asyncio.wrap_future(self._thread.submit(step, *given)), PATIENCE_S)

    def refund(self, charges: Sequence[Charge]) -> None:
        """Put back what was charged for an answer that cannot have left, for this worker's next request."""
        for charge in charges:
            if self._caps.get(charge.account, charge.cap) < charge.cap:
                self._back[charge.account] = self._back.get(charge.account, 0) + charge.amount
            else:
                self._stock_up(charge.account, charge.amount, charge.cap)

    async def close(self) -> int:
        """Give back what is held; return how much, at most, the store did not take. Nothing may be reserved afterwards.

        What a step charged whose answer was lost is known to nobody, and not in it. A silent store is waited for no
        longer than `END_S`.
        """
        end = time.monotonic() + END_S
        if self._task is not None and not (await asyncio.wait([self._task], timeout=END_S))[0]:
            self._task.cancel()
        held, giving = self._giving_all()
        with suppress(Exception):  # `_ended` looks at it
            await asyncio.wait_for(asyncio.wrap_future(giving), max(end - time.monotonic(), 0.0))
        return self._ended(held, giving)

    def close_now(self) -> int:
        """Do what `close` does: for callers outside an event loop."""
        held, giving = self._giving_all()
        wait([giving], timeout=END_S)
        return self._ended(held, giving)

    def _giving_all(self) -> tuple[dict[str, int], Future[None]]:
        """Take out of the stock all that is held, by account; the future is done once the store has taken it."""
        held = {account: left for account, left in self._left.items() if left > 0}
        for account, left in self._back.items():
            held[account] = held.get(account, 0) + left
        for stock in (self._left, self._caps, self._back, self._seen):
            stock.clear()
        if held:
            return held, self._thread.submit(self._store.give_back, held)
        nothing: Future[None] = Future()
        nothing.set_result(None)
        return held, nothing

    def _ended(self, held: dict[str, int], giving: Future[None]) -> int:
        """Let the thread go; return how much may stay charged, of steps that failed earlier too."""
        giving.cancel()  # it may not have begun
        self._thread.shutdown()
        back, asked = self._going
        doubt = Counter(back)
        for ask in chain.from_iterable(asked):
            doubt[ask.account] += ask.want
        error = giving.exception() if giving.done() and not giving.cancelled() else TimeoutError()
        if error is not None:
            doubt.update(held)
        if doubt:
            self._strand(error or TimeoutError(), doubt)
        lost, self._lost, self._going = self._lost, 0, NOTHING
        return lost

    def _give_back(self, amounts: Mapping[str, int]) -> None:
        """Give back, and tell what a store that fails may not have taken: who can say? Raises what the store raises."""
        try:
            self._store.give_back(amounts)
        except Exception as error:
            self._strand(error, amounts)
            raise

    def _strand(self, error: BaseException, amounts: Mapping[str, int]) -> None:
        count = sum(amounts.values())
        self._lost += count
        LOG.error(STRANDED, type(error).__name__, count, len(amounts))

    def _take(self, charges: Sequence[Charge]) -> bool:
        left, caps = self._left, self._caps
        for charge in charges:
            if left.get(charge.account, 0) < charge.amount or caps.get(charge.account, 0) > charge.cap:
                return False
        for charge in charges:
            left[charge.account] -= charge.amount
        return True

    def _refuse_silent(self) -> None:
        if self._thread.busy_s() > PATIENCE_S:
            raise TimeoutError("the store is silent")

    async def _serve(self) -> None:
        while self._waiting:
            batch, self._waiting = _of_one_policy(self._waiting)
            if not batch:  # whoever waited has gone
                continue
            try:
                await self._serve_batch(batch)
                await self._let_go()
            except Exception as error:  # noqa: BLE001 - whatever the store raised goes to those who wait for it
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)

    async def _serve_batch(self, batch: list[Waiting]) -> None:
        self._lower([charge for charges, _ in batch for charge in charges])
        asked = self._asks([charges for charges, _ in batch])
        back, self._back = self._back, {}
        grants = await self._in_turn((back, asked), self._step, back, asked)
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
        for charge in chain.from_iterable(charges for charges, _ in batch):
            if not self._left.get(charge.account):
                self._forget(charge.account)

    async def _in_turn(self, going: Going, step: Callable[..., Any], *given: Any) -> Any:
        """Take a step without an end to the wait: what it brings is stock, however late."""
        self._going = going
        try:
            found = await asyncio.wrap_future(self._thread.submit(step, *given))
        except Exception:
            self._going = NOTHING
            raise
        self._going = NOTHING
        return found

    async def _let_go(self) -> None:
        """Give back what nobody has touched for long, as of days that are over: a part of it after each step."""
        if idle := self._idle():
            await self._in_turn((idle, ()), self._give_back, idle)

    def _idle(self) -> dict[str, int]:
        """Take out of the stock what is as it was `IDLE_S` ago, of a few accounts; look at the others again later."""
        now, idle = time.monotonic(), {}
        for _ in range(min(LOOKS, len(self._seen))):
            account, (when, left) = next(iter(self._seen.items()))
            if now - when < IDLE_S:
                break
            held = self._left.get(account, 0)
            if held and held != left:
                self._seen[account] = now, held
                self._seen.move_to_end(account)
                continue
            if held:
                idle[account] = held
            self._forget(account)
        return idle

    def _forget(self, account: str) -> None:
        for stock in (self._left, self._caps, self._seen):
            stock.pop(account, None)

    def _stock_up(self, account: str, amount: int, cap: int) -> None:
        """Add to the stock of an account what was taken under `cap`."""
        if left := self._left.get(account, 0):
            cap = max(cap, self._caps[account])
        self._left[account], self._caps[account] = left + amount, cap
        if account not in self._seen:
            self._seen[account] = time.monotonic(), left + amount

    def _lower(self, charges: Sequence[Charge]) -> None:
        """Take out of the stock what was taken under a higher cap than today's: it may be beyond it."""
        for charge in charges:
            if self._caps.get(charge.account, 0) > charge.cap and (left := self._left.pop(charge.account, 0)):
                self._back[charge.account] = self._back.get(charge.account, 0) + left

    def _step(self, back: dict[str, int], asked: list[list[Ask]]) -> list[Grant]:
        if back:
            self._give_back(back)
        return self._store.reserve(asked)

    def _stock(self, cap: int) -> int:
        return max(1, min(self._lease, cap // (SHARE * self._workers)))

    def _asks(self, requests: list[Sequence[Charge]]) -> list[list[Ask]]:
        """Return what each request lacks, given what is held and what those before it will bring."""
        planned: dict[str, int] = {}
        asked = []
        for charges in requests:
            asks = []
            for charge in charges:
                there = planned.get(charge.account, self._left.get(charge.account, 0))
                if there < charge.amount:
                    need = charge.amount - there
                    stock = 0 if charge.account.startswith(NEAR) else self._stock(charge.cap)
                    asks.append(Ask(charge.account, need, max(need, stock), charge.cap))
                    there += max(need, stock)
                planned[charge.account] = there - charge.amount
            asked.append(asks)
        return asked


def _give_up(future: "asyncio.Future[Charge | None]") -> None:
    if not future.done():
        future.set_exception(TimeoutError("the store is silent"))


def _charged(future: "asyncio.Future[Charge | None]") -> bool:
    return future.done() and not future.cancelled() and future.exception() is None and future.result() is None


def _of_one_policy(waiting: list[Waiting]) -> tuple[list[Waiting], list[Waiting]]:
    """Return those that give each account one cap, from the first on, and those that wait for the next step.

    Of two caps for one account, as while a policy is replaced, what is taken under the higher is not the lower's.
    Whoever has gone is in neither.
    """
    caps: dict[str, int] = {}
    now, later = [], []
    for charges, future in waiting:
        if future.done():
            continue
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
