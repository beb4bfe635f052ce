"""Free numbers of a model are counted as its library lays them out, or not at all."""

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from unseen.targets.capacity import count_parameters

X, Y = make_classification(300, 6, n_informative=5, n_redundant=0, n_classes=3, random_state=0)


def test_linear_models_have_a_weight_a_column_and_an_intercept_a_class():
    assert count_parameters(LogisticRegression().fit(X, Y)) == 3 * (6 + 1)
    assert count_parameters(SVC(kernel="linear").fit(X, Y)) == 3 * (6 + 1)


def test_networks_count_every_layer():
    with pytest.warns(UserWarning, match="Maximum iterations"):
        model = MLPClassifier((5, 4), max_iter=2, random_state=0).fit(X, Y)
    assert count_parameters(model) == (6 * 5 + 5) + (5 * 4 + 4) + (4 * 3 + 3)


def test_naive_bayes_counts_means_variances_and_priors():
    assert count_parameters(GaussianNB().fit(X, Y)) == 3 * 6 + 3 * 6 + 3


def test_a_kernel_machine_counts_the_records_it_keeps():
    model = SVC().fit(X, Y)
    support = model.support_vectors_.shape[0]
    assert count_parameters(model) == 2 * support + 6 * support + 3


def test_a_tree_has_one_number_a_node():
    model = DecisionTreeClassifier(max_leaf_nodes=7, random_state=0).fit(X, Y)
    assert count_parameters(model) == 13


def test_ensembles_count_what_is_inside():
    forest = RandomForestClassifier(5, max_depth=3, random_state=0).fit(X, Y)
    assert count_parameters(forest) == sum(tree.tree_.node_count for tree in forest.estimators_)
    boosted = GradientBoostingClassifier(n_estimators=4, random_state=0).fit(X, Y)
    assert count_parameters(boosted) == sum(tree.tree_.node_count for tree in boosted.estimators_.ravel())
    stumps = AdaBoostClassifier(n_estimators=4, random_state=0).fit(X, Y)
    assert count_parameters(stumps) == 3 * len(stumps.estimators_)
    bagged = BaggingClassifier(LogisticRegression(), n_estimators=3, random_state=0).fit(X, Y)
    assert count_parameters(bagged) == 3 * 21
    voted = VotingClassifier([("a", LogisticRegression()), ("b", GaussianNB())]).fit(X, Y)
    assert count_parameters(voted) == 21 + 39
    calibrated = CalibratedClassifierCV(LogisticRegression(), cv=2, ensemble=True).fit(X, Y)
    assert count_parameters(calibrated) == 2 * 21
    nested = VotingClassifier([("a", forest), ("b", LogisticRegression()), ("c", "drop")]).fit(X, Y)
    assert count_parameters(nested) == 73 + 21


def test_histogram_boosting_counts_nodes():
    model = HistGradientBoostingClassifier(max_iter=2, max_leaf_nodes=5).fit(X, Y)
    assert count_parameters(model) == 2 * 3 * 9


def test_pipelines_and_searches_count_the_model_inside():
    assert count_parameters(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)) == 21
    assert count_parameters(GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=2).fit(X, Y)) == 21


def test_boosters_are_counted_through_their_own_dumps():
    xgboost = pytest.importorskip("xgboost")
    model = xgboost.XGBClassifier(n_estimators=3, max_depth=2, n_jobs=1).fit(X, Y)
    lines = [line for tree in model.get_booster().get_dump() for line in tree.split("\n") if ":" in line]
    assert count_parameters(model) == len(lines)
    linear = xgboost.XGBClassifier(n_estimators=3, booster="gblinear", n_jobs=1).fit(X, Y)
    assert count_parameters(linear) == 21
    lightgbm = pytest.importorskip("lightgbm")
    model = lightgbm.LGBMClassifier(n_estimators=2, num_leaves=4, n_jobs=1, verbosity=-1).fit(X, Y)
    assert count_parameters(model) == 2 * 3 * 7
    catboost = pytest.importorskip("catboost")
    quiet = {"iterations": 2, "verbose": False, "allow_writing_files": False, "thread_count": 1}
    model = catboost.CatBoostClassifier(depth=3, **quiet).fit(X, Y)
    assert count_parameters(model) == 2 * (8 * 3 + 3)
    model = catboost.CatBoostClassifier(grow_policy="Lossguide", max_leaves=4, **quiet).fit(X, Y)
    assert count_parameters(model) == 2 * (4 * 3 + 3)


def test_what_cannot_be_counted_is_none():
    class Strange:
        @property
        def tree_(self):
            raise RuntimeError("secret")

    models = [KNeighborsClassifier().fit(X, Y), DummyClassifier().fit(X, Y), Strange(), np.argmax, LogisticRegression()]
    assert [count_parameters(model) for model in models] == [None] * 5
