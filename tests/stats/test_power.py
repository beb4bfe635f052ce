"""What is called detectable is found in four audits of five."""

import numpy as np
import pytest
from scipy.stats import binom, norm

from unseen.stats.exceedance import critical_count
from unseen.stats.power import FEWEST_EXPECTED, POWER, detectable_auc, detectable_tpr, records_needed
from unseen.stats.roc import auc, threshold_for, tpr_at_fpr

RUNS = 1000
LEVEL = 0.05


@pytest.mark.parametrize("fpr", [0.5, 0.1, 0.03, 0.01, 0.001, 1e-5])
def test_the_records_needed_are_the_fewest_that_expect_ten_false_positives(fpr):
    needed = records_needed(fpr)
    assert needed * fpr >= FEWEST_EXPECTED * (1 - 1e-9) > (needed - 1) * fpr


@pytest.mark.parametrize(("members", "allowed", "non_members"), [(500, 10, 1000), (2000, 100, 1000), (100, 10, 100)])
@pytest.mark.parametrize("level", [0.05, 0.001])
def test_a_detectable_tpr_reaches_the_critical_count_in_four_of_five(members, allowed, non_members, level):
    tpr = detectable_tpr(members, allowed, non_members, level)
    count = critical_count(members, allowed, non_members, level)
    assert binom.sf(count - 1, members, tpr) == pytest.approx(POWER)
    assert tpr > allowed / non_members


def test_no_tpr_is_detectable_where_no_count_would_be_rejected():
    assert detectable_tpr(members=2, allowed=10, non_members=100, level=1e-6) is None


@pytest.mark.parametrize(("members", "non_members", "fpr"), [(1000, 1000, 0.01), (500, 2000, 0.05), (2000, 500, 0.1)])
def test_a_detectable_tpr_at_the_audits_own_threshold_is_found_in_four_of_five_worlds(members, non_members, fpr):
    tpr = detectable_tpr(members, int(fpr * non_members), non_members, LEVEL)
    found = 0
    for outside, inside in _worlds(members, non_members):
        shift = threshold_for(outside, int(fpr * non_members)) - norm.isf(tpr)
        found += _found(outside, inside + shift, fpr)
    # outside these bounds by chance in 1 run in 5,000
    assert binom.ppf(1e-4, RUNS, POWER) <= found <= binom.isf(1e-4, RUNS, POWER)


@pytest.mark.parametrize(("members", "non_members", "fpr"), [(1000, 1000, 0.01), (500, 2000, 0.05), (2000, 500, 0.1)])
def test_the_same_tpr_at_the_asked_for_fpr_is_found_less_often_where_non_members_are_few(members, non_members, fpr):
    shift = norm.ppf(detectable_tpr(members, int(fpr * non_members), non_members, LEVEL)) - norm.ppf(fpr)
    found = sum(_found(outside, inside + shift, fpr) for outside, inside in _worlds(members, non_members))
    # "given the threshold" leaves out the threshold's own spread: measured 66 % (2000 members, 500 others) to 80 %
    assert 0.6 * RUNS <= found <= 0.84 * RUNS


def _worlds(members, non_members):
    rng = np.random.default_rng(11)
    return ((rng.normal(size=non_members), rng.normal(size=members)) for _ in range(RUNS))


def _found(outside, inside, fpr):
    member = np.arange(outside.size + inside.size) >= outside.size
    return tpr_at_fpr(np.concatenate([outside, inside]), member, fpr).p_value <= LEVEL


@pytest.mark.parametrize(("members", "non_members"), [(100, 100), (50, 500), (1000, 1000)])
def test_the_rank_test_finds_a_detectable_auc_in_four_of_five_worlds_or_more(members, non_members):
    rng = np.random.default_rng(12)
    member = np.arange(members + non_members) < members
    shift = np.sqrt(2) * norm.ppf(detectable_auc(members, non_members, LEVEL))
    found = sum(auc(rng.normal(size=member.size) + shift * member, member).p_value <= LEVEL for _ in range(RUNS))
    # fewer by chance in 1 run in 10,000; a point is given for the normal approximation
    assert found >= binom.ppf(1e-4, RUNS, POWER - 0.01)
    assert found <= binom.isf(1e-4, RUNS, POWER + 0.04)


def test_more_records_make_smaller_leaks_detectable():
    tprs = [detectable_tpr(n, n // 100, n, 0.05) for n in (1000, 4000, 16_000)]
    aucs = [detectable_auc(n, n, 0.05) for n in (1000, 4000, 16_000)]
    assert sorted(tprs, reverse=True) == tprs
    assert sorted(aucs, reverse=True) == aucs
