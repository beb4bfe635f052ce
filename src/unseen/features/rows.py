"""Rows and columns of a feature table, whatever holds it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from scipy import sparse

from unseen.errors import DataError, did_you_mean
from unseen.signal import Array, Ints

NUMBERS = (bool, int, float, np.bool_, np.number)


def is_pandas(table: Any) -> bool:
    """Say whether `table` is a pandas frame, without importing pandas."""
    return type(table).__module__.split(".")[0] == "pandas" and hasattr(table, "iloc")


def count_rows(table: Any) -> int:
    """Return the number of rows."""
    shape = getattr(table, "shape", None)
    if shape is None:
        raise DataError(f"features must be a NumPy, SciPy, pandas or polars table, got {type(table).__name__}.")
    if len(shape) < 2:
        raise DataError(f"features must have rows and columns, got shape {tuple(shape)}.")
    return int(shape[0])


def take_rows(table: Any, index: Ints) -> Any:
    """Return the rows at `index`, in that order, as the same kind of table."""
    if is_pandas(table):
        return table.iloc[index]
    return table[index]


def column_names(table: Any) -> list[str] | None:
    """Return the column names, or None where the table has none."""
    if isinstance(table, pl.DataFrame):
        return table.columns
    return [str(name) for name in table.columns] if is_pandas(table) else None


def table_columns(table: Any) -> list[Array]:
    """Return the columns of a dense table as NumPy arrays `(records,)`; images and the like are flattened."""
    if isinstance(table, pl.DataFrame):
        return [table[name].to_numpy() for name in table.columns]
    if is_pandas(table):
        return [np.asarray(table.iloc[:, place]) for place in range(table.shape[1])]
    array = np.asarray(table)
    return list(array.reshape(array.shape[0], -1).T)


def plain_columns(table: Any) -> list[Array]:
    """Return the columns as `table_columns` does, with times and numbers among objects as float64, missing ones NaN.

    So that a column is the same whatever holds it: a date of polars and one of pandas (microseconds since 1970), true
    and false with a missing value and without.
    """
    return [_plain(values) for values in table_columns(table)]


def _plain(values: Array) -> Array:
    if values.dtype.kind in "mM":
        times = values.astype(f"{'datetime64' if values.dtype.kind == 'M' else 'timedelta64'}[us]")
        return np.where(np.isnat(times), np.nan, times.astype(np.int64).astype(np.float64))
    if values.dtype.kind != "O":
        return values
    listed = values.tolist()
    known = {type(value) for value in listed} - {type(None)}
    numbers = {kind for kind in known if issubclass(kind, NUMBERS)}
    if not numbers or any(kind.__name__ != "NAType" for kind in known - numbers):
        return values
    return np.array([np.nan if is_missing(value) else float(value) for value in listed])


def concatenate(tables: Sequence[Any]) -> Any:
    """Return the tables under one another; they must be of one kind with the same columns in the same order."""
    first = tables[0]
    for other in tables[1:]:
        _check_alike(first, other)
    if isinstance(first, pl.DataFrame):
        return pl.concat(tables, how="vertical_relaxed")
    if is_pandas(first):
        import pandas as pd  # optional: only who hands in pandas frames has it

        return pd.concat(tables, ignore_index=True)
    if sparse.issparse(first):
        return sparse.vstack(tables, format="csr")
    return np.concatenate([np.asarray(table) for table in tables])


def _check_alike(first: Any, other: Any) -> None:
    kinds = [type(table).__name__ for table in (first, other)]
    if kinds[0] != kinds[1] and not (sparse.issparse(first) and sparse.issparse(other)):
        raise DataError(f"members and non-members must be tables of one kind, got {kinds[0]} and {kinds[1]}.")
    if first.shape[1:] != other.shape[1:]:
        raise DataError(
            f"members and non-members must have the same columns, got {first.shape[1]} and {other.shape[1]}."
        )
    names, others = column_names(first), column_names(other)
    if names != others:
        place = next((i for i, (a, b) in enumerate(zip(names or [], others or [], strict=False)) if a != b), 0) + 1
        raise DataError(
            f"members and non-members must have the same columns in the same order; "
            f"they differ first at column {place}."
        )
    if names is not None:
        _check_types(names, first, other)


def _check_types(names: list[str], first: Any, other: Any) -> None:
    for name, one, two in zip(names, plain_columns(first), plain_columns(other), strict=True):
        if (one.dtype.kind in "biuf") != (two.dtype.kind in "biuf") and not _empty(one) and not _empty(two):
            raise DataError(f"column {name!r} holds numbers in one table and other values in another.")


def _empty(values: Array) -> bool:
    return all(is_missing(value) for value in values.tolist())


def is_missing(value: Any) -> bool:
    """Say whether a value is None, NaN or pandas' NA."""
    try:
        return value is None or bool(value != value)  # noqa: PLR0124 - NaN differs from itself
    except TypeError:  # pandas' NA will not be compared
        return True


def explain_columns(wanted: list[str], got: list[str], owner: str, giver: str) -> str:
    """Return one sentence on how the columns of `giver` differ from those that `owner` has.

    Names that only `giver` has are not quoted: in a file without a header they are a record.
    """
    missing = [name for name in wanted if name not in set(got)]
    extra = [name for name in got if name not in set(wanted)]
    if missing:
        return f"{giver} lacks {len(missing)} of the columns of {owner}: {missing[:3]}."
    if extra:
        place = got.index(extra[0]) + 1
        return (
            f"{giver} has {len(extra)} columns that {owner} has not, first column {place}; drop them (plan: data.drop)."
        )
    place = next(i for i, (a, b) in enumerate(zip(wanted, got, strict=True)) if a != b)
    return (
        f"{giver} has the columns of {owner} in another order, first at column {place + 1} "
        f"(where {wanted[place]!r} is expected); put them in that order."
    )


def column(table: Any, name: str) -> Array:
    """Return one named column `(records,)` as a NumPy array."""
    names = column_names(table)
    if names is None or name not in names:
        near = did_you_mean(name, names or []) or "."
        raise DataError(f"there is no feature column {name!r} to slice by{near}")
    return np.asarray(table[name].to_numpy())
