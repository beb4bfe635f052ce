"""Rows and columns are handled alike in every container, and a difference between tables is said in one sentence."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from unseen.errors import DataError
from unseen.features.rows import column, column_names, concatenate, count_rows, explain_columns, is_pandas, take_rows

CELLS = {"a": [1.0, 2.0, 3.0, 4.0], "b": [5.0, 6.0, 7.0, 8.0]}
MATRIX = np.column_stack(list(CELLS.values()))
TABLES = {
    "numpy": MATRIX,
    "pandas": pd.DataFrame(CELLS, index=[9, 7, 5, 3]),
    "polars": pl.DataFrame(CELLS),
    "sparse matrix": sparse.csr_matrix(MATRIX),
    "sparse array": sparse.csr_array(MATRIX),
}


def dense(table):
    return table.toarray() if sparse.issparse(table) else np.asarray(table)


@pytest.mark.parametrize("kind", TABLES)
def test_rows_are_counted_and_taken_by_position(kind):
    table = TABLES[kind]
    taken = take_rows(table, np.array([3, 0, 0]))
    assert count_rows(table) == 4
    assert type(taken) is type(table)
    assert dense(taken).tolist() == MATRIX[[3, 0, 0]].tolist()


@pytest.mark.parametrize("kind", TABLES)
def test_tables_of_one_kind_are_put_under_one_another(kind):
    table = TABLES[kind]
    both = concatenate([table, take_rows(table, np.array([1]))])
    assert dense(both).tolist() == [*MATRIX.tolist(), MATRIX[1].tolist()]


def test_other_sparse_layouts_can_be_put_under_one_another_too():
    both = concatenate([sparse.coo_array(MATRIX), sparse.csc_array(MATRIX)])
    assert dense(take_rows(both, np.array([5, 0]))).tolist() == [MATRIX[1].tolist(), MATRIX[0].tolist()]


def test_images_keep_their_shape():
    images = np.arange(24.0).reshape(3, 2, 4)
    assert concatenate([images, images]).shape == (6, 2, 4)
    assert count_rows(take_rows(images, np.array([2, 1]))) == 2


def test_pandas_is_told_by_its_own_frames_alone():
    assert is_pandas(TABLES["pandas"])
    assert not any(is_pandas(TABLES[kind]) for kind in TABLES if kind != "pandas")


def test_only_frames_have_column_names():
    assert column_names(TABLES["polars"]) == column_names(TABLES["pandas"]) == ["a", "b"]
    assert column_names(MATRIX) is None


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_a_column_is_had_by_name(kind):
    assert column(TABLES[kind], "b").tolist() == CELLS["b"]


@pytest.mark.parametrize("kind", ["pandas", "polars", "numpy"])
def test_a_column_that_is_not_there_is_refused(kind):
    with pytest.raises(DataError, match="no feature column 'c'"):
        column(TABLES[kind], "c")


@pytest.mark.parametrize("table", [[[1, 2]], "text", 3, np.arange(3), pd.Series([1, 2]), pl.Series([1, 2])])
def test_what_has_no_rows_and_columns_is_refused(table):
    with pytest.raises(DataError, match="features must"):
        count_rows(table)


def test_tables_of_two_kinds_are_refused():
    with pytest.raises(DataError, match="of one kind, got ndarray and DataFrame"):
        concatenate([MATRIX, TABLES["polars"]])


@pytest.mark.parametrize("kind", TABLES)
def test_tables_of_two_widths_are_refused(kind):
    table = TABLES[kind]
    narrow = table[["a"]] if kind == "pandas" else table.select("a") if kind == "polars" else table[:, :1]
    with pytest.raises(DataError, match="same columns, got 2 and 1"):
        concatenate([table, narrow])


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_columns_in_another_order_are_refused(kind):
    table = TABLES[kind]
    with pytest.raises(DataError, match="same columns in the same order; they differ first at column 1"):
        concatenate([table, table[["b", "a"]]])


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_a_column_of_text_here_and_numbers_there_is_refused_in_one_sentence(frame):
    with pytest.raises(DataError) as refusal:
        concatenate([frame({"age": [39]}), frame({"age": ["SECRET"]})])
    assert "age" in str(refusal.value)
    assert "SECRET" not in str(refusal.value)


@pytest.mark.parametrize(
    ("got", "says"),
    [
        (["a", "b"], "lacks 1 of the columns of the model: ['c']"),
        (["a", "b", "c", "d"], "has 1 columns that the model has not, first column 4"),
        (["a", "c", "b"], "in another order, first at column 2 (where 'b' is expected)"),
    ],
)
def test_a_difference_of_columns_is_named(got, says):
    assert says in explain_columns(["a", "b", "c"], got, "the model", "the table")
