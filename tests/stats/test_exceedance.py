"""The exceedance test is exact without ties, and never too eager with them."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from unseen.stats.exceedance import critical_count, exceedance_p_value
from unseen.stats.roc import threshold_for, tpr_at_fpr


@pytest.mark.parametrize(("members", "non_members"), [(3, 4), (5, 5), (6, 3), (1, 7)])
def test_the_p_value_is_the_share_of_all_arrangements(members, non_members):
    total = members + non_members
    places = [np.array(place) for place in combinations(range(total), members)]
    for allowed in range(non_members):
        counts = []
        for place in places:
            member = np.isin(np.arange(total), place)
            outside = np.flatnonzero(~member)
            counts.append(int((place > threshold_for(outside.astype(float), allowed)).sum()))
        for above in range(members + 1):
            share = np.mean(np.array(counts) >= above)
            assert exceedance_p_value(above, members, allowed, non_members) == pytest.approx(share, abs=1e-12)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.integers(1, 300), st.integers(1, 300), st.floats(0, 0.999), st.sampled_from([0.05, 0.01, 1e-4]))
def test_the_critical_count_is_the_first_that_the_test_rejects(members, non_members, share, level):
    allowed = int(share * non_members)
    count = critical_count(members, allowed, non_members, level)
    rejected = [c for c in range(members + 1) if exceedance_p_value(c, members, allowed, non_members) <= level]
    assert count == min(rejected, default=members + 1)


@pytest.mark.parametrize("ties", [None, 200, 20, 2])
@pytest.mark.parametrize(("members", "non_members", "fpr"), [(400, 200, 0.05), (100, 1000, 0.01), (1000, 100, 0.1)])
def test_false_alarms_are_at_most_the_level_with_and_without_ties(members, non_members, fpr, ties):
    rng = np.random.default_rng(members)
    member, runs = np.arange(members + non_members) < members, 1500
    scores = rng.random((runs, member.size))
    scores = scores if ties is None else np.floor(scores * ties)
    p_values = np.array([tpr_at_fpr(row, member, fpr).p_value for row in scores])
    for level in (0.05, 0.01):  # exceeded by chance in 1 run in 10,000
        assert (p_values <= level).sum() <= binom.isf(1e-4, runs, level)


def test_without_ties_the_test_uses_nearly_all_of_its_level():
    rng, runs = np.random.default_rng(3), 2000
    member = np.arange(3000) < 2000
    p_values = np.array([tpr_at_fpr(rng.random(3000), member, 0.1).p_value for _ in range(runs)])
    # 5 % less what the steps of a count of about 200 cost; too few by chance in 1 run in 10,000
    assert (p_values <= 0.05).sum() >= binom.ppf(1e-4, runs, 0.045)
