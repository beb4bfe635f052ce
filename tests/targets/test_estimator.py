"""Classifiers of every kind are asked through one interface, with log odds where they are the model's own."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, Perceptron, RidgeClassifier, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from unseen.access import Access
from unseen.errors import DataError, ModelError, TargetFailed
from unseen.targets.estimator import EstimatorTarget

SECRET = "Rumpelstilzchen"
TABLES = {
    classes: make_classification(240, 6, n_informative=5, n_redundant=0, n_classes=classes, random_state=0)
    for classes in (2, 3)
}
WITH_PROBABILITIES = {
    "tree": DecisionTreeClassifier(max_depth=4, random_state=0),
    "forest": RandomForestClassifier(8, random_state=0),
    "extra trees": ExtraTreesClassifier(8, random_state=0),
    "logistic": LogisticRegression(),
    "boosting": GradientBoostingClassifier(n_estimators=5, random_state=0),
    "histogram boosting": HistGradientBoostingClassifier(max_iter=8, random_state=0),
    "ada": AdaBoostClassifier(n_estimators=5, random_state=0),
    "bayes": GaussianNB(),
    "neighbours": KNeighborsClassifier(3),
    "mlp": MLPClassifier((8,), solver="lbfgs", max_iter=40, tol=1e9, random_state=0),
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
    "search": GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2),
    "calibrated": CalibratedClassifierCV(LinearSVC(), ensemble=False, cv=2),
}
WITH_SCORES = {
    "linear svc": LinearSVC(),
    "perceptron": Perceptron(),
    "ridge": RidgeClassifier(),
    "svc": SVC(),
    "hinge": SGDClassifier(random_state=0),
    "scaled svc": make_pipeline(StandardScaler(), LinearSVC()),
}
HARD = VotingClassifier([("a", GaussianNB()), ("b", DecisionTreeClassifier(random_state=0))], voting="hard")


def fitted(model, classes=2):
    X, y = TABLES[classes]
    return EstimatorTarget(model.fit(X, y)), X, y


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", WITH_PROBABILITIES)
def test_probabilities_are_the_models_own(kind, classes):
    target, X, _ = fitted(WITH_PROBABILITIES[kind], classes)
    answers = target.answer(X)
    assert target.access == {Access.LABELS, Access.SCORES, Access.PROBABILITIES}
    assert answers.log_probs.shape == (240, classes)
    assert answers.log_probs.dtype == np.float64
    assert np.allclose(np.exp(answers.log_probs), target.model.predict_proba(X), atol=2e-4)
    agree = target.classes[answers.predicted] == target.model.predict(X)
    top = np.sort(target.model.predict_proba(X), axis=1)
    assert agree[top[:, -1] > top[:, -2] + 1e-6].all()


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", WITH_SCORES)
def test_a_model_without_probabilities_is_asked_for_scores(kind, classes):
    target, X, _ = fitted(WITH_SCORES[kind], classes)
    answers = target.answer(X)
    assert target.access == {Access.LABELS, Access.SCORES}
    assert answers.log_probs is None
    assert answers.decision.shape == (240, classes)
    assert (target.classes[answers.predicted] == target.model.predict(X)).all()


@pytest.mark.parametrize("classes", [2, 3])
def test_a_model_without_scores_is_asked_for_labels(classes):
    target, X, _ = fitted(HARD, classes)
    answers = target.answer(X)
    assert target.access == {Access.LABELS}
    assert answers.log_probs is answers.decision is None
    assert (target.classes[answers.predicted] == target.model.predict(X)).all()


def test_one_against_one_scores_are_never_taken_for_scores_of_classes():
    target, X, _ = fitted(SVC(decision_function_shape="ovo"), 3)
    answers = target.answer(X)
    assert (target.classes[answers.predicted] == target.model.predict(X)).all()


def test_log_odds_keep_what_saturated_probabilities_lose():
    X = np.linspace(-1, 1, 100)[:, None]
    model = LogisticRegression(C=1e6, max_iter=2000).fit(X, X[:, 0] > 0)
    far = np.array([[40.0], [80.0]])
    assert (model.predict_proba(far)[:, 1] == 1.0).all()
    log_probs = EstimatorTarget(model).answer(far).log_probs
    assert np.isfinite(log_probs).all()
    assert log_probs[0, 0] > log_probs[1, 0]


def test_scores_that_are_not_log_odds_are_not_taken_for_them():
    X, y = TABLES[2]
    model = CalibratedClassifierCV(LogisticRegression(), cv=2).fit(X, y)
    model.decision_function = lambda table: 5 * np.ones(len(table))
    assert np.allclose(np.exp(EstimatorTarget(model).answer(X).log_probs), model.predict_proba(X))


WORDS = {
    "colour": ["red", "green", "blue"] * 40,
    "size": np.linspace(0, 1, 120).tolist(),
    "flag": [True, False] * 60,
}
WORD_LABELS = np.array(["yes", "no", "no"] * 40)


def worded():
    encode = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["colour"]), remainder="passthrough")
    return make_pipeline(encode, DecisionTreeClassifier(max_depth=3, random_state=0))


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_pipelines_take_frames_with_words(frame):
    table = frame(WORDS)
    target = EstimatorTarget(worded().fit(table, WORD_LABELS))
    target.check_columns(table)
    assert np.allclose(np.exp(target.answer(table).log_probs), target.model.predict_proba(table))
    again = target.refit(table, WORD_LABELS, seed=3)
    assert again.answer(table).log_probs.shape == (120, 2)
    assert again.model is not target.model


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize(
    ("columns", "says"),
    [
        (["colour", "size"], "lacks 1 of the columns of the model: ['flag']"),
        (["colour", "size", "flag", "more"], "has 1 columns that the model has not, first column 4"),
        (["size", "colour", "flag"], "another order"),
    ],
)
def test_columns_missing_extra_or_reordered_are_refused(frame, columns, says):
    target = EstimatorTarget(worded().fit(frame(WORDS), WORD_LABELS))
    table = frame(WORDS | {"more": [1] * 120})[columns]
    with pytest.raises(DataError) as refusal:
        target.check_columns(table)
    assert says in str(refusal.value)


def test_a_frame_of_another_width_is_refused_by_a_model_without_names():
    target, X, _ = fitted(GaussianNB())
    with pytest.raises(DataError, match="fitted on 6 columns, the table has 5"):
        target.check_columns(X[:, :5])


@pytest.mark.filterwarnings("ignore:'n_jobs' has no effect")
@pytest.mark.parametrize("kind", ["forest", "logistic", "mlp", "pipeline", "tree", "histogram boosting"])
def test_a_refit_follows_from_its_seed_and_leaves_the_model_alone(kind):
    target, X, y = fitted(WITH_PROBABILITIES[kind])
    before = target.answer(X).log_probs
    first, again, other = (target.refit(X[:150], y[:150], seed).answer(X).log_probs for seed in (1, 1, 2))
    assert (first == again).all()
    assert (target.answer(X).log_probs == before).all()
    if kind in {"forest", "mlp"}:
        assert (first != other).any()


def test_every_random_state_of_a_pipeline_is_set():
    model = make_pipeline(DummyTransformer(random_state=5), RandomForestClassifier(3, random_state=6, n_jobs=2))
    target = EstimatorTarget(model.fit(*TABLES[2]))
    params = target.refit(*TABLES[2], seed=11).model.get_params()
    assert params["dummytransformer__random_state"] == params["randomforestclassifier__random_state"] == 11
    assert params["randomforestclassifier__n_jobs"] == 1


class DummyTransformer(BaseEstimator):
    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return X


@pytest.mark.parametrize("kind", ["tree", "forest", "mlp", "pipeline", "search"])
def test_a_fingerprint_is_of_the_settings_not_of_the_fit(kind):
    X, y = TABLES[2]
    first, _, _ = fitted(WITH_PROBABILITIES[kind])
    other_fit = EstimatorTarget(WITH_PROBABILITIES[kind].fit(X[:100], y[:100]))
    assert first.fingerprint() == other_fit.fingerprint()


def test_another_setting_or_class_has_another_fingerprint():
    X, y = TABLES[2]
    models = [DecisionTreeClassifier(), DecisionTreeClassifier(max_depth=3), ExtraTreesClassifier(2), GaussianNB()]
    assert len({EstimatorTarget(model.fit(X, y)).fingerprint() for model in models}) == 4


def test_a_model_with_a_function_in_it_has_a_fingerprint_too():
    X, y = TABLES[2]
    target = EstimatorTarget(make_pipeline(FunctionTransformer(lambda table: table * 2), GaussianNB()).fit(X, y))
    assert target.fingerprint() == target.fingerprint()
    assert target.refit(X, y, 0).answer(X).log_probs.shape == (240, 2)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (LinearRegression().fit(*TABLES[2]), "cannot be audited as a classifier"),
        (DecisionTreeClassifier(), "is it fitted"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "is it fitted"),
        (StandardScaler(), "must have predict"),
        (object(), "must have predict"),
        (None, "must have predict"),
        (DummyClassifier().fit([[0], [1]], [1, 1]), "needs two classes or more, got 1"),
        (DecisionTreeClassifier, "cannot be audited"),
    ],
)
def test_what_is_no_fitted_classifier_is_refused(model, says):
    with pytest.raises(ModelError, match=says):
        EstimatorTarget(model)


@pytest.mark.parametrize("second", [[0, 1] * 120, [0, 1, 2] * 80])
def test_a_model_of_several_labels_at_once_is_refused(second):
    X, y = TABLES[2]
    model = DecisionTreeClassifier().fit(X, np.column_stack([y, second]))
    with pytest.raises(ModelError):
        EstimatorTarget(model)


def good(rows):
    return np.tile([0.25, 0.75], (rows, 1))


def with_cell(value):
    def spoil(rows):
        answer = good(rows)
        answer[1, 0] = value
        return answer

    return spoil


BAD_ANSWERS = {
    "NaN": (with_cell(np.nan), "NaN or infinite probabilities for 1 of 8"),
    "infinite": (with_cell(np.inf), "NaN or infinite probabilities for 1 of 8"),
    "off sum": (with_cell(0.5), "do not sum to 1 for 1 of 8"),
    "negative": (lambda rows: np.tile([-0.5, 1.5], (rows, 1)), "outside"),
    "above one": (with_cell(3.0), "outside"),
    "logits": (lambda rows: np.tile([-3.0, 4.0], (rows, 1)), "outside"),
    "three classes": (lambda rows: np.full((rows, 3), 1 / 3), "must give 2 probabilities for 8 records"),
    "one class": (lambda rows: np.ones((rows, 1)), "must give 2 probabilities for 8 records"),
    "too few rows": (lambda rows: good(rows - 1), "for 8 records, got shape"),
    "text": (lambda rows: np.full((rows, 2), SECRET), "must be numbers"),
    "objects": (lambda rows: np.full((rows, 2), {SECRET: 1}, dtype=object), "must be numbers"),
    "nothing": (lambda rows: None, "for 8 records, got shape"),
    "ragged": (lambda rows: [[0.5, 0.5]] * (rows - 1) + [[1.0]], ""),
}


class Given(ClassifierMixin, BaseEstimator):
    """Gives what it is told to."""

    def __init__(self, answer=None):
        self.answer = answer
        self.classes_ = np.array([0, 1])

    def fit(self, X, y):
        return self

    def predict(self, X):
        return np.zeros(len(X), int)

    def predict_proba(self, X):
        return self.answer(len(X))


@pytest.mark.parametrize("kind", BAD_ANSWERS)
def test_a_bad_answer_is_named_and_counted_and_not_quoted(kind):
    answer, says = BAD_ANSWERS[kind]
    with pytest.raises((ModelError, TargetFailed)) as refusal:
        EstimatorTarget(Given(answer)).answer(np.zeros((8, 2)))
    assert says in str(refusal.value)
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize("answer", [good, lambda rows: good(rows).astype(np.float16), lambda rows: np.full(rows, 0.75)])
def test_half_precision_and_one_column_for_two_classes_are_understood(answer):
    log_probs = EstimatorTarget(Given(answer)).answer(np.zeros((8, 2))).log_probs
    assert np.allclose(np.exp(log_probs), good(8), atol=1e-3)


@pytest.mark.parametrize("error", [ValueError, KeyError, RuntimeError, MemoryError, StopIteration, AssertionError])
def test_a_model_that_raises_is_named_without_its_message(error):
    import traceback

    def burst(rows):
        raise error(SECRET)

    with pytest.raises(TargetFailed, match=f"raised {error.__name__} in predict_proba on 8 records") as refusal:
        EstimatorTarget(Given(burst)).answer(np.zeros((8, 2)))
    assert SECRET not in "".join(traceback.format_exception(refusal.value))


def test_a_label_outside_the_models_classes_is_refused_unquoted():
    class Odd:
        classes_ = np.array(["a", "b"])

        def predict(self, X):
            return np.array([SECRET] * len(X))

    with pytest.raises(ModelError, match="not among its classes") as refusal:
        EstimatorTarget(Odd()).answer(np.zeros((8, 2)))
    assert SECRET not in str(refusal.value)


def test_a_model_that_cannot_be_cloned_says_so():
    class Odd:
        classes_ = np.array([0, 1])

        def predict(self, X):
            return np.zeros(len(X), int)

    with pytest.raises(ModelError, match="cannot be cloned for retraining"):
        EstimatorTarget(Odd()).refit(np.zeros((8, 2)), np.zeros(8), 0)


def test_a_function_that_was_edited_is_another_model():
    def neighbours(weights):
        return EstimatorTarget(KNeighborsClassifier(weights=weights).fit(np.eye(4), [0, 1, 0, 1])).fingerprint()

    def power(k):
        return lambda distance: 1 / (distance + 1) ** k

    assert neighbours(lambda distance: 1 / (distance + 1) ** 2) != neighbours(lambda distance: 1 / (distance + 1) ** 3)
    assert neighbours(power(2)) == neighbours(power(2)) != neighbours(power(3))


def test_a_booster_at_the_end_of_a_pipeline_is_asked_for_its_log_odds():
    xgboost = pytest.importorskip("xgboost")
    table = np.random.default_rng(0).normal(size=(300, 3))
    label = (table[:, 0] > 0).astype(int)
    model = make_pipeline(StandardScaler(), xgboost.XGBClassifier(n_estimators=200, min_child_weight=0)).fit(
        table, label
    )
    alone = xgboost.XGBClassifier(n_estimators=200, min_child_weight=0).fit(
        StandardScaler().fit_transform(table), label
    )
    apart = EstimatorTarget(alone).answer(StandardScaler().fit_transform(table)).log_probs
    assert np.allclose(EstimatorTarget(model).answer(table).log_probs, apart)
