"""Regressors: residuals in the place of probabilities, the same attacks, and nothing found where nothing leaks."""

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.tree import DecisionTreeRegressor

import unseen
from unseen.errors import DataError, ModelError
from unseen.signals.residual import residual_loss, residual_margin, residual_scale

QUICK = ["rank-combined", "moderated-t-trend", "loss"]


def linear_world(seed, rows=400, columns=60):
    """Members and others of one linear law; least squares on few rows fits its members' noise."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, columns))
    y = X @ rng.normal(size=columns) + rng.normal(size=rows)
    half = rows // 2
    return (X[:half], y[:half]), (X[half:], y[half:])


def area(outcome, attack):
    return next(e for e in outcome.estimates if e.attack == attack and e.quantity == "auc" and not e.slice)


def test_the_margin_and_loss_of_a_residual_are_what_they_say():
    residual = np.array([0.0, 1.0, -8.0])
    assert residual_margin(residual, 1.0).tolist() == pytest.approx([0.0, -1.0, -4.0])
    assert residual_loss(residual, 2.0).tolist() == pytest.approx([0.0, 0.125, 8.0])
    assert residual_scale(np.zeros(3)) == 1.0
    normal = np.random.default_rng(0).normal(scale=3.0, size=20_000)
    assert residual_scale(normal) == pytest.approx(3.0, rel=0.03)


def test_least_squares_that_fits_noise_leaks_what_its_leverage_says():
    """Residuals of members have variance 1 - h, of others 1 + h, h = 60/200: the AUC of the loss is in closed form."""
    ratio = (1 + 60 / 200) / (1 - 60 / 200)  # of the variances; |N(0, 1 - h)| < |N(0, 1 + h)| is an arc tangent
    expected = 2 / np.pi * np.arctan(ratio**0.5)
    found = []
    for seed in range(4):
        members, others = linear_world(seed)
        model = LinearRegression().fit(*members)
        found.append(unseen.audit(model, members, others, references=0, attacks=["loss"], seed=seed))
    values = [area(one, "loss").value for one in found]
    assert np.mean(values) == pytest.approx(expected, abs=0.03)


def test_references_beat_the_loss_on_a_regressor_that_remembers():
    members, others = linear_world(5)
    model = DecisionTreeRegressor(max_depth=7, random_state=0).fit(*members)
    outcome = unseen.audit(model, members, others, references=8, attacks=QUICK)
    assert outcome.state == "leak"
    assert area(outcome, "rank-combined").low > 0.6
    assert outcome.report.target.classes == 0
    assert outcome.report.target.member_accuracy is None
    assert {one.by for one in outcome.report.slices} >= {"label tenth", "loss decile"}


def test_a_ridge_of_strong_penalty_leaks_nothing_that_is_found():
    members, others = linear_world(6)
    outcome = unseen.audit(Ridge(1e6).fit(*members), members, others, references=4, attacks=QUICK, seed=6)
    assert outcome.state == "no_leak_found"


def test_real_regressions_are_audited_end_to_end():
    X, y = load_diabetes(return_X_y=True)
    X, y = X[:400], y[:400]
    model = RandomForestRegressor(30, random_state=0).fit(X[:200], y[:200])
    outcome = unseen.audit(model, (X[:200], y[:200]), (X[200:], y[200:]), references=8)
    assert outcome.state == "leak"
    assert area(outcome, "rank-combined").low > 0.8
    states = {one.name: one.state for one in outcome.report.attacks}
    assert states["entropy"] == states["gap"] == "not_applicable"


@pytest.mark.slow
def test_regressors_fitted_on_other_records_are_called_leaking_no_more_often_than_promised():
    worlds, alarms = 60, 0
    for seed in range(worlds):
        rng = np.random.default_rng([seed, 1])
        X, w = rng.normal(size=(360, 5)), rng.normal(size=5)
        y = X @ w + rng.standard_t(4, size=360)
        model = DecisionTreeRegressor(max_depth=4, random_state=seed).fit(X[:120], y[:120])
        sides = (X[120:240], y[120:240]), (X[240:], y[240:])
        alarms += unseen.audit(model, *sides, references=4, attacks=QUICK, seed=seed).state == "leak"
    assert alarms <= binom.ppf(0.999, worlds, 0.05)


def test_labels_that_are_no_numbers_are_refused():
    members, others = linear_world(7)
    model = LinearRegression().fit(*members)
    words = np.array(["a", "b"])[(members[1] > 0).astype(int)]
    with pytest.raises(DataError, match="finite numbers"):
        unseen.audit(model, (members[0], words), (others[0], words), references=0)
    holes = np.where(np.arange(200) == 3, np.nan, members[1])
    with pytest.raises(DataError, match="finite numbers"):
        unseen.audit(model, (members[0], holes), others, references=0)


def test_a_regressor_that_answers_with_no_number_is_refused():
    members, others = linear_world(8)

    class Silent(LinearRegression):
        def predict(self, X):
            return np.full(X.shape[0], np.nan)

    with pytest.raises(ModelError):
        unseen.audit(Silent().fit(*members), members, others, references=0)
