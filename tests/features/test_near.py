"""Copies, exact and near: found whatever holds them, and strangers are not taken for copies."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from unseen.copies import count_copies, crossing
from unseen.features.digest import row_digests
from unseen.features.near import near_copies

ROWS, COPIES = 3000, 200


def clusters(table):
    rows = table.shape[0]
    return near_copies(table, row_digests(table, np.zeros(rows)))


def with_copies(columns, change, seed=0):
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(ROWS, columns))
    copies = table[:COPIES].copy()
    change(copies, rng)
    return np.concatenate([table, copies])


def found(table):
    """The share of planted copies that are found, and how many other rows are taken for a copy."""
    cluster = clusters(table)
    planted = cluster[:COPIES] == cluster[ROWS:]
    return planted.mean(), ROWS - np.unique(cluster[:ROWS]).size


def jitter(copies, rng):
    copies += 0.002 * rng.normal(size=copies.shape)


def one_column(copies, rng):
    copies[:, 3] = rng.normal(size=COPIES)


def tiny(copies, rng):
    copies += 1e-9 * rng.normal(size=copies.shape)


@pytest.mark.parametrize(
    ("columns", "change"),
    [(6, jitter), (30, jitter), (100, jitter), (30, one_column), (2, tiny), (1, tiny)],
    ids=["jitter 6", "jitter 30", "jitter 100", "one of 30 changed", "rounding 2", "rounding 1"],
)
def test_near_copies_are_found_and_strangers_are_not(columns, change):
    share, strangers = found(with_copies(columns, change))
    assert share == 1.0
    assert strangers <= ROWS * 1e-3


def test_in_few_columns_strangers_are_near_and_only_the_nearest_count():
    share, strangers = found(with_copies(2, jitter))
    assert share < 0.9
    assert strangers <= 3 * ROWS * 1e-3


def test_in_narrow_tables_a_changed_column_makes_another_record():
    assert found(with_copies(8, one_column)) == (0.0, 0)


def test_a_columns_long_tail_does_not_make_its_middle_one_value():
    rng = np.random.default_rng(0)
    table = np.exp(3 * rng.normal(size=(ROWS, 4)))
    assert np.unique(clusters(table)).size >= ROWS * (1 - 1e-3)


def test_in_mixed_tables_words_and_codes_must_agree():
    rng = np.random.default_rng(0)
    numbers, words = rng.normal(size=(ROWS, 4)), rng.choice(["a", "b", None], ROWS)
    near = numbers[:COPIES] + 1e-4
    same, other = words[:COPIES], np.where(words[:COPIES] == "a", "b", "a")

    def table(word):
        columns = {f"x{i}": np.r_[numbers[:, i], near[:, i]] for i in range(4)}
        return columns | {"word": np.r_[words, word]}

    for wrap in (pl.DataFrame, pd.DataFrame):
        assert found(wrap(table(same))) == (1.0, 0)
        assert found(wrap(table(other))) == (0.0, 0)


def test_missing_values_agree_with_missing_values_only():
    def lose(copies, rng):
        copies += 1e-4 * rng.normal(size=copies.shape)

    table = with_copies(6, lose)
    table[::2, 2] = np.nan
    assert found(table)[0] == 1.0
    table[ROWS:, 2] = 0.0
    assert found(table)[0] < 0.1


def test_of_sparse_tables_rows_with_nearly_the_same_words_are_copies():
    rng = np.random.default_rng(0)
    texts = np.stack([rng.permutation(5000)[:80] for _ in range(600)])
    edited = texts[:100].copy()
    edited[:, :3] = rng.integers(5000, 6000, (100, 3))
    places = np.concatenate([texts, edited])
    rows = np.repeat(np.arange(700), 80)
    table = sparse.csr_matrix((np.ones(rows.size), (rows, places.ravel())), shape=(700, 6000))
    cluster = clusters(table)
    assert (cluster[:100] == cluster[600:]).all()
    assert np.unique(cluster).size == 600


def test_tables_of_few_values_know_exact_copies_only():
    table = np.random.default_rng(0).integers(0, 3, (500, 4)).astype(float)
    assert np.unique(clusters(table)).size == np.unique(table, axis=0).shape[0]


@pytest.mark.parametrize(("columns", "zeros"), [(20, 0.9), (40, 0.9), (10, 0.8), (3, 0.5)])
def test_tables_that_are_mostly_zeros_know_exact_copies_only(columns, zeros):
    rng = np.random.default_rng(0)
    table = np.where(rng.random((ROWS, columns)) < zeros, 0.0, np.exp(rng.normal(4, 1, (ROWS, columns))))
    assert np.unique(clusters(table)).size == np.unique(table, axis=0).shape[0]


@pytest.mark.parametrize("seed", range(3))
def test_columns_that_hang_together_in_curves_make_no_copies(seed):
    rng = np.random.default_rng(seed)
    turn = 2 * np.pi * rng.random(ROWS)
    circle = np.stack([np.sin((k + 1) * turn) for k in range(8)], axis=1)
    plane = np.tanh(rng.normal(size=(ROWS, 2)) @ rng.normal(size=(2, 12)))
    for table in (circle, plane):
        assert ROWS - np.unique(clusters(table)).size <= 3 * ROWS * 1e-3


def test_near_copies_have_the_same_label():
    table = with_copies(6, tiny)
    label = np.zeros(ROWS + COPIES, dtype=int)
    label[ROWS : ROWS + 50] = 1
    cluster = near_copies(table, row_digests(table, label), label)
    same = cluster[:COPIES] == cluster[ROWS:]
    assert (int(same[:50].sum()), int(same[50:].sum())) == (0, COPIES - 50)


def test_one_row_is_nobodys_copy():
    assert clusters(np.zeros((1, 3))).tolist() == [0]


def test_what_crosses_leaves_on_both_sides_and_the_population_too():
    cluster = np.array([0, 1, 2, 2, 0, 3, 1, 4])
    side = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    assert crossing(cluster, side).tolist() == [True, False, False, False, True, False, True, False]
    digests = np.array([10, 11, 12, 13, 10, 14, 11, 15])
    counts = count_copies(digests, cluster, side)
    assert counts == {
        "members": 4,
        "non_members": 2,
        "exact_across_members": 1,
        "near_across_members": 0,
        "exact_within_members": 0,
        "near_within_members": 1,
        "exact_across_non_members": 1,
        "near_across_non_members": 0,
        "exact_within_non_members": 0,
        "near_within_non_members": 0,
        "population_copies": 1,
    }
