"""Each kind of column is perturbed in its own way; container, types, shape and the original stay."""

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from unseen.features.perturb import perturbed

ROWS = 2_000
RNG = np.random.default_rng(1)
CELLS = {
    "real": RNG.normal(5, 2, ROWS),
    "whole": RNG.integers(0, 100, ROWS),
    "binary": RNG.integers(0, 2, ROWS),
    "flag": RNG.integers(0, 2, ROWS).astype(bool),
    "word": RNG.choice(["red", "green", "blue"], ROWS),
    "constant": np.full(ROWS, 7.0),
}


def noise():
    return np.random.default_rng(7)


def columns(table):
    return {name: np.asarray(table[name]) for name in CELLS}


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_each_kind_of_column_moves_in_its_own_way(frame):
    after = columns(perturbed(frame(CELLS), 0.2, noise()))
    moved = after["real"] - CELLS["real"]
    assert 0.3 < moved.std() < 0.5  # 0.2 of a standard deviation of 2
    assert (after["whole"] == np.round(after["whole"])).all()
    assert after["whole"].min() >= 0
    assert after["whole"].max() <= 99
    assert 0.07 < (after["binary"] != CELLS["binary"]).mean() < 0.13  # strength / 2
    assert set(after["binary"].tolist()) == {0, 1}
    assert 0.07 < (after["flag"] != CELLS["flag"]).mean() < 0.13
    assert set(after["word"].tolist()) == {"red", "green", "blue"}
    assert 0.10 < (after["word"] != CELLS["word"]).mean() < 0.17  # strength, two thirds of the draws differ
    assert (after["constant"] == 7.0).all()


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames_keep_names_types_and_the_original(frame):
    table = frame(CELLS)
    before = {name: values.copy() for name, values in columns(table).items()}
    after = perturbed(table, 0.4, noise())
    assert type(after) is type(table)
    assert list(after.columns) == list(table.columns)
    assert list(after.dtypes) == list(table.dtypes)
    assert all((columns(table)[name] == values).all() for name, values in before.items())


def test_a_pandas_index_is_kept():
    table = pd.DataFrame({"a": [1.0, 2.0, 3.0]}, index=["x", "y", "z"])
    assert perturbed(table, 0.1, noise()).index.tolist() == ["x", "y", "z"]


def test_less_common_types_of_polars_are_kept():
    words = ["a", "b", None, "a"] * 10
    table = pl.DataFrame(
        {
            "category": pl.Series(words, dtype=pl.Categorical),
            "enum": pl.Series(words, dtype=pl.Enum(["a", "b"])),
            "day": [dt.date(2024, 1, day) for day in (1, 2, 3, 4)] * 10,
            "small": pl.Series([1, 2, 250, 4] * 10, dtype=pl.UInt8),
            "hole": pl.Series([1, None, 3, 5] * 10, dtype=pl.Int64),
            "gap": pl.Series([1.5, None, 3.0, 4.0] * 10, dtype=pl.Float32),
            "flag": pl.Series([True, None, False, True] * 10),
        }
    )
    after = perturbed(table, 0.3, noise())
    assert after.schema == table.schema
    for name in ("hole", "gap"):
        assert after[name].is_null().to_list() == table[name].is_null().to_list()


def test_less_common_types_of_pandas_are_kept():
    table = pd.DataFrame(
        {
            "category": pd.Categorical(["a", "b", "a", "b"] * 10),
            "nullable": pd.array([1, None, 3, 5] * 10, dtype="Int64"),
            "day": pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"] * 10),
            "single": np.arange(40, dtype=np.float32),
        }
    )
    after = perturbed(table, 0.3, noise())
    assert after.dtypes.tolist() == table.dtypes.tolist()


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64, np.uint8, np.bool_, object])
def test_arrays_keep_type_and_shape(kind):
    table = RNG.integers(0, 5, (50, 4)).astype(kind)
    after = perturbed(table, 0.4, noise())
    assert after.dtype == table.dtype
    assert after.shape == table.shape
    assert (after != table).any()


def test_images_keep_their_shape():
    images = RNG.integers(0, 17, (30, 4, 4)).astype(float)
    after = perturbed(images, 0.3, noise())
    assert after.shape == images.shape
    assert after.min() >= 0
    assert after.max() <= 16


def test_arrays_of_words_are_redrawn_from_their_own_column():
    table = np.array([["a", "x"], ["b", "y"], ["c", "z"]] * 50)
    after = perturbed(table, 0.5, noise())
    assert set(after[:, 0]) <= {"a", "b", "c"}
    assert set(after[:, 1]) <= {"x", "y", "z"}


@pytest.mark.parametrize("layout", [sparse.csr_array, sparse.csr_matrix])
def test_of_sparse_tables_only_the_stored_values_move(layout):
    table = layout(sparse.random_array((200, 30), density=0.2, rng=np.random.default_rng(0)))
    after = perturbed(table, 0.2, noise())
    assert type(after) is type(table)
    assert after.dtype == table.dtype
    assert ((after.toarray() != 0) <= (table.toarray() != 0)).all()
    assert (after.toarray() != table.toarray()).any()


def test_binary_sparse_tables_lose_some_of_their_ones():
    table = sparse.csr_array((RNG.random((300, 20)) < 0.3).astype(np.int8))
    after = perturbed(table, 0.4, noise())
    assert set(np.unique(after.toarray()).tolist()) == {0, 1}
    assert 0.15 < 1 - after.sum() / table.sum() < 0.25


def test_an_empty_sparse_table_stays_empty():
    assert perturbed(sparse.csr_array((4, 3)), 0.4, noise()).nnz == 0


def test_missing_numbers_stay_missing():
    table = np.array([[1.0, np.nan], [2.5, np.nan], [np.nan, np.nan]])
    after = perturbed(table, 0.4, noise())
    assert np.isnan(after).tolist() == np.isnan(table).tolist()


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_the_same_generator_gives_the_same_copies(frame):
    first, second = (columns(perturbed(frame(CELLS), 0.2, noise())) for _ in range(2))
    assert all((first[name] == second[name]).all() for name in CELLS)


def test_noise_is_judged_over_the_whole_table_so_it_knows_no_membership():
    # the first half is binary by itself, the second is not: judged apart, the halves would move in different ways
    values = np.concatenate([np.tile([0.0, 1.0], 500), RNG.normal(0, 5, 1000)])
    after = perturbed(values[:, None], 0.2, noise())[:, 0]
    assert np.unique(after[:1000]).size > 900
