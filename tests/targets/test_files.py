"""skops files load if their types are known; pickles only on trust, because loading one runs code."""

import sys
from types import ModuleType

import joblib
import numpy as np
import pytest
import skops.io
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC

from unseen.errors import DataError, ModelError
from unseen.targets.files import load_model

X, Y = make_classification(120, 5, random_state=0)
MODELS = [
    RandomForestClassifier(3, random_state=0),
    GradientBoostingClassifier(n_estimators=3),
    HistGradientBoostingClassifier(max_iter=3),
    MLPClassifier((4,), max_iter=3, tol=1e9, n_iter_no_change=1),
    LogisticRegression(),
    LinearSVC(),
    SVC(),
    GaussianNB(),
    KNeighborsClassifier(),
    KNeighborsClassifier(algorithm="kd_tree"),
    CalibratedClassifierCV(LinearSVC(), cv=2),
    make_pipeline(
        make_column_transformer((OneHotEncoder(handle_unknown="ignore"), [0]), remainder=StandardScaler()),
        LogisticRegression(),
    ),
]


class Own(ClassifierMixin, BaseEstimator):
    """A class that skops cannot know."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.zeros(len(X), int)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_scikit_learns_own_models_load_from_skops_without_a_question(tmp_path, model):
    table = X.round(0) if "Pipeline" in type(model).__name__ else X
    skops.io.dump(model.fit(table, Y), tmp_path / "model.skops")
    assert (load_model(tmp_path / "model.skops").predict(table) == model.predict(table)).all()


def test_types_that_skops_does_not_know_are_named(tmp_path):
    skops.io.dump(Own().fit(X, Y), tmp_path / "own.skops")
    with pytest.raises(ModelError, match=r"own\.skops holds types that skops does not know: .*Own.*trusted_types"):
        load_model(tmp_path / "own.skops")


def test_types_that_are_trusted_by_name_load(tmp_path, monkeypatch):
    module = ModuleType("their_own")
    exec("class Own(Own): pass", {"Own": Own, "__name__": "their_own"}, vars(module))
    monkeypatch.setitem(sys.modules, "their_own", module)
    path = tmp_path / "own.skops"
    skops.io.dump(module.Own().fit(X, Y), path)
    assert type(load_model(path, ["their_own.Own"])) is module.Own


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


@pytest.mark.parametrize("suffix", [".joblib", ".pkl", ".pickle", ".PKL"])
def test_a_pickle_is_not_opened_without_trust_and_the_message_says_why(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    joblib.dump(Bomb(), path)
    with pytest.raises(ModelError, match="runs any code inside it") as refusal:
        load_model(path)
    assert "skops" in str(refusal.value)
    assert "--trust" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("suffix", [".joblib", ".pkl"])
def test_a_pickle_loads_on_trust(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    joblib.dump(GaussianNB().fit(X, Y), path)
    assert (load_model(path, trust=True).classes_ == [0, 1]).all()


@pytest.mark.parametrize("suffix", [".skops", ".joblib"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_an_empty_or_truncated_model_file_is_refused(tmp_path, suffix, share):
    path = tmp_path / f"model{suffix}"
    model = RandomForestClassifier(3).fit(X, Y)
    (skops.io if suffix == ".skops" else joblib).dump(model, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises((ModelError, DataError), match=path.name) as refusal:
        load_model(path, trust=True)
    assert "\n" not in str(refusal.value)


def test_a_text_called_skops_is_refused(tmp_path):
    (tmp_path / "model.skops").write_text("no model")
    with pytest.raises(ModelError, match="could not be read as a skops file"):
        load_model(tmp_path / "model.skops")


@pytest.mark.parametrize("name", ["model.onnx", "model", "model.pt", "model.h5"])
def test_another_kind_of_file_is_refused_with_those_that_are_read(tmp_path, name):
    (tmp_path / name).write_text("no model")
    with pytest.raises(ModelError, match=r"it reads \.skops"):
        load_model(tmp_path / name)


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(DataError, match=r"target\.model: there is no file"):
        load_model(tmp_path / "none.skops")
