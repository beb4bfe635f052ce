"""Holm's adjustment equals its definition and holds the family's error rate."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm

from unseen.stats.multiplicity import holm

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=20).map(np.array)


def slow_holm(p_values, level):
    """Reject from the smallest up, while p <= level / (tests still open); stop at the first that is not."""
    rejected = np.zeros(p_values.size, dtype=bool)
    for still_open, place in zip(range(p_values.size, 0, -1), np.argsort(p_values, kind="stable"), strict=True):
        if p_values[place] * still_open > level:
            break
        rejected[place] = True
    return rejected


@settings(deadline=None, derandomize=True, max_examples=300)
@given(P_VALUES, st.sampled_from([0.05, 0.2, 0.5, 0.999]))
def test_rejecting_by_adjusted_p_is_holms_step_down_procedure(p_values, level):
    assert ((holm(p_values) <= level) == slow_holm(p_values, level)).all()


@settings(deadline=None, derandomize=True, max_examples=200)
@given(P_VALUES, st.integers(0, 2**31))
def test_the_order_of_questions_changes_no_answer(p_values, seed):
    order = np.random.default_rng(seed).permutation(p_values.size)
    assert (holm(p_values[order]) == holm(p_values)[order]).all()


@settings(deadline=None, derandomize=True, max_examples=200)
@given(P_VALUES)
def test_adjusting_never_lowers_a_p_value_nor_exceeds_one(p_values):
    adjusted = holm(p_values)
    assert ((p_values <= adjusted) & (adjusted <= 1)).all()
    assert adjusted.min() >= min(1.0, p_values.min() * p_values.size) - 1e-15


def test_no_questions_give_no_answers():
    assert holm(np.array([])).size == 0


@pytest.mark.parametrize("shared", [0.0, 0.5, 0.95])
def test_one_report_in_twenty_errs_at_most_however_the_questions_depend(shared):
    rng, runs = np.random.default_rng(5), 4000
    common, own = rng.normal(size=(runs, 1)), rng.normal(size=(runs, 12))
    p_values = norm.sf(np.sqrt(shared) * common + np.sqrt(1 - shared) * own)
    errors = sum(bool((holm(row) <= 0.05).any()) for row in p_values)
    assert errors <= binom.isf(1e-4, runs, 0.05)  # exceeded by chance in 1 run in 10,000
