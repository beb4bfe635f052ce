"""A digest says what a record is: not where it stands, nor what holds it."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from unseen.features.digest import CHUNK, row_digests
from unseen.features.rows import take_rows

RNG = np.random.default_rng(0)
MATRIX = RNG.normal(size=(40, 3)).round(1)
LABELS = RNG.integers(0, 2, 40)
WORDS = {"word": RNG.choice(["x", "y", "z"], 40).tolist(), "number": MATRIX[:, 0].tolist()}
TABLES = {
    "numpy": MATRIX,
    "words": np.array([WORDS["word"], WORDS["word"]]).T,
    "sparse": sparse.csr_array(MATRIX),
    "pandas": pd.DataFrame(WORDS),
    "polars": pl.DataFrame(WORDS),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_digest_follows_its_row_wherever_it_goes(kind):
    order = RNG.permutation(40)
    assert row_digests(take_rows(TABLES[kind], order), LABELS[order]).tolist() == (
        row_digests(TABLES[kind], LABELS)[order].tolist()
    )


@pytest.mark.parametrize("kind", TABLES)
def test_equal_rows_have_equal_digests_and_others_have_others(kind):
    twice = take_rows(TABLES[kind], np.array([0, 1, 0]))
    first, second, again = row_digests(twice, np.array([1, 1, 1]))
    assert first == again
    assert first != second


@pytest.mark.parametrize("kind", TABLES)
def test_the_label_is_part_of_the_record(kind):
    assert not (row_digests(TABLES[kind], np.zeros(40, int)) == row_digests(TABLES[kind], np.ones(40, int))).any()


def test_numbers_are_the_same_in_every_type_and_layout():
    whole = MATRIX.round(0)
    expected = row_digests(whole, LABELS).tolist()
    for same in (
        whole.astype(np.float32),
        whole.astype(int),
        np.asfortranarray(whole),
        sparse.csr_array(whole),
        sparse.csc_array(whole),
        sparse.coo_matrix(whole),
        whole.reshape(40, 1, 3),
    ):
        assert row_digests(same, LABELS).tolist() == expected


def test_the_two_frames_agree():
    assert row_digests(TABLES["pandas"], LABELS).tolist() == row_digests(TABLES["polars"], LABELS).tolist()


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_numbers_in_frames_are_compared_as_numbers_too(frame):
    whole, real, negative = frame({"n": [0, 1]}), frame({"n": [0.0, 1.0]}), frame({"n": [-0.0, 1.0]})
    labels = np.zeros(2, int)
    assert row_digests(whole, labels).tolist() == row_digests(real, labels).tolist()
    assert row_digests(real, labels).tolist() == row_digests(negative, labels).tolist()


def test_the_two_zeros_are_one_value():
    labels = np.zeros(1, int)
    assert row_digests(np.array([[0.0]]), labels) == row_digests(np.array([[-0.0]]), labels)


@pytest.mark.parametrize("rows", [CHUNK - 1, CHUNK, CHUNK + 1])
def test_long_tables_are_read_to_their_end(rows):
    table = np.arange(rows, dtype=float)[:, None]
    digests = row_digests(sparse.csr_array(table), np.zeros(rows, int))
    assert np.unique(digests).size == rows
    assert digests.tolist() == row_digests(table, np.zeros(rows, int)).tolist()


def test_neighbouring_cells_do_not_run_into_one_another():
    first, second = pl.DataFrame({"a": ["xy"], "b": ["z"]}), pl.DataFrame({"a": ["x"], "b": ["yz"]})
    assert row_digests(first, np.zeros(1, int)) != row_digests(second, np.zeros(1, int))
