"""XGBoost, LightGBM and CatBoost are asked and retrained through the same interface as scikit-learn's own."""

import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import unseen
from unseen.access import Access
from unseen.targets.estimator import EstimatorTarget

pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")

ROUNDS = 8
LIBRARIES = ["xgboost", "lightgbm", "catboost"]
TABLES = {
    classes: make_classification(300, 6, n_informative=5, n_redundant=0, n_classes=classes, random_state=0)
    for classes in (2, 3)
}


def booster(library, **settings):
    module = pytest.importorskip(library)
    if library == "xgboost":
        return module.XGBClassifier(n_estimators=ROUNDS, max_depth=4, n_jobs=1, **settings)
    if library == "lightgbm":
        return module.LGBMClassifier(n_estimators=ROUNDS, n_jobs=1, verbosity=-1, **settings)
    return module.CatBoostClassifier(
        iterations=ROUNDS, verbose=False, thread_count=1, allow_writing_files=False, **settings
    )


def subsampled(library):
    settings = {
        "xgboost": {"subsample": 0.5},
        "lightgbm": {"subsample": 0.5, "subsample_freq": 1},
        "catboost": {"subsample": 0.5, "bootstrap_type": "Bernoulli"},
    }
    return booster(library, **settings[library])


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("library", LIBRARIES)
def test_log_odds_agree_with_the_models_probabilities(library, classes):
    X, y = TABLES[classes]
    target = EstimatorTarget(booster(library).fit(X, y))
    answers = target.answer(X)
    assert target.access == {Access.LABELS, Access.SCORES, Access.PROBABILITIES}
    assert np.allclose(np.exp(answers.log_probs), target.model.predict_proba(X), atol=1e-4)
    assert (target.classes[answers.predicted] == np.asarray(target.model.predict(X)).reshape(-1)).all()
    # float32 probabilities would repeat; their log odds carry more digits than their probabilities do
    assert np.isfinite(answers.log_probs).all()


@pytest.mark.parametrize("library", LIBRARIES)
def test_sure_answers_are_kept_apart_by_their_log_odds(library):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    y = (X[:, 0] + X[:, 1] / 3 > 0).astype(int)
    deep = {
        "xgboost": {"n_estimators": 200, "min_child_weight": 0},
        "lightgbm": {"n_estimators": 200},
        "catboost": {"iterations": 200},
    }
    model = booster(library).set_params(learning_rate=0.5, **deep[library]).fit(X, y)
    log_probs = EstimatorTarget(model).answer(X).log_probs
    assert np.isfinite(log_probs).all()
    wrong = log_probs[np.arange(400), 1 - y]
    assert np.unique(wrong).size > 3


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_refit_follows_from_its_seed(library):
    X, y = TABLES[2]
    target = EstimatorTarget(subsampled(library).fit(X, y))
    first, again, other = (target.refit(X[:200], y[:200], seed).answer(X).log_probs for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("library", LIBRARIES)
def test_words_for_classes_are_understood_where_the_library_takes_them(library):
    X, y = TABLES[2]
    words = np.array(["no", "yes"])[y]
    if library == "xgboost":
        pytest.skip("XGBoost takes numbers for classes")
    target = EstimatorTarget(booster(library).fit(X, words))
    assert target.classes.tolist() == ["no", "yes"]
    assert (target.classes[target.answer(X).predicted] == np.asarray(target.model.predict(X)).reshape(-1)).all()


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_pipeline_around_it_is_retrained_quietly_and_writes_nothing_beside(library, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    module = pytest.importorskip(library)
    plain = {
        "xgboost": lambda: module.XGBClassifier(n_estimators=4),
        "lightgbm": lambda: module.LGBMClassifier(n_estimators=4, verbosity=-1),
        "catboost": lambda: module.CatBoostClassifier(iterations=4),
    }
    X, y = TABLES[2]
    target = EstimatorTarget(make_pipeline(StandardScaler(), plain[library]()).fit(X, y))
    shutil.rmtree(tmp_path / "catboost_info", ignore_errors=True)
    capfd.readouterr()
    assert target.refit(X[:150], y[:150], 4).answer(X).log_probs.shape == (300, 2)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("library", LIBRARIES)
def test_frames_are_checked_by_the_names_they_were_fitted_on(library):
    X, y = TABLES[2]
    table = pd.DataFrame(X, columns=["hours per week", "b", "c", "d", "e", "f"])
    target = EstimatorTarget(booster(library).fit(table, y))
    target.check_columns(table)
    assert target.answer(table).log_probs.shape == (300, 2)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_model_fitted_on_an_array_has_no_names_to_check(library):
    X, y = TABLES[2]
    target = EstimatorTarget(booster(library).fit(X, y))
    target.check_columns(pd.DataFrame(X, columns=list("abcdef")))


@pytest.mark.parametrize("library", LIBRARIES)
def test_its_fingerprint_is_of_its_settings_alone(library):
    X, y = TABLES[2]
    first = EstimatorTarget(booster(library).fit(X, y)).fingerprint()
    other_fit = EstimatorTarget(booster(library).fit(X[:100], y[:100])).fingerprint()
    other_settings = EstimatorTarget(booster(library, learning_rate=0.3217).fit(X, y)).fingerprint()
    assert first == other_fit
    assert first != other_settings


SCRIPT = """
import numpy as np
from unseen.targets.estimator import EstimatorTarget
X, y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
def prints():
    import catboost, lightgbm, sklearn.ensemble, xgboost
    models = [
        xgboost.XGBClassifier(n_estimators=2),
        lightgbm.LGBMClassifier(n_estimators=2, verbosity=-1),
        catboost.CatBoostClassifier(iterations=2, verbose=False, allow_writing_files=False),
        sklearn.ensemble.RandomForestClassifier(2),
    ]
    return [EstimatorTarget(model.fit(X, y)).fingerprint() for model in models]
"""


def test_fingerprints_are_the_same_in_another_process():
    for library in LIBRARIES:
        pytest.importorskip(library)
    here = {}
    exec(SCRIPT, here)
    there = subprocess.run(
        [sys.executable, "-c", f"{SCRIPT}\nprint(*prints())"], capture_output=True, text=True, check=True
    )
    assert there.stdout.split() == here["prints"]()


@pytest.mark.parametrize("library", LIBRARIES)
def test_it_is_audited_from_end_to_end(library):
    X, y = make_classification(400, 6, n_informative=4, flip_y=0.3, random_state=1)
    model = booster(library).fit(X[:200], y[:200])
    outcome = unseen.audit(
        model, (X[:200], y[:200]), (X[200:], y[200:]), references=2, workers=1, attacks=["rank-combined", "loss"]
    )
    assert outcome.report.references.finished == 2
    assert outcome.report.references.failures == {}
    assert [one.reason for one in outcome.report.attacks if not one.estimates] == []
