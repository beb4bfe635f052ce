"""Whatever the order, what is granted under a cap never exceeds it in all: also while a policy is replaced.

And whatever the store does: one that is silent is waited for in vain for a time, and then what it did is not guessed.
"""

import asyncio
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.guard.budget import Charge
from unseen.guard.leases import Leases, granted

QUICKLY = settings(deadline=None, derandomize=True, max_examples=300)
HIGH, LOW = 10_000, 60


class Counted:
    """A store in memory, by the rule that all stores keep."""

    def __init__(self):
        self.count = {}

    def reserve(self, requests):
        return [granted(asks, self.count) for asks in requests]

    def give_back(self, amounts):
        for account, amount in amounts.items():
            self.count[account] -= amount
            assert self.count[account] >= 0


def leased(talk, *, lease=100):
    """What `talk(leases)` returns, and what is used once the worker has given back what it holds."""

    async def run():
        store = Counted()
        leases = Leases(store, lease=lease, workers=1)
        found = await talk(leases)
        await leases.close()
        return found, store.count.get("a", 0)

    return asyncio.run(run())


async def reserved(leases, *caps):
    """How many requests for one record are granted at once, one under each cap."""
    return [full is None for full in await asyncio.gather(*(leases.reserve([Charge("a", 1, cap)]) for cap in caps))]


def test_stock_of_an_old_policy_is_not_spent_by_a_new_one_that_waits_with_it():
    async def talk(leases):
        for _ in range(100):
            assert await reserved(leases, HIGH) == [True]
        return [await reserved(leases, *caps) for caps in ((HIGH, LOW), (LOW, HIGH), (LOW,), (HIGH, LOW, HIGH))]

    found, used = leased(talk)
    assert found == [[True, False], [False, True], [False], [True, False, True]]
    assert used == 104


def test_a_budget_lowered_in_one_batch_still_has_what_is_left_of_it():
    async def talk(leases):
        granted = await reserved(leases, HIGH, LOW, HIGH, LOW)
        return granted, sum([(await reserved(leases, LOW))[0] for _ in range(100)])

    (first, later), used = leased(talk)
    assert first == [True] * 4
    assert later == LOW - 4
    assert used == LOW


def test_what_is_put_back_under_an_old_policy_is_not_spent_under_a_new_one():
    async def talk(leases):
        for _ in range(100):
            assert await reserved(leases, HIGH) == [True]
        leases.refund([Charge("a", 1, HIGH)])
        near = await reserved(leases, LOW)
        leases.refund([Charge("near:x", 1, HIGH)])  # no stock is kept of these, but what comes back
        return near, await leases.reserve([Charge("near:x", 1, LOW)])

    class Asked(Counted):
        def give_back(self, amounts):
            self.given = {**getattr(self, "given", {}), **amounts}

    async def run():
        store = Asked()
        leases = Leases(store, lease=100, workers=1)
        found = await talk(leases)
        return found, store.given

    (low, near), given = asyncio.run(run())
    assert (low, near) == ([False], None)
    assert given == {"a": 1, "near:x": 1}


class Silent(Counted):
    """It can be made silent: a step that it is asked for meanwhile is taken once it speaks again."""

    def __init__(self):
        super().__init__()
        self.speaks = threading.Event()
        self.speaks.set()
        self.steps = 0

    def reserve(self, requests):
        self.speaks.wait()
        self.steps += 1
        return super().reserve(requests)

    def give_back(self, amounts):
        self.speaks.wait()
        super().give_back(amounts)


@contextmanager
def silent(monkeypatch, *, held=0):
    """Leases, and a silent store in which so many records are charged for them."""
    for name in ("PATIENCE_S", "END_S"):
        monkeypatch.setattr(f"unseen.guard.leases.{name}", 0.2)
    store = Silent()
    leases = Leases(store, lease=10, workers=1)
    if held:
        store.count["a"] = held
        leases.refund([Charge("a", held, HIGH)])
    store.speaks.clear()
    try:
        yield store, leases
    finally:
        store.speaks.set()


async def timed_out(waited):
    """How long it takes until something is given up."""
    since = time.monotonic()
    with pytest.raises(TimeoutError):
        await waited
    return time.monotonic() - since


def test_a_silent_store_is_given_up_in_time_and_what_it_grants_later_is_stock(monkeypatch):
    async def run():
        with silent(monkeypatch) as (store, leases):
            first = asyncio.create_task(timed_out(leases.reserve([Charge("a", 1, HIGH)])))
            await asyncio.sleep(0.02)  # these two wait for the next step, of which there is none any more
            late = [asyncio.create_task(timed_out(leases.reserve([Charge("a", 1, HIGH)]))) for _ in range(2)]
            took = await asyncio.gather(first, *late)
            at_once = await timed_out(leases.reserve([Charge("a", 1, HIGH)]))
            store.speaks.set()
            await asyncio.wait_for(leases._task, 5)
            stocked = await leases.reserve([Charge("a", 1, HIGH)])
            return took, at_once, stocked, await leases.close(), store.steps, store.count

    took, at_once, stocked, stranded, steps, count = asyncio.run(run())
    assert max(took) < 1
    assert at_once < 0.1
    assert (stocked, stranded, steps, count) == (None, 0, 1, {"a": 1})


def test_another_step_of_a_silent_store_is_given_up_in_time_and_not_begun_later(monkeypatch):
    async def run():
        with silent(monkeypatch) as (store, leases):
            taken = []
            first = asyncio.create_task(timed_out(leases.reserve([Charge("a", 1, HIGH)])))
            await asyncio.sleep(0.02)
            took = await timed_out(leases.step(taken.append, "in vain"))
            store.speaks.set()
            await asyncio.wait_for(asyncio.gather(first, leases._task), 5)
            await leases.step(taken.append, "in time")
            await leases.close()
            return took, taken

    took, taken = asyncio.run(run())
    assert took < 1
    assert taken == ["in time"]


@pytest.mark.parametrize("step", [False, True], ids=["idle", "in a step"])
def test_the_end_does_not_wait_for_a_silent_store_and_says_what_may_stay_charged(monkeypatch, caplog, step):
    async def run():
        with silent(monkeypatch, held=7) as (_, leases):
            if step:
                await timed_out(leases.reserve([Charge("b", 1, HIGH)]))
            since = time.monotonic()
            return await leases.close(), time.monotonic() - since

    stranded, took = asyncio.run(run())
    assert stranded == (17 if step else 7)
    assert took < 1
    (told,) = caplog.records
    assert f"up to {stranded} records" in told.getMessage()


def test_the_end_outside_a_loop_does_not_wait_for_a_silent_store_either(monkeypatch):
    with silent(monkeypatch, held=7) as (_, leases):
        since = time.monotonic()
        assert leases.close_now() == 7
        assert time.monotonic() - since < 1


ENDING = """
import asyncio, threading
from unseen.guard import leases
from unseen.guard.budget import Charge
leases.PATIENCE_S = leases.END_S = 0.1

class Hung:
    def reserve(self, _):
        threading.Event().wait()

async def run():
    held = leases.Leases(Hung(), lease=1, workers=1)
    try:
        await held.reserve([Charge("a", 1, 10)])
    finally:
        await held.close()

asyncio.run(run())
"""


def test_a_process_ends_though_its_store_never_answers():
    ended = subprocess.run([sys.executable, "-c", ENDING], timeout=30, check=False, capture_output=True)
    assert ended.stderr.splitlines()[-1] == b"TimeoutError: the store is silent"


def test_what_was_on_its_way_back_to_a_store_that_failed_is_never_given_back_again_and_is_told(caplog):
    class Failing(Counted):
        def give_back(self, amounts):
            super().give_back(amounts)  # it is done, and only the answer is lost
            if not failed:
                failed.append(amounts)
                raise ConnectionError

    async def run():
        store = Failing()
        leases = Leases(store, lease=100, workers=1)
        await reserved(leases, HIGH)
        with pytest.raises(ConnectionError):
            await reserved(leases, LOW)
        return await reserved(leases, LOW), await leases.close(), store.count

    failed = []
    assert asyncio.run(run()) == ([True], 99, {"a": 2})
    assert failed == [{"a": 99}]
    assert "up to 99 records held of 1 accounts" in caplog.records[0].getMessage()


def test_a_request_that_ends_as_it_is_charged_leaves_it_to_the_next():
    async def talk(leases):
        take = leases._take
        leases._take = lambda charges: take(charges) and (loop.call_soon(task.cancel) or True)
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(leases.reserve([Charge("a", 1, HIGH)]))
        await asyncio.wait([task])
        return task.cancelled()

    assert leased(talk) == (True, 0)


class OfTheBatch(dict):
    """What is held of accounts: no step goes through all of them."""

    def _all(self, *_):
        raise AssertionError("every account was looked at")

    __iter__ = keys = values = items = copy = _all


def test_a_step_looks_at_the_accounts_that_it_is_asked_for_alone():
    async def run():
        leases = Leases(Counted(), lease=100, workers=1)
        leases._left, leases._caps = OfTheBatch(), OfTheBatch()
        found = [await leases.reserve([Charge(f"key:{client}", 1, HIGH)]) for client in range(10)]
        leases._left, leases._caps = {}, {}
        await leases.close()
        return found

    assert asyncio.run(run()) == [None] * 10


def test_a_stock_that_nobody_touches_goes_back_and_one_that_is_used_stays(monkeypatch):
    """As that of a day that is over: what is held does not grow with the days."""
    clock = 0.0

    async def run():
        nonlocal clock
        store = Counted()
        leases = Leases(store, lease=10, workers=1)
        for client in range(2500):
            clock += 1.0
            assert await leases.reserve([Charge(f"key:{client}:day:1970-01-01", 1, HIGH)]) is None
            assert await leases.reserve([Charge("total", 1, 10 * HIGH)]) is None
        held = len(leases._left), len(leases._caps), len(leases._seen)
        days = Counter(count for account, count in store.count.items() if account != "total")
        assert await leases.close() == 0
        return held, days, store.count

    monkeypatch.setattr("unseen.guard.leases.IDLE_S", 100.0)
    monkeypatch.setattr("unseen.guard.leases.time", SimpleNamespace(monotonic=lambda: clock))
    held, days, count = asyncio.run(run())
    assert max(held) < 220  # untouched for between one and two times as long
    assert days[1] > 2280
    assert count == {"total": 2500} | {f"key:{client}:day:1970-01-01": 1 for client in range(2500)}


def test_a_stock_is_let_go_of_in_parts(monkeypatch):
    monkeypatch.setattr("unseen.guard.leases.IDLE_S", 0.0)
    monkeypatch.setattr("unseen.guard.leases.LOOKS", 5)

    class Told(Counted):
        given = ()

        def give_back(self, amounts):
            self.given += (len(amounts),)
            super().give_back(amounts)

    async def run():
        store = Told()
        leases = Leases(store, lease=10, workers=1)
        for account in range(12):
            store.count[f"key:{account}"] = 3
            leases.refund([Charge(f"key:{account}", 3, HIGH)])
        for _ in range(3):
            await leases.reserve([Charge("near:x", 1, HIGH)])
            await asyncio.wait_for(leases._task, 5)
        found = store.given
        await leases.close()
        return found, +Counter(store.count)

    assert asyncio.run(run()) == ((5, 5, 2), {"near:x": 3})


CAPS = st.sampled_from([3, 10, 40, 200])
STEPS = st.lists(
    st.one_of(
        st.lists(st.tuples(CAPS, st.integers(1, 4)), min_size=1, max_size=8),  # requests that come together
        st.integers(0, 10),  # the place of a granted one, which is put back
    ),
    max_size=25,
)


@QUICKLY
@given(STEPS, st.sampled_from([1, 10, 100]), st.booleans(), st.sampled_from([0.0, 3600.0]))
def test_what_is_granted_under_a_cap_never_exceeds_it_in_all(steps, lease, racing, idle_s):
    """Net of what was put back; and what the store counts at the end is what was granted. Idle stocks go back."""

    async def talk(leases):
        held = []

        async def ask(cap, amount):
            charge = Charge("a", amount, cap)
            if await leases.reserve([charge]) is None:
                held.append(charge)

        waiting = []
        for step in steps:
            if isinstance(step, int):
                if step < len(held):
                    leases.refund([held.pop(step)])
                continue
            waiting += [asyncio.ensure_future(ask(cap, amount)) for cap, amount in step]
            if racing:
                await asyncio.sleep(0)
            else:
                await asyncio.gather(*waiting)
            check(held)
        await asyncio.gather(*waiting)
        check(held)
        return sum(charge.amount for charge in held)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unseen.guard.leases.IDLE_S", idle_s)
        net, used = leased(talk, lease=lease)
    assert used == net


def check(held):
    under = Counter()
    for charge in held:
        under[charge.cap] += charge.amount
    for cap in under:
        assert sum(amount for other, amount in under.items() if other <= cap) <= cap
