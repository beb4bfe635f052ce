"""The key of kept references: anything that their answers depend on makes another, and nothing else does."""

import os
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.ensemble import RandomForestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from unseen.recipes.function import FunctionRecipe
from unseen.reference import ReferenceTask
from unseen.references import key as keys
from unseen.references.free import Free
from unseen.references.key import array_digest, data_digest, libraries, reference_key, task_key
from unseen.targets.estimator import EstimatorTarget

GIVEN = {
    "data": "d",
    "classes": "c",
    "recipe": "r",
    "seed": 3,
    "inclusion_rate": 0.25,
    "coins": "k",
    "scale": None,
    "precision": "float32",
    "libraries": {"numpy": "2.0", "scipy": "1.14"},
}
OTHERS = {
    "data": ["e", ""],
    "classes": ["d", ""],
    "recipe": ["s", "c"],
    "seed": [4, 30],
    "inclusion_rate": [0.5, np.nextafter(0.25, 1)],
    "coins": ["l", "c"],
    "scale": [0.0, 1.0],
    "precision": ["bfloat16", "float64"],
    "libraries": [
        {"numpy": "2.0.1", "scipy": "1.14"},
        {"numpy": "2.0"},
        {"numpy": "2.0", "scipy": "1.14", "torch": "2.6"},
        {"numpy": "1.14", "scipy": "2.0"},
    ],
}


def test_every_argument_has_another_value_here():
    assert set(OTHERS) == set(GIVEN)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in OTHERS.items() for value in values])
def test_changing_any_one_argument_changes_the_key(name, value):
    assert reference_key(**GIVEN | {name: value}) != reference_key(**GIVEN)


def test_no_two_of_them_are_mistaken_for_each_other():
    changed = [reference_key(**GIVEN | {name: value}) for name, values in OTHERS.items() for value in values]
    assert len({*changed, reference_key(**GIVEN)}) == len(changed) + 1


def test_the_same_arguments_give_the_same_key_whatever_their_order_or_type():
    other = dict(reversed(GIVEN.items())) | {"libraries": {"scipy": "1.14", "numpy": "2.0"}}
    other |= {"seed": np.int64(3), "inclusion_rate": np.float64(0.25)}
    assert reference_key(**other) == reference_key(**GIVEN)
    assert len(reference_key(**GIVEN)) == 32


def test_another_layout_of_the_files_is_another_key(monkeypatch):
    before = reference_key(**GIVEN)
    monkeypatch.setattr(keys, "LAYOUT", keys.LAYOUT + 1)
    assert reference_key(**GIVEN) != before


# --- data: every byte that a training may see

TABLE = np.arange(24, dtype=np.float64).reshape(8, 3)
LABELS = np.arange(8) % 2
UNITS = np.arange(8)


def whole(features=TABLE, labels=LABELS, units=UNITS):
    return data_digest(features, labels, units)


def changed(array, place, value):
    array = array.copy()
    array[place] = value
    return array


def test_any_value_of_the_table_counts_however_close():
    for place in np.ndindex(TABLE.shape):
        assert whole(changed(TABLE, place, np.nextafter(TABLE[place], np.inf))) != whole()


def test_any_label_and_any_unit_counts():
    for row in range(8):
        assert whole(labels=changed(LABELS, row, 1 - LABELS[row])) != whole()
        assert whole(units=changed(UNITS, row, 8)) != whole()


@pytest.mark.parametrize(
    "other",
    [
        {"features": TABLE.astype(np.float32)},
        {"features": TABLE.astype(np.int64)},
        {"features": TABLE[:, ::-1]},
        {"features": TABLE.reshape(8, 3, 1)},
        {"features": changed(TABLE, (0, 0), np.nan)},
        {"features": changed(TABLE, (0, 0), -0.0)},
        {"features": pl.DataFrame(TABLE)},
        {"features": pd.DataFrame(TABLE)},
        {"features": sparse.csr_array(TABLE)},
        {"labels": LABELS.astype(float)},
        {"labels": LABELS.astype(str)},
        {"labels": LABELS.astype(object)},
        {"labels": LABELS.astype(bool)},
    ],
)
def test_another_type_shape_or_kind_of_table_is_other_data(other):
    assert whole(**other) != whole()


def test_how_an_array_lies_in_memory_is_not_data():
    assert whole(np.asfortranarray(TABLE)) == whole()
    assert whole(np.concatenate([TABLE, TABLE])[:8]) == whole()
    assert whole(TABLE.copy(), LABELS.copy(), UNITS.copy()) == whole()


@pytest.mark.parametrize("frame", [pl.DataFrame, pd.DataFrame])
def test_frames_count_by_values_names_order_and_types(frame):
    columns = {"a": [1, 2, 3], "b": ["x", "y", None], "c": [0.5, 1.5, None]}
    digests = [
        whole(frame(one), LABELS[:3], UNITS[:3])
        for one in (
            columns,
            columns | {"a": [1, 2, 4]},
            columns | {"a": [1.0, 2.0, 3.0]},
            columns | {"a": ["1", "2", "3"]},
            columns | {"b": ["x", "z", None]},
            columns | {"b": ["x", None, "y"]},
            columns | {"b": ["xy", "", None]},
            columns | {"c": [0.5, None, 1.5]},
            {"b": columns["b"], "a": columns["a"], "c": columns["c"]},
            {"z": columns["a"], "b": columns["b"], "c": columns["c"]},
        )
    ]
    assert len(set(digests)) == len(digests)
    assert whole(frame(columns), LABELS[:3], UNITS[:3]) == digests[0]


def test_the_order_of_categories_counts():
    words = ["low", "high", "low"]
    for one, other in (
        (pd.DataFrame({"a": pd.Categorical(words, names)}) for names in (["low", "high"], ["high", "low"])),
        (pl.DataFrame({"a": pl.Series(words, dtype=pl.Enum(names))}) for names in (["low", "high"], ["high", "low"])),
    ):
        assert whole(one, LABELS[:3], UNITS[:3]) != whole(other, LABELS[:3], UNITS[:3])


def test_texts_do_not_run_into_each_other():
    pairs = [["ab", "c"], ["a", "bc"], ["abc", ""], ['a"', "c"], ["a\n", "c"], [1, "c"], ["1", "c"], [None, "c"]]
    pairs += [["None", "c"], ["missing", "c"]]
    digests = [array_digest(np.array(pair, dtype=object)) for pair in pairs]
    assert len(set(digests)) == len(pairs)


def test_tables_beyond_one_part_count_to_the_last_row():
    tall = np.zeros((3 * keys.ROWS + 5, 1))
    assert array_digest(changed(tall, -1, 1.0)) != array_digest(tall)
    assert array_digest(changed(tall, keys.ROWS, 1.0)) != array_digest(tall)


# --- a task: what an audit makes the key of


def task(recipe=None, **other):
    fitted = DecisionTreeClassifier(random_state=0).fit(TABLE, LABELS)
    given = {
        "recipe": recipe or EstimatorTarget(fitted),
        "classes": np.array([0, 1]),
        "features": TABLE,
        "labels": LABELS,
        "label_index": LABELS,
        "inclusion": np.ones((2, 8), dtype=bool),
        "seeds": [1, 2],
    }
    return ReferenceTask(**given | other)


def key(given=None, units=UNITS, seed=0, rate=0.5, engine=None):
    given = given or task()
    return task_key(given, units, seed, rate, engine, given.recipe.fingerprint())


def test_a_tasks_key_depends_on_each_part_of_it():
    other = {
        "settings": task(EstimatorTarget(DecisionTreeClassifier(max_depth=2).fit(TABLE, LABELS))),
        "class": task(EstimatorTarget(GaussianNB().fit(TABLE, LABELS))),
        "features": task(features=TABLE + 1),
        "labels": task(labels=1 - LABELS),
        "order of classes": task(classes=np.array([1, 0])),
        "scale": task(scale=2.0),
        "coins": task(inclusion=np.eye(2, 8, dtype=bool)),
    }
    digests = [key(), *(key(one) for one in other.values()), key(seed=1), key(rate=0.25), key(units=UNITS // 2)]
    digests.append(key(engine=SimpleNamespace(precision="bfloat16")))
    assert len(set(digests)) == len(digests)


def test_a_tasks_key_knows_nothing_of_how_many_references_there_are():
    assert key(task(inclusion=np.ones((9, 8), dtype=bool), seeds=list(range(9)))) == key()


def test_free_references_are_others_than_retrained_ones_and_of_trees_others_for_another_number():
    forest = task(EstimatorTarget(RandomForestClassifier(2, random_state=0).fit(TABLE, LABELS)))
    more = replace(forest, inclusion=np.ones((9, 8), dtype=bool), seeds=list(range(9)))
    assert len({key(forest, engine=Free()), key(forest), key(more, engine=Free())}) == 3
    neighbours = task(EstimatorTarget(KNeighborsClassifier(1).fit(TABLE, LABELS)))
    assert key(neighbours, engine=Free()) != key(neighbours)
    assert key(engine=Free()) == key()  # a single tree is not had for nothing: it is trained, as elsewhere


def test_stacks_in_the_recipes_own_precision_are_those_of_every_engine():
    assert key(engine=SimpleNamespace(precision=None)) == key()


def test_a_model_that_was_fitted_on_other_records_has_the_same_recipe():
    other = DecisionTreeClassifier(random_state=0).fit(TABLE[:4], LABELS[:4])
    assert key(task(EstimatorTarget(other))) == key()


def test_touching_a_file_of_code_changes_nothing_and_writing_into_it_does(tmp_path, monkeypatch):
    file = tmp_path / "recipe_of_the_key_test.py"
    source = (
        "from sklearn.naive_bayes import GaussianNB\n\n\ndef train(X, y, seed):\n    return GaussianNB().fit(X, y)\n"
    )
    file.write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def now():
        sys.modules.pop(file.stem, None)
        module = __import__(file.stem)
        return key(task(FunctionRecipe(module.train)))

    before = now()
    os.utime(file, (1, 1))
    assert now() == before
    file.write_text(source.replace("GaussianNB()", "GaussianNB(var_smoothing=1e-3)"))
    assert now() != before
    sys.modules.pop(file.stem)


def test_libraries_are_those_that_numbers_depend_on_and_optional_ones_once_loaded(monkeypatch):
    monkeypatch.delitem(sys.modules, "xgboost", raising=False)
    without = libraries()
    assert {"unseen", "python", "numpy", "scipy", "scikit-learn", "polars", "machine"} <= set(without)
    assert "xgboost" not in without
    monkeypatch.setitem(sys.modules, "xgboost", SimpleNamespace(__version__="9.9"))
    assert libraries() == without | {"xgboost": "9.9"}


@pytest.mark.parametrize("name", ["unseen", "numpy", "scipy", "scikit-learn", "polars"])
def test_another_version_of_a_library_is_another_key(monkeypatch, name):
    before, known = key(), keys.versions()
    monkeypatch.setattr(keys, "versions", lambda: known | {name: "0.0.0"})
    assert key() != before
