"""Any table becomes a matrix of finite codes or NaN for what is missing."""

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from unseen.features.numbers import MOST_COLUMNS, as_numbers


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_numbers_stay_and_words_become_the_code_of_their_sorted_rank(frame):
    table = frame({"n": [3, 1, 2], "r": [0.5, None, 1.5], "b": [True, False, True], "w": ["z", "a", "z"]})
    codes = as_numbers(table)
    assert codes.dtype == np.float64
    assert codes[:, [0, 2, 3]].tolist() == [[3, 1, 1], [1, 0, 0], [2, 1, 1]]
    assert np.isnan(codes[1, 1])
    assert codes[[0, 2], 1].tolist() == [0.5, 1.5]


def test_days_are_numbers_in_their_order():
    days = [dt.date(2024, 1, 2), dt.date(2023, 1, 1)]
    later, earlier = as_numbers(pl.DataFrame({"day": days}))[:, 0]
    assert later > earlier


def test_categories_of_either_frame_become_codes():
    words = ["b", "a", "b"]
    tables = [
        pd.DataFrame({"w": pd.Categorical(words)}),
        pl.DataFrame({"w": pl.Series(words, dtype=pl.Categorical)}),
        pl.DataFrame({"w": pl.Series(words, dtype=pl.Enum(["a", "b"]))}),
        np.array(words)[:, None],
        np.array(words, dtype=object)[:, None],
    ]
    assert all(as_numbers(table)[:, 0].tolist() == [1.0, 0.0, 1.0] for table in tables)


def test_a_missing_word_does_not_break_the_codes():
    for table in (pl.DataFrame({"w": ["a", None, "b"]}), pd.DataFrame({"w": ["a", None, "b"]})):
        codes = as_numbers(table)[:, 0]
        assert codes.shape == (3,)
        assert codes[0] != codes[2]


def test_numbers_held_as_objects_are_numbers():
    assert as_numbers(np.array([[1, 2.5], [3, 4.0]], dtype=object)).tolist() == [[1.0, 2.5], [3.0, 4.0]]


@pytest.mark.parametrize("wrap", [np.asarray, sparse.csr_array, sparse.coo_matrix])
def test_a_very_wide_table_keeps_its_columns_of_largest_variance_in_their_order(wrap):
    rng = np.random.default_rng(0)
    scale = np.ones(300)
    scale[[7, 250]] = 50.0
    table = rng.normal(size=(30, 300)) * scale
    kept = as_numbers(wrap(table))
    assert kept.shape == (30, MOST_COLUMNS)
    places = [int(np.flatnonzero((table == column[:, None]).all(axis=0))[0]) for column in kept.T]
    assert {7, 250} <= set(places)
    assert places == sorted(places)


def test_images_are_flattened():
    assert as_numbers(np.arange(12.0).reshape(2, 2, 3)).shape == (2, 6)
