"""A limit speaks of the true false-positive rate: its bounds pay for the threshold too."""

import numpy as np
import pytest
from scipy.stats import norm

from unseen.stats.tolerance import tpr_tolerance


def shares(shift, members, non_members, fpr, ties):
    """How often the lower and the upper bound are wrong over 400 worlds, at 5 % in each tail."""
    truth = norm.sf(norm.isf(fpr) - shift) if not ties else None
    wrong = np.zeros(2)
    for seed in range(400):
        rng = np.random.default_rng(seed)
        scores = np.concatenate([rng.normal(shift, 1, members), rng.normal(size=non_members)])
        if ties:
            scores = np.floor(4 * scores) / 4
            threshold = np.ceil(4 * norm.isf(fpr)) / 4 - 0.25  # the lowest with a rate of at most fpr
            truth = norm.sf(threshold + 0.25 - shift)
        low, high = tpr_tolerance(scores, np.arange(scores.size) < members, fpr, 0.9)
        wrong += (low > truth, high < truth)
    return wrong / 400


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("shift", [0.0, 0.7])
@pytest.mark.parametrize(("members", "non_members", "fpr"), [(20_000, 1000, 0.01), (500, 2000, 0.1)])
def test_each_bound_is_wrong_in_one_world_of_twenty_at_most(members, non_members, fpr, shift, ties):
    # 5 % plus 3.5 Monte-Carlo standard errors of a share of 400 at 5 %
    assert (shares(shift, members, non_members, fpr, ties) <= 0.05 + 3.5 * 0.011).all()
