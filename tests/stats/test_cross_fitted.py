"""Cross-fitted scores: where there is nothing to learn, the test errs no more often than it says."""

import joblib
import numpy as np
import pytest
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from unseen.stats.cross_fitted import cross_fitted_auc, widened
from unseen.stats.difference import auc_difference
from unseen.stats.roc import auc

WORLDS = 300


def null_world(seed):
    rng = np.random.default_rng(seed)
    X, member = rng.normal(size=(400, 5)), rng.random(400) < 0.5
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return cross_val_predict(LogisticRegression(), X, member, cv=folds, method="decision_function"), member


@pytest.mark.slow
def test_the_test_errs_at_its_rate_where_the_plain_one_errs_too_often():
    worlds = joblib.Parallel(n_jobs=2)(joblib.delayed(null_world)(seed) for seed in range(WORLDS))
    honest = sum(cross_fitted_auc(*world).p_value <= 0.05 for world in worlds)
    plain = sum(auc(*world).p_value <= 0.05 for world in worlds)
    assert honest <= 0.05 * WORLDS
    assert plain > honest
    covered = sum(one.low <= 0.5 <= one.high for one in (cross_fitted_auc(*world) for world in worlds))
    assert covered >= 0.95 * WORLDS - 3 * np.sqrt(WORLDS * 0.05)


def test_twice_the_variance_is_what_it_says():
    scores, member = null_world(0)
    one, plain = cross_fitted_auc(scores, member), auc(scores, member)
    assert one.value == plain.value
    assert norm.isf(one.p_value) == pytest.approx(norm.isf(plain.p_value) / np.sqrt(2))
    paired = auc_difference(scores, -scores, member)
    assert widened(paired).high - paired.value == pytest.approx(np.sqrt(2) * (paired.high - paired.value))
    assert "twice" in one.method


def test_perfect_scores_keep_their_exact_bound():
    member = np.arange(40) < 20
    assert cross_fitted_auc(1.0 * member, member) == auc(1.0 * member, member)
