"""The difference of two true-positive rates: worlds of known truth, pairing, edges, refusals."""

import numpy as np
import pytest

from unseen.errors import DataError, TooFewRecords
from unseen.stats.roc import tpr_at_fpr
from unseen.stats.tpr_difference import tpr_difference, tpr_difference_unpaired


def pair(seed, members, non_members, together, leak=0.0, rise=0.0):
    """Two scores of the same units, `together` correlated, that leak alike but for `rise`."""
    rng = np.random.default_rng(seed)
    member = np.arange(members + non_members) < members
    shared, own, other = rng.normal(size=(3, member.size))
    mixed = [np.sqrt(together) * shared + np.sqrt(1 - together) * one + leak * member for one in (own, other)]
    return mixed[0] + rise * member, mixed[1], member


def test_the_value_is_the_difference_of_the_two_rates():
    new, old, member = pair(0, 300, 500, 0.5, 1.0, 0.7)
    rise = tpr_difference(new, old, member, 0.1)
    rates = [tpr_at_fpr(one, member, 0.1) for one in (new, old)]
    assert rise.value == pytest.approx(rates[0].value - rates[1].value)
    assert rise.counts["true_positives"] == rates[0].counts["true_positives"]
    assert rise.counts["other_false_positives"] == rates[1].counts["false_positives"]
    assert rise.low <= rise.value <= rise.high


def test_the_difference_turns_its_sign_with_its_sides():
    new, old, member = pair(0, 300, 500, 0.5, 1.0, 0.7)
    there, back = tpr_difference(new, old, member, 0.1), tpr_difference(old, new, member, 0.1)
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))


@pytest.mark.parametrize("together", [0.0, 0.6, 0.95])
@pytest.mark.parametrize("leak", [0.0, 1.5])
def test_a_rise_that_is_not_there_is_rarely_found(together, leak):
    alarms = 0
    for seed in range(400):
        new, old, member = pair(seed, 150, 300, together, leak)
        alarms += tpr_difference(new, old, member, 0.05, 0.9).low > 0  # the lower tail has 5 %
    assert alarms <= 30  # 20 at most are expected; over 30 come by in under 2 % of such tests, were all of them used


def test_the_thresholds_are_paid_for():
    """Given the thresholds, both rates would seem known four times better than they are."""
    swings = []
    for seed in range(300):
        new, old, member = pair(seed, 20_000, 200, 0.0, 1.0)
        rise = tpr_difference(new, old, member, 0.05)
        swings.append(rise.low <= 0 <= rise.high)
        assert rise.high - rise.low > 0.1
    assert np.mean(swings) > 0.95


def test_a_rise_that_is_there_is_found():
    new, old, member = pair(0, 1000, 1000, 0.6, 0.5, 1.0)
    assert tpr_difference(new, old, member, 0.1).low > 0.1
    assert tpr_difference_unpaired(new, member, old, member, 0.1).low > 0.1


def test_pairing_narrows_the_interval_where_the_scores_go_together():
    new, old, member = pair(0, 1000, 1000, 0.95, 0.5)
    paired, apart = tpr_difference(new, old, member, 0.1), tpr_difference_unpaired(new, member, old, member, 0.1)
    assert paired.value == apart.value
    assert paired.high - paired.low < 0.7 * (apart.high - apart.low)
    assert paired.method.startswith("paired")
    assert apart.method.startswith("unpaired")


def test_a_score_against_itself_has_not_risen():
    new, _, member = pair(0, 200, 400, 0.5, 1.0)
    rise = tpr_difference(new, new, member, 0.1)
    assert rise.value == 0
    assert -0.05 < rise.low <= 0 <= rise.high < 0.05


def test_row_order_and_any_growing_transformation_change_nothing():
    new, old, member = pair(0, 200, 400, 0.5, 1.0)
    order = np.random.default_rng(1).permutation(member.size)
    one = tpr_difference(new, old, member, 0.1)
    assert tpr_difference(np.exp(new[order]), old[order] ** 3, member[order], 0.1) == one


def test_constant_scores_call_nobody_and_differ_by_nothing():
    member = np.arange(400) < 200
    rise = tpr_difference(np.zeros(400), np.ones(400), member, 0.1)
    assert rise.value == 0
    assert rise.low <= 0 <= rise.high


def test_a_rate_that_the_counts_cannot_carry_is_refused():
    new, old, member = pair(0, 200, 99, 0.5)
    with pytest.raises(TooFewRecords, match="needs 100 non-members, got 99"):
        tpr_difference(new, old, member, 0.1)


def test_an_empty_side_is_refused():
    with pytest.raises(DataError, match="units on both sides"):
        tpr_difference(np.zeros(3), np.zeros(3), np.ones(3, dtype=bool), 0.1)
