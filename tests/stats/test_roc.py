"""Fast routines equal slow ones, refuse what the counts cannot carry, and say what is true at their stated rate."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm

from unseen.errors import DataError, TooFewRecords
from unseen.stats.power import records_needed
from unseen.stats.roc import advantage, auc, curve, ppv, threshold_for, tpr_at_fpr

SLOWLY = settings(deadline=None, derandomize=True, max_examples=60)
FEW = st.integers(-3, 3).map(float)
ANY = st.floats(-1e6, 1e6)


@st.composite
def audits(draw, least=1, most=25):
    """Scores with and without ties, and membership with both sides present."""
    inside, outside = draw(st.integers(least, most)), draw(st.integers(least, most))
    member = np.array(draw(st.permutations([True] * inside + [False] * outside)))
    value = draw(st.sampled_from([FEW, ANY]))
    return np.array(draw(st.lists(value, min_size=member.size, max_size=member.size))), member


def normals(seed, inside, outside, shift=0.0):
    scores = np.random.default_rng(seed).normal(size=inside + outside)
    member = np.arange(inside + outside) < inside
    return scores + shift * member, member


@SLOWLY
@given(audits())
def test_auc_is_the_share_of_pairs_in_order(audit):
    scores, member = audit
    pairs = [(a > b) + (a == b) / 2 for a in scores[member] for b in scores[~member]]
    assert auc(scores, member).value == pytest.approx(np.mean(pairs), abs=1e-12)


@SLOWLY
@given(audits())
def test_the_curve_has_one_step_a_threshold_and_each_is_counted(audit):
    scores, member = audit
    steps = curve(scores, member)
    assert steps.threshold.tolist() == [np.inf, *sorted(set(scores.tolist()), reverse=True)]
    for fpr, tpr, threshold in zip(steps.fpr, steps.tpr, steps.threshold, strict=True):
        assert fpr == np.mean(scores[~member] >= threshold)
        assert tpr == np.mean(scores[member] >= threshold)


@SLOWLY
@given(audits())
def test_advantage_is_the_best_over_all_thresholds(audit):
    scores, member = audit
    best = max(np.mean(scores[member] >= t) - np.mean(scores[~member] >= t) for t in [*scores, np.inf])
    assert advantage(scores, member).value == pytest.approx(best, abs=1e-12)


@SLOWLY
@given(audits(least=20, most=60), st.sampled_from([0.5, 0.6, 0.75, 0.99]))
def test_tpr_is_the_best_of_all_thresholds_whose_false_positives_are_allowed(audit, fpr):
    scores, member = audit
    rates = [(np.mean(scores[~member] >= t), np.mean(scores[member] >= t)) for t in [*scores, np.inf]]
    best = max(tpr for false, tpr in rates if false <= fpr)
    estimate = tpr_at_fpr(scores, member, fpr)
    assert estimate.value == best
    assert estimate.achieved_fpr.value <= fpr


@SLOWLY
@given(audits(least=20, most=60), st.integers(0, 2**31))
def test_neither_row_order_nor_tie_order_changes_a_number(audit, seed):
    scores, member = audit
    order = np.random.default_rng(seed).permutation(member.size)
    for question in (auc, advantage, lambda s, m: tpr_at_fpr(s, m, 0.5)):
        assert question(scores[order], member[order]) == question(scores, member)


@SLOWLY
@given(audits(least=20, most=40))
def test_only_the_order_of_scores_counts(audit):
    scores, member = audit
    ranks = np.unique(scores, return_inverse=True)[1].astype(float)
    for question in (auc, advantage, lambda s, m: tpr_at_fpr(s, m, 0.5)):
        assert question(np.arctan(ranks) - 7, member) == question(scores, member)


@SLOWLY
@given(audits())
def test_reversed_scores_give_one_minus_the_auc_and_are_never_flipped(audit):
    scores, member = audit
    assert auc(-scores, member).value == pytest.approx(1 - auc(scores, member).value, abs=1e-12)


@pytest.mark.parametrize(("non_members", "fpr"), [(99, 0.1), (999, 0.01), (9_999, 0.001), (50, 0.001)])
def test_a_tpr_is_refused_below_ten_expected_false_positives_with_the_number_needed(non_members, fpr):
    scores, member = normals(0, 50, non_members)
    with pytest.raises(TooFewRecords, match=f"needs {records_needed(fpr)} non-members, got {non_members}") as refusal:
        tpr_at_fpr(scores, member, fpr)
    assert refusal.value.needed == records_needed(fpr)
    assert tpr_at_fpr(*normals(0, 50, refusal.value.needed), fpr).counts["allowed"] == 10


@pytest.mark.parametrize("fpr", [0.0, 1.0, -0.1, float("nan")])
def test_an_fpr_outside_zero_and_one_is_refused(fpr):
    with pytest.raises(DataError, match="fpr must be in"):
        tpr_at_fpr(*normals(0, 50, 50), fpr)


@pytest.mark.parametrize(
    ("scores", "member", "message"),
    [
        ([1.0, 2.0], [True, True], "one side is empty"),
        ([1.0, 2.0], [False, False], "one side is empty"),
        ([1.0, np.nan], [True, False], "finite, got 1"),
        ([1.0, np.inf], [True, False], "finite, got 1"),
        ([1.0, 2.0], [1, 0], "boolean"),
        ([1.0], [True, False], "one value a unit"),
        ([[1.0], [2.0]], [[True], [False]], "one value a unit"),
    ],
)
def test_what_is_not_understood_is_refused(scores, member, message):
    for question in (curve, auc, advantage, lambda s, m: tpr_at_fpr(s, m, 0.5)):
        with pytest.raises(DataError, match=message):
            question(np.array(scores), np.array(member))


@pytest.mark.parametrize(("inside", "outside"), [(40, 1000), (1000, 40), (300, 300)])
def test_unequal_sizes_do_not_move_a_null_result(inside, outside):
    estimates = [auc(*normals(seed, inside, outside)) for seed in range(1000)]
    deviation = np.sqrt((inside + outside + 1) / (12 * inside * outside))
    # the mean of 1000 null AUCs lies beyond 4 standard errors, and more than the bound are rejected, in 1 run in 10,000
    assert abs(np.mean([e.value for e in estimates]) - 0.5) < 4 * deviation / np.sqrt(1000)
    assert sum(e.p_value <= 0.05 for e in estimates) <= binom.isf(1e-4, 1000, 0.05)


@pytest.mark.parametrize("levels", [2, 3, 5, 1000])
def test_the_auc_test_errs_at_its_stated_rate_whatever_the_ties(levels):
    rng = np.random.default_rng(levels)
    member = np.arange(120) < 40
    p_values = [auc(rng.integers(0, levels, 120).astype(float), member).p_value for _ in range(1000)]
    for level in (0.05, 0.01):  # exceeded by chance in 1 run in 10,000 each
        assert np.sum(np.array(p_values) <= level) <= binom.isf(1e-4, 1000, level)


@pytest.mark.slow
def test_rate_and_ppv_intervals_cover_the_truth_at_their_stated_rate():
    shift, fpr, prior, runs = 1.0, 0.05, 0.1, 3000
    held = {"tpr": 0, "fpr": 0, "ppv": 0}
    for seed in range(runs):
        scores, member = normals(seed, 150, 400, shift)
        estimate = tpr_at_fpr(scores, member, fpr)
        threshold = threshold_for(scores[~member], estimate.counts["allowed"])
        tpr, false = norm.sf(threshold - shift), norm.sf(threshold)
        called = ppv(estimate, prior)
        held["tpr"] += estimate.low <= tpr <= estimate.high
        held["fpr"] += estimate.achieved_fpr.low <= false <= estimate.achieved_fpr.high
        held["ppv"] += called.low <= prior * tpr / (prior * tpr + (1 - prior) * false) <= called.high
    # an exact 95 % interval falls below this count in 1 run in 10,000
    assert min(held.values()) >= binom.ppf(1e-4, runs, 0.95), held


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.5])
def test_the_advantage_interval_covers_the_truth_at_its_stated_rate(shift):
    truth = 2 * norm.cdf(shift / 2) - 1
    estimates = [advantage(*normals(seed, 150, 250, shift)) for seed in range(800)]
    held = sum(e.low <= truth <= e.high for e in estimates)
    assert held >= binom.ppf(1e-4, 800, 0.95)  # too low by chance in 1 run in 10,000


@SLOWLY
@given(audits(least=20, most=40), st.sampled_from([0.01, 0.5, 0.9]))
def test_ppv_is_bayes_rule_and_lies_in_its_interval(audit, prior):
    rate = tpr_at_fpr(*audit, 0.5)
    true, false = prior * rate.value, (1 - prior) * rate.achieved_fpr.value
    if true + false == 0:
        with pytest.raises(DataError, match="no unit is called a member"):
            ppv(rate, prior)
        return
    called = ppv(rate, prior)
    assert called.value == pytest.approx(true / (true + false))
    assert 0 <= called.low <= called.value <= called.high <= 1


def test_a_ppv_needs_a_tpr_and_a_prior():
    scores, member = normals(0, 50, 50)
    for rate, prior in ((auc(scores, member), 0.5), (tpr_at_fpr(scores, member, 0.5), 0.0)):
        with pytest.raises(DataError, match="a PPV needs"):
            ppv(rate, prior)


@SLOWLY
@given(audits(least=20, most=40))
def test_every_estimate_lies_in_its_interval_and_every_rate_between_zero_and_one(audit):
    for e in (auc(*audit), advantage(*audit), tpr_at_fpr(*audit, 0.5)):
        assert 0 <= e.low <= e.value <= e.high <= 1
        assert e.p_value is None or 0 <= e.p_value <= 1


@pytest.mark.parametrize(("units", "drawn", "busy"), [(1000, 20, 0.02), (1000, 10, 0.04), (100, 10, 0.1)])
def test_the_auc_test_errs_at_its_stated_rate_deep_in_the_tail_of_lopsided_ties(units, drawn, busy):
    rng = np.random.default_rng(units + drawn)
    values = np.where(np.arange(units) < busy * units, 1.0 + np.arange(units) % 2, 0.0)
    found = np.array([auc(values, rng.permutation(units) < drawn).p_value for _ in range(3000)])
    for level in (1e-2, 2e-3):  # and 4 Monte-Carlo standard errors of a share of 3000
        assert (found <= level).mean() <= level + 4 * np.sqrt(level / 3000)
