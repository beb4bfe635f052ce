"""A record's p-value equals its slow form, and is valid under exchangeability, with ties too."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from unseen.stats.records import record_p_values


@st.composite
def audits(draw):
    inside, outside = draw(st.integers(0, 12)), draw(st.integers(1, 12))
    value = draw(st.sampled_from([st.integers(0, 4).map(float), st.floats(-100, 100)]))
    scores = draw(st.lists(value, min_size=inside + outside, max_size=inside + outside))
    return np.array(scores), np.array(draw(st.permutations([True] * inside + [False] * outside)))


def slow_p_value(scores, member, unit):
    others = [scores[i] for i in range(scores.size) if not member[i] and i != unit]
    return (1 + sum(other >= scores[unit] for other in others)) / (1 + len(others))


@settings(deadline=None, derandomize=True, max_examples=200)
@given(audits())
def test_a_p_value_is_the_rank_among_the_other_non_members(audit):
    assert record_p_values(*audit).tolist() == [slow_p_value(*audit, unit) for unit in range(audit[0].size)]


@settings(deadline=None, derandomize=True, max_examples=200)
@given(audits(), st.integers(0, 2**31))
def test_row_order_changes_no_p_value(audit, seed):
    scores, member = audit
    order = np.random.default_rng(seed).permutation(member.size)
    assert (record_p_values(scores[order], member[order]) == record_p_values(scores, member)[order]).all()


@pytest.mark.parametrize("levels", [3, 30, 10**6])
@pytest.mark.parametrize("unit", [0, -1], ids=["a member in name only", "a non-member"])
def test_small_p_values_are_as_rare_as_they_say(levels, unit):
    rng, runs = np.random.default_rng(levels), 4000
    member = np.arange(61) < 2
    p_values = np.array([record_p_values(rng.integers(0, levels, 61), member)[unit] for _ in range(runs)])
    for level in (1 / 59, 0.05, 0.2):  # exceeded by chance in 1 run in 10,000
        assert (p_values <= level).sum() <= binom.isf(1e-4, runs, level)


def test_no_p_value_is_zero_and_the_smallest_is_one_over_the_non_members_plus_one():
    scores, member = np.array([9.0, 1.0, 2.0, 3.0]), np.array([True, False, False, False])
    assert record_p_values(scores, member).min() == 1 / 4
