"""Intervals equal their definitions, and cover at their stated rate: exactly where that can be summed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm

from unseen.stats.intervals import auc_interval, clopper_pearson, delong_variance, dkw_margin

SLOWLY = settings(deadline=None, derandomize=True, max_examples=150)


@st.composite
def audits(draw, least=1):
    inside, outside = draw(st.integers(least, 15)), draw(st.integers(least, 15))
    value = draw(st.sampled_from([st.integers(0, 4).map(float), st.floats(-100, 100)]))
    scores = draw(st.lists(value, min_size=inside + outside, max_size=inside + outside))
    return np.array(scores), np.arange(inside + outside) < inside


def slow_delong(scores, member):
    order = [[(a > b) + (a == b) / 2 for b in scores[~member]] for a in scores[member]]
    above, below = np.mean(order, axis=1), np.mean(order, axis=0)
    parts = [side.var(ddof=1) / side.size if side.size > 1 else 0.0 for side in (above, below)]
    return float(np.mean(order)), sum(parts)


@SLOWLY
@given(audits())
def test_delong_by_ranks_is_delong_by_all_pairs(audit):
    assert delong_variance(*audit) == pytest.approx(slow_delong(*audit), abs=1e-12)


@SLOWLY
@given(st.integers(1, 400), st.floats(0, 1), st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_clopper_pearson_ends_are_where_the_binomial_tails_are_half_the_error(trials, share, confidence):
    successes, tail = int(share * trials), (1 - confidence) / 2
    interval = clopper_pearson(successes, trials, confidence)
    if successes > 0:
        assert binom.sf(successes - 1, trials, interval.low) == pytest.approx(tail, rel=1e-6)
    if successes < trials:
        assert binom.cdf(successes, trials, interval.high) == pytest.approx(tail, rel=1e-6)
    assert interval.low <= interval.value == successes / trials <= interval.high


@pytest.mark.parametrize("trials", [1, 2, 5, 20, 60])
def test_clopper_pearson_covers_at_least_at_its_rate_whatever_the_truth(trials):
    intervals = [clopper_pearson(k, trials) for k in range(trials + 1)]
    for truth in np.linspace(0, 1, 201):
        held = np.array([i.low <= truth <= i.high for i in intervals])
        assert binom.pmf(np.arange(trials + 1), trials, truth) @ held >= 0.95 - 1e-9  # summed, not simulated


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (-1, 5), (6, 5)])
def test_counts_that_cannot_be_are_refused(successes, trials):
    with pytest.raises(ValueError, match="successes must be in"):
        clopper_pearson(successes, trials)


@pytest.mark.parametrize("size", [(60, 60), (40, 400), (400, 40)])
@pytest.mark.parametrize("truth", [0.5, 0.7, 0.9])
def test_delong_covers_near_its_stated_rate(truth, size):
    rng = np.random.default_rng(7)
    member = np.arange(sum(size)) < size[0]
    shift, held, runs = np.sqrt(2) * norm.ppf(truth), 0, 1000
    for _ in range(runs):
        interval, _ = auc_interval(rng.normal(size=member.size) + shift * member, member)
        held += interval.low <= truth <= interval.high
    # DeLong is asymptotic: 93.5 % is asked for, and missed by chance in 1 run in 10,000
    assert held >= binom.ppf(1e-4, runs, 0.935)


@pytest.mark.parametrize("size", [(5, 5), (8, 30), (30, 8), (200, 200)])
def test_a_perfect_auc_is_not_called_certain(size):
    member = np.arange(sum(size)) < size[0]
    interval, method = auc_interval(member.astype(float), member)
    assert (interval.value, interval.high, method) == (1.0, 1.0, "disjoint pairs, exact")
    rng, shift = np.random.default_rng(0), np.sqrt(2) * norm.ppf(interval.low)
    scores = rng.normal(size=(4000, member.size)) + shift * member
    perfect = int((scores[:, member].min(axis=1) > scores[:, ~member].max(axis=1)).sum())
    # were the truth the lower end, all pairs would be in order in at most 2.5 %; exceeded by chance in 1 in 10,000
    assert perfect <= binom.isf(1e-4, 4000, 0.025)


def test_an_auc_of_zero_mirrors_an_auc_of_one():
    member = np.arange(50) < 20
    one, zero = auc_interval(member * 1.0, member)[0], auc_interval(member * -1.0, member)[0]
    assert (zero.value, zero.low, zero.high) == pytest.approx((0.0, 0.0, 1 - one.low))


def test_a_constant_score_leaves_the_auc_open():
    few, many = (auc_interval(np.zeros(2 * n), np.arange(2 * n) < n)[0] for n in (5, 500))
    assert (few.value, few.low, few.high) == (0.5, 0.0, 1.0)
    assert many.value == 0.5
    assert 0.43 < many.low < 0.5 < many.high < 0.57


@SLOWLY
@given(audits())
def test_the_auc_interval_holds_its_value_and_stays_between_zero_and_one(audit):
    interval, _ = auc_interval(*audit)
    assert 0 <= interval.low <= interval.value <= interval.high <= 1
    assert interval.high > interval.low


@pytest.mark.parametrize("records", [20, 300])
def test_the_dkw_margin_bounds_the_whole_distribution_at_its_tail(records):
    tail, runs = 0.025, 4000
    draws = np.sort(np.random.default_rng(1).random((runs, records)), axis=1)
    excess = (np.arange(1, records + 1) / records - draws).max(axis=1)
    # exceeded by chance in 1 run in 10,000
    assert (excess > dkw_margin(records, tail)).sum() <= binom.isf(1e-4, runs, tail)
