"""Code that a plan names runs on trust alone, leaves nothing behind, and reaches worker processes."""

import os
import pickle
import sys
import traceback

import joblib
import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB

from unseen.errors import ModelError, PlanError
from unseen.recipes.function import FunctionRecipe
from unseen.targets.modules import find, importable

SECRET = "Rumpelstilzchen"
TRAIN = """
from sklearn.naive_bayes import GaussianNB
from helping import SMOOTHING, made
import helping

class Model:
    @staticmethod
    def build():
        return "built"

def train(features, labels, seed):
    import belated
    assert helping.SMOOTHING == SMOOTHING
    return belated.fit(made(), features, labels)
"""
HELPING = """
from sklearn.naive_bayes import GaussianNB
SMOOTHING = {smoothing}
def made():
    return GaussianNB(var_smoothing=SMOOTHING)
"""
BELATED = """
def fit(model, features, labels):
    return model.fit(features, labels)
"""


@pytest.fixture
def home(tmp_path):
    return written(tmp_path / "plan")


def written(home, smoothing=1e-3):
    home.mkdir()
    (home / "train.py").write_text(TRAIN)
    (home / "helping.py").write_text(HELPING.format(smoothing=smoothing))
    (home / "belated.py").write_text(BELATED)
    return home


def test_a_name_is_found_beside_the_plan_and_leaves_the_interpreter_as_it_was(home):
    path, modules = list(sys.path), set(sys.modules)
    train = find("train:train", home, trust=True)
    assert callable(train)
    assert find("train:Model.build", home, trust=True)() == "built"
    assert sys.path == path
    assert not {"train", "helping", "belated"} & set(sys.modules)
    assert {name for name in set(sys.modules) - modules if name.startswith(("train", "helping"))} == set()
    assert sorted(path.name for path in home.iterdir()) == ["belated.py", "helping.py", "train.py"]


def test_an_installed_name_is_found_too_and_is_the_installed_one(home):
    assert find("sklearn.naive_bayes:GaussianNB", home, trust=True) is GaussianNB


def test_a_module_in_a_package_beside_the_plan_is_found(home):
    (home / "code_of_ours" / "deep").mkdir(parents=True)
    (home / "code_of_ours" / "__init__.py").write_text("")
    (home / "code_of_ours" / "deep" / "__init__.py").write_text("from code_of_ours.deep.one import ONE")
    (home / "code_of_ours" / "deep" / "one.py").write_text("ONE = 1")
    assert find("code_of_ours.deep:ONE", home, trust=True) == 1


def test_without_trust_nothing_runs_and_the_message_says_how_to_allow_it(home):
    (home / "bomb.py").write_text("import pytest\npytest.fail('it ran')")
    with pytest.raises(PlanError, match=r"trust = true under \[references\] \(command line: --trust\)") as refusal:
        find("bomb:train", home, trust=False, section="references")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["train", "train:", ":train", "a b:c", "../train:train", "x:y:z", ""])
def test_what_is_no_such_name_is_refused(home, name):
    with pytest.raises(PlanError, match=r"package\.module:name"):
        find(name, home, trust=True)


def test_what_is_not_there_is_named_with_what_is_near(home):
    with pytest.raises(PlanError, match=r"no module 'trian'.*did you mean 'train'\?"):
        find("trian:train", home, trust=True)
    with pytest.raises(PlanError, match=r"train has no 'trian'; did you mean 'train'\?"):
        find("train:trian", home, trust=True)
    with pytest.raises(PlanError, match=r"no module 'json\.nothing'"):
        find("json.nothing:x", home, trust=True)
    with pytest.raises(PlanError, match=r"no module 'train\.py'.*did you mean 'train'\?"):
        find("train.py:train", home, trust=True)


def test_a_module_whose_own_import_is_missing_says_which(home):
    (home / "needs.py").write_text("import surely_not_installed.at_all")
    with pytest.raises(ModelError, match="needs imports 'surely_not_installed', which is not installed"):
        find("needs:x", home, trust=True)


@pytest.mark.parametrize("line", [f"raise ValueError('{SECRET}')", f"raise SystemExit('{SECRET}')", f"{SECRET} = = 1"])
def test_what_an_import_raises_is_named_without_its_message(home, line):
    (home / "bursts.py").write_text(line)
    path = list(sys.path)
    with pytest.raises(ModelError, match=r"importing bursts raised (ValueError|SystemExit|SyntaxError)") as refusal:
        find("bursts:x", home, trust=True)
    assert SECRET not in "".join(traceback.format_exception(refusal.value))
    assert sys.path == path
    assert "bursts" not in sys.modules


def test_two_plans_may_have_modules_of_one_name(home, tmp_path):
    other = written(tmp_path / "other", smoothing=0.5)
    found = [find("helping:made", place, trust=True)().var_smoothing for place in (home, other, home)]
    assert found == [1e-3, 0.5, 1e-3]
    models = [
        FunctionRecipe(find("train:train", place, trust=True), home=place).refit(*RECORDS, 0).model
        for place in (home, other)
    ]
    assert [model.var_smoothing for model in models] == [1e-3, 0.5]


def test_a_module_of_that_name_that_was_imported_before_stays_what_it_was(home):
    import helping as before

    assert find("helping:SMOOTHING", home, trust=True) == 1e-3
    assert sys.modules["helping"] is before
    with importable(home):
        assert "helping" not in sys.modules
    assert sys.modules["helping"] is before


@pytest.fixture(autouse=True)
def _helping_from_elsewhere(request, tmp_path, monkeypatch):
    if "imported_before" in request.node.name:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "helping.py").write_text("SMOOTHING = 7")
        monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    yield
    sys.modules.pop("helping", None)


def test_an_edited_file_is_read_anew(home):
    assert find("helping:SMOOTHING", home, trust=True) == 1e-3
    (home / "helping.py").write_text(HELPING.format(smoothing=2e-3))  # as long as before, and at once
    assert find("helping:SMOOTHING", home, trust=True) == 2e-3


def test_a_file_in_the_folder_takes_no_standard_module_away(home):
    (home / "random.py").write_text("raise RuntimeError")
    assert find("train:train", home, trust=True).__name__ == "train"


RNG = np.random.default_rng(0)
RECORDS = (RNG.normal(size=(40, 2)), RNG.integers(0, 2, 40))


def answered(recipe, features, labels, seed):
    return os.getpid(), recipe.refit(features, labels, seed).answer(features).log_probs


def test_worker_processes_are_given_the_code_that_they_could_not_import(home):
    recipe = FunctionRecipe(find("train:train", home, trust=True), home=home)
    with pytest.raises((pickle.PicklingError, AttributeError, ImportError)):  # by reference it could not go
        pickle.dumps(recipe)
    here = answered(recipe, *RECORDS, 0)
    with joblib.parallel_config(backend="loky"):
        there = joblib.Parallel(n_jobs=2)(joblib.delayed(answered)(recipe, *RECORDS, seed) for seed in (0, 1))
    assert all(process != os.getpid() for process, _ in there)
    assert all(np.array_equal(here[1], log_probs) for _, log_probs in there)
