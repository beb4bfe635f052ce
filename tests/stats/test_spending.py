"""Looks and what each may spend: together at most the budget, most of it for the last."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unseen.stats.power import detectable_auc
from unseen.stats.spending import BEFORE_THE_LAST, FIRST_LOOK, WORTH_LOOKING, looks, spending


@given(st.integers(0, 10_000))
def test_looks_ascend_from_four_to_all_and_each_leaves_a_quarter_to_save(most):
    *early, last = schedule = looks(most)
    assert last == most
    assert list(schedule) == sorted(set(schedule))
    assert all(count >= FIRST_LOOK and count <= WORTH_LOOKING * most for count in early)
    assert all(later == 2 * earlier for earlier, later in pairwise(early))


@pytest.mark.parametrize(
    ("most", "schedule"),
    [
        (0, (0,)),
        (2, (2,)),
        (5, (5,)),
        (6, (4, 6)),
        (16, (4, 8, 16)),
        (64, (4, 8, 16, 32, 64)),
        (65, (4, 8, 16, 32, 65)),
    ],
)
def test_the_schedules_of_some_audits(most, schedule):
    assert looks(most) == schedule


@given(st.integers(2, 10_000), st.floats(1e-6, 0.5))
def test_all_looks_together_spend_the_budget_and_no_more(most, alpha):
    schedule = looks(most)
    spent = spending(schedule, alpha)
    assert len(spent) == len(schedule)
    assert all(level > 0 for level in spent)
    assert alpha * (1 - 1e-12) <= sum(spent) <= alpha * (1 + 1e-12)


@given(st.integers(6, 10_000))
def test_the_last_look_keeps_four_fifths_and_the_others_share_alike(most):
    *early, last = spending(looks(most), 0.05)
    assert last == pytest.approx((1 - BEFORE_THE_LAST) * 0.05)
    assert len(set(early)) == 1
    assert sum(early) == pytest.approx(BEFORE_THE_LAST * 0.05)


def test_a_single_look_has_the_whole_budget():
    assert spending((16,), 0.05) == (0.05,)


def test_an_audit_that_never_stops_loses_little_power():
    def dearer(family):
        kept, whole = (detectable_auc(1000, 1000, level / family) - 0.5 for level in (spending((4, 8))[-1], 0.05))
        return kept / whole

    assert dearer(1) == pytest.approx(1.043, abs=0.001)
    assert dearer(100) == pytest.approx(1.015, abs=0.001)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1])
def test_a_budget_outside_zero_and_one_is_refused(alpha):
    with pytest.raises(ValueError, match="alpha must be in"):
        spending((4,), alpha)


def test_no_look_and_no_references_below_zero_are_refused():
    with pytest.raises(ValueError, match="one look or more"):
        spending(())
    with pytest.raises(ValueError, match="0 or more"):
        looks(-1)
