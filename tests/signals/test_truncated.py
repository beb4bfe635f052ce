"""Answers with less detail hold what their name says and still sum to one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from unseen.signals.truncated import rounded, top_k

LOGITS = arrays(np.float64, (7, 5), elements=st.floats(-30, 30))
SLOWLY = settings(deadline=None, derandomize=True, max_examples=60)


def log_probs_of(logits):
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


@SLOWLY
@given(LOGITS, st.integers(1, 5))
def test_the_largest_are_kept_and_the_rest_share_what_is_left(logits, k):
    whole = log_probs_of(logits)
    cut = top_k(whole, k)
    assert np.exp(cut).sum(axis=1) == pytest.approx(1)
    for before, after in zip(whole, cut, strict=True):
        order = np.argsort(-before, kind="stable")
        assert (after[order[:k]] == before[order[:k]]).all()
        assert np.ptp(after[order[k:]]) == pytest.approx(0, abs=1e-9) if 0 < k < 4 else (after == before).all()
        assert after[order[k:]].max(initial=-np.inf) <= before[order[k - 1]] + 1e-9  # the order of the given ones holds


@SLOWLY
@given(LOGITS, st.integers(0, 4))
def test_rounding_moves_no_probability_by_more_than_half_a_step(logits, decimals):
    whole = log_probs_of(logits)
    assert np.abs(np.exp(rounded(whole, decimals)) - np.exp(whole)).max() <= 0.5 * 10.0**-decimals + 1e-12


def test_certainty_stays_certain():
    sure = np.array([[0.0, -np.inf, -np.inf]])
    assert (top_k(sure, 1) == sure).all()
    assert (rounded(sure) == sure).all()


def test_what_is_handed_in_is_left_alone():
    given_in = log_probs_of(np.arange(15.0).reshape(3, 5))
    before = given_in.copy()
    top_k(given_in, 1)
    rounded(given_in)
    assert (given_in == before).all()
