"""Differences of two independent AUCs, and the arithmetic under them."""

import numpy as np
import pytest

from unseen.stats.difference import auc_difference
from unseen.stats.square_and_add import auc_difference_unpaired, square_and_add


def scored(seed, members, non_members, leak):
    rng = np.random.default_rng(seed)
    member = np.arange(members + non_members) < members
    return rng.normal(size=member.size) + leak * member, member


def test_independent_reaches_add_as_squares_and_perfectly_paired_ones_cancel():
    assert square_and_add([(3.0, 4.0, 0.0)]) == 5.0
    assert square_and_add([(3.0, 3.0, 1.0)]) == 0.0
    assert square_and_add([(3.0, 3.0, -1.0)]) == 6.0
    assert square_and_add([(1.0, 2.0, 0.0), (2.0, 4.0, 0.0)]) == 5.0


def test_the_difference_turns_its_sign_with_its_sides():
    new, old = scored(0, 100, 200, 1.0), scored(1, 50, 80, 0.2)
    there, back = auc_difference_unpaired(*new, *old), auc_difference_unpaired(*old, *new)
    assert there.value == pytest.approx(-back.value)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


def test_unpaired_agrees_with_delong_where_scores_have_nothing_in_common():
    member = np.arange(4000) < 2000
    a, b = (np.random.default_rng(seed).normal(size=4000) + member for seed in (0, 1))
    apart, paired = auc_difference_unpaired(a, member, b, member), auc_difference(a, b, member)
    assert apart.value == pytest.approx(paired.value)
    assert apart.high - apart.low == pytest.approx(paired.high - paired.low, rel=0.05)


def test_two_perfect_scores_leave_the_difference_open():
    one = np.array([3.0, 2.0, 1.0, 0.0] * 10), np.array([True, True, False, False] * 10)
    rise = auc_difference_unpaired(*one, *one)
    assert rise.value == 0.0
    assert rise.low < -0.1 < 0.1 < rise.high


def test_the_interval_covers_at_its_rate_over_many_worlds():
    missed = 0
    for seed in range(400):  # both have an AUC of 0.6914..., so the truth is 0
        rise = auc_difference_unpaired(*scored(2 * seed, 60, 90, 0.7), *scored(2 * seed + 1, 120, 60, 0.7))
        missed += not rise.low <= 0 <= rise.high
    assert missed <= 32  # 20 are expected at 95 %; more than 32 come by in under 1 % of such tests
