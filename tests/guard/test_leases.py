"""Whatever the order, what is granted under a cap never exceeds it in all: also while a policy is replaced."""

import asyncio
from collections import Counter

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


CAPS = st.sampled_from([3, 10, 40, 200])
STEPS = st.lists(
    st.one_of(
        st.lists(st.tuples(CAPS, st.integers(1, 4)), min_size=1, max_size=8),  # requests that come together
        st.integers(0, 10),  # the place of a granted one, which is put back
    ),
    max_size=25,
)


@QUICKLY
@given(STEPS, st.sampled_from([1, 10, 100]), st.booleans())
def test_what_is_granted_under_a_cap_never_exceeds_it_in_all(steps, lease, racing):
    """Net of what was put back; and what the store counts at the end is what was granted."""

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

    net, used = leased(talk, lease=lease)
    assert used == net


def check(held):
    under = Counter()
    for charge in held:
        under[charge.cap] += charge.amount
    for cap in under:
        assert sum(amount for other, amount in under.items() if other <= cap) <= cap
