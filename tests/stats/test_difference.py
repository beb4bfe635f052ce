"""Differences equal their slow versions, and their intervals hold the truth at their rate."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm, ttest_ind

from unseen.errors import DataError
from unseen.stats.difference import auc_difference, mean_difference, rate_difference
from unseen.stats.roc import auc

SLOWLY = settings(deadline=None, derandomize=True, max_examples=60)


@st.composite
def paired(draw, least=2, most=20):
    """Two scores on the same units, with ties, and membership."""
    inside, outside = draw(st.integers(least, most)), draw(st.integers(least, most))
    member = np.array(draw(st.permutations([True] * inside + [False] * outside)))
    few = st.lists(st.integers(-3, 3).map(float), min_size=member.size, max_size=member.size)
    return np.array(draw(few)), np.array(draw(few)), member


def kernel(scores, member):
    """For each pair of a member and a non-member: 1 in order, a half for a tie."""
    a, b = scores[member][:, None], scores[~member][None]
    return (a > b) + (a == b) / 2


def slow_variance(scores, other, member):
    """DeLong 1988 to the letter: variances and covariance of the two areas' structural components, by all pairs."""
    (above, below), (above2, below2) = (
        (k.mean(axis=1), k.mean(axis=0)) for k in (kernel(scores, member), kernel(other, member))
    )
    inside, outside = np.cov(above, above2) / above.size, np.cov(below, below2) / below.size
    both = inside + outside
    return both[0, 0] + both[1, 1] - 2 * both[0, 1]


def world(seed, units, shift, other_shift, correlation):
    rng = np.random.default_rng(seed)
    member = rng.permutation(units) < units // 2
    noise = rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], size=units)
    return noise[:, 0] + shift * member, noise[:, 1] + other_shift * member, member


@SLOWLY
@given(paired())
def test_the_value_is_the_difference_of_the_two_areas(audit):
    scores, other, member = audit
    found = auc_difference(scores, other, member)
    assert found.value == pytest.approx(auc(scores, member).value - auc(other, member).value, abs=1e-12)
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high


@pytest.mark.parametrize("digits", [0, 1, 6])
def test_the_variance_is_delongs_by_all_pairs(digits):
    scores, other, member = world(0, 90, 1.0, 0.4, 0.5)
    scores, other = np.round(scores, digits), np.round(other, digits)
    found = auc_difference(scores, other, member)
    half = norm.ppf(0.975) * np.sqrt(slow_variance(scores, other, member))
    assert found.method == "DeLong, paired"
    assert found.high - found.value == pytest.approx(half, rel=0.05)  # t with 44 degrees of freedom, not z
    assert found.high - found.value > half


def test_the_interval_agrees_with_the_bootstrap():
    scores, other, member = world(1, 400, 0.8, 0.5, 0.6)
    rng, inside, outside = np.random.default_rng(0), np.flatnonzero(member), np.flatnonzero(~member)
    drawn = []
    for _ in range(1000):
        rows = np.concatenate([rng.choice(inside, inside.size), rng.choice(outside, outside.size)])
        drawn.append(auc_difference(scores[rows], other[rows], member[rows]).value)
    found = auc_difference(scores, other, member)
    assert [found.low, found.high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.012)


@pytest.mark.parametrize(("units", "correlation"), [(40, 0.0), (60, 0.8), (300, 0.5), (300, -0.5)])
def test_the_interval_of_two_areas_holds_the_truth_at_its_rate(units, correlation):
    truth = norm.cdf(1.2 / np.sqrt(2)) - norm.cdf(0.4 / np.sqrt(2))
    found = [auc_difference(*world(seed, units, 1.2, 0.4, correlation)) for seed in range(600)]
    assert 0.93 <= np.mean([one.low <= truth <= one.high for one in found]) <= 0.985


def test_swapping_the_two_scores_turns_the_sign():
    scores, other, member = world(2, 80, 1.0, 0.0, 0.3)
    one, two = auc_difference(scores, other, member), auc_difference(other, scores, member)
    assert (one.value, one.low, one.high) == pytest.approx((-two.value, -two.high, -two.low))


def test_a_score_against_a_monotone_copy_of_itself_is_zero_with_an_exact_bound():
    scores, _, member = world(3, 200, 1.0, 0.0, 0.0)
    found = auc_difference(scores, np.exp(scores), member)
    assert (found.value, found.method) == (0.0, "disjoint pairs, exact")
    assert found.high == -found.low == pytest.approx(1 - 0.05 ** (1 / 100))


def test_a_perfect_score_against_a_constant_is_bounded_and_not_certain():
    member = np.arange(100) < 50
    found = auc_difference(member.astype(float), np.zeros(100), member)
    assert (found.value, found.method) == (0.5, "disjoint pairs, Hoeffding")
    assert 0 < found.low < 0.5 < found.high


def test_under_ten_units_a_side_the_bound_is_wide():
    member = np.arange(12) < 6
    found = auc_difference(np.arange(12.0), np.arange(12.0)[::-1], member)
    assert found.method == "disjoint pairs, Hoeffding"


@pytest.mark.parametrize(
    ("scores", "other", "member"),
    [
        ([1.0, 2.0], [1.0], [True, False]),
        ([1.0, np.nan], [1.0, 2.0], [True, False]),
        ([1.0, 2.0], [1.0, 2.0], [1, 0]),
        ([1.0, 2.0], [1.0, 2.0], [True, True]),
    ],
)
def test_what_cannot_be_compared_is_refused(scores, other, member):
    with pytest.raises(DataError):
        auc_difference(np.array(scores), np.array(other), np.array(member))


@pytest.mark.parametrize(  # Newcombe 1998, table II, method 10
    ("counts", "low", "high"),
    [
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((10, 10, 0, 10), 0.6075, 1.0),
    ],
)
def test_newcombes_own_examples_come_out(counts, low, high):
    found = rate_difference("gap", *counts)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("p", "q", "units"), [(0.9, 0.7, 80), (0.99, 0.95, 150), (0.5, 0.5, 40)])
def test_the_interval_of_two_rates_holds_the_truth_at_its_rate(p, q, units):
    weights = np.outer(*(binom.pmf(np.arange(units + 1), units, rate) for rate in (p, q)))
    likely = [(a, b) for a, b in np.argwhere(weights > 1e-9)]
    found = [rate_difference("gap", int(a), units, int(b), units) for a, b in likely]
    coverage = sum(weights[a, b] for (a, b), one in zip(likely, found, strict=True) if one.low <= p - q <= one.high)
    assert 0.935 <= coverage <= 0.985  # of all outcomes, not of a sample; the method is approximate


@pytest.mark.parametrize("counts", [(1, 0, 1, 2), (3, 2, 1, 2), (-1, 2, 1, 2)])
def test_a_rate_of_nothing_is_refused(counts):
    with pytest.raises(DataError):
        rate_difference("gap", *counts)


def test_the_difference_of_means_is_welchs():
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, 30), rng.normal(0, 3, 50)
    ours, theirs = mean_difference("gap", a, b), ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_the_difference_of_two_constants_has_no_interval():
    assert mean_difference("gap", np.ones(5), np.zeros(5)) is None
    assert mean_difference("gap", np.ones(1), np.arange(5.0)) is None
