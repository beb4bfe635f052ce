"""A training function of any framework is a recipe; what it returns is checked, and its code is what tells it apart."""

import functools
import subprocess
import sys
import traceback

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from unseen.errors import ModelError, PlanError, TargetFailed
from unseen.recipes.function import FunctionRecipe
from unseen.reference import ReferenceTask
from unseen.references.processes import train_one
from unseen.targets.estimator import EstimatorTarget
from unseen.targets.modules import find
from unseen.targets.regressor import RegressorTarget, is_regressor

SECRET = "Rumpelstilzchen"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = (X[:, 0] + RNG.normal(size=60) > 0).astype(int)
VALUES = X @ [1.0, 2.0, 3.0]


def bayes(features, labels, seed):
    return GaussianNB().fit(features, labels)


def returns(model):
    return lambda features, labels, seed: model


class TestWhatComesBack:
    def test_an_estimator_is_asked_as_one(self):
        target = FunctionRecipe(bayes).refit(X, Y, 0)
        assert isinstance(target, EstimatorTarget)
        assert np.array_equal(target.answer(X).log_probs, EstimatorTarget(GaussianNB().fit(X, Y)).answer(X).log_probs)

    def test_a_regressor_is_asked_as_one(self):
        target = FunctionRecipe(lambda f, y, seed: LinearRegression().fit(f, y)).refit(X, VALUES, 0)
        assert isinstance(target, RegressorTarget)
        assert np.allclose(target.answer(X).value, VALUES)

    def test_a_function_gives_the_probabilities_of_the_classes(self):
        recipe = FunctionRecipe(returns(lambda f: np.full((len(f), 2), 0.5)), classes=[0, 1])
        assert np.allclose(recipe.refit(X, Y, 0).answer(X).log_probs, np.log(0.5))

    def test_in_a_regression_a_function_gives_values(self):
        answers = FunctionRecipe(returns(lambda f: f[:, 0])).refit(X, VALUES, 0).answer(X)
        assert np.array_equal(answers.value, X[:, 0])
        assert answers.log_probs is None

    def test_a_module_gives_logits_or_values(self):
        torch = pytest.importorskip("torch")
        features = X.astype(np.float32)
        classifier = FunctionRecipe(returns(torch.nn.Linear(3, 2)), classes=[0, 1]).refit(features, Y, 0)
        assert classifier.answer(features).log_probs.shape == (60, 2)
        regressor = FunctionRecipe(returns(torch.nn.Linear(3, 1))).refit(features, VALUES, 0)
        assert regressor.answer(features).value.shape == (60,)

    def test_a_target_is_itself(self):
        target = EstimatorTarget(GaussianNB().fit(X, Y))
        assert FunctionRecipe(returns(target)).refit(X, Y, 0) is target

    def test_pytorch_is_not_imported_for_it(self):
        code = (
            "import sys, numpy as np; from unseen.recipes.function import FunctionRecipe\n"
            "from sklearn.naive_bayes import GaussianNB\n"
            "FunctionRecipe(lambda f, y, s: GaussianNB().fit(f, y)).refit(np.eye(4), np.array([0, 1, 0, 1]), 0)\n"
            "assert 'torch' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

    @pytest.mark.parametrize(
        ("model", "message"),
        [
            (None, "returned nothing; it must return the trained model"),
            (GaussianNB, "returned the class GaussianNB"),
            (GaussianNB(), "is it fitted"),
            (LinearRegression(), "LinearRegression is not fitted"),
            (3, "returned int; it must return an estimator"),
            (GaussianNB().fit(X, Y + 1), "1 classes that are not the target's"),
            (LinearRegression().fit(X, VALUES), "returned a regressor, and the target is a classifier"),
            (lambda f: np.full((len(f), 3), 1 / 3), "2 probabilities for 4 records, got shape"),
        ],
    )
    def test_what_is_no_trained_model_that_fits_is_refused(self, model, message):
        with pytest.raises(ModelError, match=message) as refusal:
            FunctionRecipe(returns(model), classes=[0, 1]).refit(X, Y, 0)
        assert "\n" not in str(refusal.value)

    def test_a_regressor_of_several_values_is_refused(self):
        with pytest.raises(ModelError, match=r"one value for each of 4 records, got shape \(4, 3\)"):
            FunctionRecipe(returns(lambda f: f)).refit(X, VALUES, 0)

    def test_what_cannot_be_called_is_no_recipe(self):
        with pytest.raises(PlanError, match="got GaussianNB"):
            FunctionRecipe(GaussianNB())

    def test_it_trains_references(self):
        recipe = FunctionRecipe(bayes, classes=[0, 1])
        inclusion = RNG.random((1, 60)) < 0.5
        task = ReferenceTask(recipe, np.array([0, 1]), X, Y, Y, inclusion, [0])
        k, answers = train_one(task, 0, inclusion[0], 0)
        assert k == 0
        assert answers.margin.shape == answers.loss.shape == (60,)
        values = ReferenceTask(
            FunctionRecipe(lambda f, y, s: LinearRegression().fit(f, y)), np.empty(0), X, VALUES, Y, inclusion, [0], 1.0
        )
        assert train_one(values, 0, inclusion[0], 0)[1].loss.max() < 1e-12


class TestRegressors:
    def test_it_is_refitted_and_told_apart_like_a_classifier(self):
        target = RegressorTarget(DecisionTreeRegressor(max_features=1, max_depth=2).fit(X, VALUES))
        assert target.classes.size == 0
        first, again, other = (target.refit(X, VALUES, seed).answer(X).value for seed in (1, 1, 2))
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)
        assert target.fingerprint() == RegressorTarget(target.model.fit(X[:30], VALUES[:30])).fingerprint()
        deeper = DecisionTreeRegressor(max_features=1, max_depth=3).fit(X, VALUES)
        assert target.fingerprint() != RegressorTarget(deeper).fingerprint()

    @pytest.mark.parametrize("library", ["xgboost", "lightgbm", "catboost"])
    @pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")
    def test_boosters_are_regressors_too(self, library):
        module = pytest.importorskip(library)
        model = {
            "xgboost": lambda: module.XGBRegressor(n_estimators=3, n_jobs=1),
            "lightgbm": lambda: module.LGBMRegressor(n_estimators=3, n_jobs=1, verbosity=-1),
            "catboost": lambda: module.CatBoostRegressor(iterations=3, verbose=False, allow_writing_files=False),
        }[library]()
        assert is_regressor(model)
        with pytest.raises(ModelError, match="not fitted"):
            RegressorTarget(model)
        target = RegressorTarget(model.fit(X, VALUES))
        assert target.answer(X).value.shape == (60,)
        assert target.refit(X[:40], VALUES[:40], 1).answer(X).value.shape == (60,)

    def test_classifiers_and_functions_are_not_regressors(self):
        assert not any(is_regressor(one) for one in (GaussianNB(), GaussianNB().fit(X, Y), bayes, LinearRegression))

    def test_what_it_raises_is_named_without_its_message(self):
        class Bursts(LinearRegression):
            def predict(self, table):
                raise ValueError(SECRET)

        def bursts(table):
            raise ValueError(SECRET)

        targets = [
            lambda: RegressorTarget(Bursts().fit(X, VALUES)).answer(X),
            lambda: FunctionRecipe(returns(bursts)).refit(X, VALUES, 0),
        ]
        for ask in targets:
            with pytest.raises(TargetFailed, match="raised ValueError") as refusal:
                ask()
            assert SECRET not in "".join(traceback.format_exception(refusal.value))

    @pytest.mark.parametrize("values", [np.full(60, np.nan), np.array(["a"] * 60), np.zeros(59), np.zeros((60, 2))])
    def test_values_that_are_none_are_refused(self, values):
        model = LinearRegression().fit(X, VALUES)
        model.predict = lambda table: values
        with pytest.raises(ModelError):
            RegressorTarget(model).answer(X)


MODULE = """
import functools
import json
from beside import DEPTH
from sklearn.tree import DecisionTreeClassifier
RATE = {rate}
def train(features, labels, seed, leaves={leaves}):
    return DecisionTreeClassifier(max_depth=DEPTH, random_state=seed).fit(features, labels)
"""


class TestFingerprints:
    def printed(self, home, rate=1, leaves=3, depth=4, beside=""):
        home.mkdir(exist_ok=True)
        (home / "trainer.py").write_text(MODULE.format(rate=rate, leaves=leaves))
        (home / "beside.py").write_text(f"DEPTH = {depth}\n{beside}")
        return FunctionRecipe(find("trainer:train", home, trust=True), home=home).fingerprint()

    def test_any_change_of_the_code_or_of_what_it_imports_beside_it_changes_it(self, tmp_path):
        home = tmp_path / "plan"
        changes = [{}, {"rate": 2}, {"leaves": 4}, {"depth": 5}, {"beside": "import json"}]
        prints = [self.printed(home, **change) for change in changes]
        assert len(set(prints)) == len(changes)
        assert self.printed(home) == prints[0]
        assert self.printed(tmp_path / "moved") == prints[0]

    def test_it_is_the_same_in_another_process(self, tmp_path):
        here = self.printed(tmp_path / "plan")
        code = (
            "from pathlib import Path; from unseen.targets.modules import find\n"
            "from unseen.recipes.function import FunctionRecipe\n"
            f"home = Path({str(tmp_path / 'plan')!r})\n"
            "print(FunctionRecipe(find('trainer:train', home, trust=True), home=home).fingerprint())"
        )
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        assert done.stdout.split() == [here]

    def test_an_installed_package_of_another_version_changes_it(self, tmp_path, monkeypatch):
        before = self.printed(tmp_path / "plan")
        known = sys.modules["unseen.targets.sources"].version
        monkeypatch.setattr(
            "unseen.targets.sources.version", lambda name: "0" if name == "scikit-learn" else known(name)
        )
        assert self.printed(tmp_path / "plan") != before

    def test_what_a_function_holds_is_part_of_it(self):
        def trained(depth, extra=None):
            def train(features, labels, seed):
                return DecisionTreeClassifier(max_depth=depth).fit(features, labels), extra

            return train

        class Trainer:
            def __init__(self, depth):
                self.depth = depth
                self.made = lambda: DecisionTreeClassifier(max_depth=depth)

            def __call__(self, features, labels, seed):
                return self.made().fit(features, labels)

            def train(self, features, labels, seed):
                return self(features, labels, seed)

        pairs = [
            (trained(2), trained(3)),
            (trained(2, np.zeros(3)), trained(2, np.ones(3))),
            (trained(2, {"a": [lambda: 1]}), trained(2, {"a": [lambda: 2]})),
            (functools.partial(bayes, a=1), functools.partial(bayes, a=2)),
            (Trainer(2), Trainer(3)),
            (Trainer(2).train, Trainer(3).train),
            (lambda f, y, s: 1, lambda f, y, s: 2),
            (bayes, trained(2)),
        ]
        for one, other in pairs:
            assert FunctionRecipe(one).fingerprint() != FunctionRecipe(other).fingerprint()
        for again in (lambda: trained(2, np.zeros(3)), lambda: Trainer(2), lambda: bayes):
            assert FunctionRecipe(again()).fingerprint() == FunctionRecipe(again()).fingerprint()

    def test_the_globals_it_names_are_part_of_it_and_others_are_not(self):
        prints = []
        for used, unused in ((1, 1), (1, 2), (2, 1)):
            names = {"USED": used, "UNUSED": unused, "np": np, "__name__": "notebook"}
            exec("def inner():\n return USED\ndef train(f, y, s):\n return [inner() for _ in y]", names)
            prints.append(FunctionRecipe(names["train"]).fingerprint())
        assert prints[0] == prints[1] != prints[2]

    def test_the_classes_are_part_of_it(self):
        assert FunctionRecipe(bayes, [0, 1]).fingerprint() != FunctionRecipe(bayes, [1, 0]).fingerprint()

    def test_a_weighty_module_that_it_holds_counts_by_its_weights(self):
        torch = pytest.importorskip("torch")

        def holding(value):
            module = torch.nn.Linear(2, 2)
            with torch.no_grad():
                module.weight.fill_(value)
                module.bias.zero_()
            return FunctionRecipe(lambda f, y, s: module).fingerprint()

        assert holding(1.0) == holding(1.0)
        assert holding(1.0) != holding(2.0)
