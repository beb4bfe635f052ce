"""Copies of records with a little noise, each kind of column in its own way."""

from typing import Any

import numpy as np
import polars as pl
from scipy import sparse

from unseen.features.rows import is_pandas
from unseen.signal import Array

FEW_LEVELS = 20


def perturbed(table: Any, strength: float, rng: np.random.Generator) -> Any:
    """Return a copy of `table` with noise of `strength` in (0, 1], as the same kind of table.

    Numeric columns get normal noise of `strength` times their standard deviation (whole numbers stay whole), binary
    columns flip with probability `strength` / 2, and other columns are redrawn from their own values with probability
    `strength`. Columns are judged over the whole table, so the noise knows no membership. In sparse tables only the
    stored values are changed.
    """
    if sparse.issparse(table):
        return _perturbed_sparse(table.tocsr(copy=True), strength, rng)
    if isinstance(table, pl.DataFrame):
        return table.with_columns(_perturbed_series(table[name], strength, rng) for name in table.columns)
    if is_pandas(table):
        return _perturbed_pandas(table, strength, rng)
    array = np.asarray(table)
    flat = array.reshape(array.shape[0], -1)
    noisy = np.column_stack([_noisy(flat[:, i], strength, rng) for i in range(flat.shape[1])])
    return noisy.astype(array.dtype).reshape(array.shape)


def _perturbed_series(series: pl.Series, strength: float, rng: np.random.Generator) -> pl.Series:
    if series.dtype.is_numeric() and series.null_count() == 0:
        return pl.Series(series.name, _noisy(series.to_numpy(), strength, rng), dtype=series.dtype, strict=False)
    if series.dtype.is_numeric():
        noisy = pl.Series(series.name, _noisy(series.cast(pl.Float64).to_numpy(), strength, rng))
        return noisy.fill_nan(None).cast(series.dtype, strict=False)
    if series.dtype == pl.Boolean and series.null_count() == 0:
        return pl.Series(series.name, _noisy(series.to_numpy(), strength, rng))
    chosen = pl.Series(rng.random(series.len()) < strength)
    drawn = series.gather(rng.integers(0, series.len(), series.len()).tolist())
    return drawn.zip_with(chosen, series).alias(series.name)


def _perturbed_pandas(table: Any, strength: float, rng: np.random.Generator) -> Any:
    copy = table.copy()
    for name in table.columns:
        series = table[name]
        copy[name] = type(series)(
            _noisy(np.asarray(series), strength, rng), index=series.index, name=series.name
        ).astype(series.dtype)
    return copy


def _perturbed_sparse(matrix: Any, strength: float, rng: np.random.Generator) -> Any:
    if matrix.nnz == 0:
        return matrix
    if np.unique(matrix.data).size <= 2:
        matrix.data = np.where(rng.random(matrix.nnz) < strength / 2, 0, matrix.data).astype(matrix.dtype)
    else:
        matrix.data = (matrix.data + strength * matrix.data.std() * rng.normal(size=matrix.nnz)).astype(matrix.dtype)
    return matrix


def _noisy(values: Array, strength: float, rng: np.random.Generator) -> Array:
    if values.dtype.kind == "b":
        return values ^ (rng.random(values.size) < strength / 2)
    if values.dtype.kind not in "iuf":
        chosen = rng.random(values.size) < strength
        return np.where(chosen, values[rng.integers(0, values.size, values.size)], values)
    levels = np.unique(values[~np.isnan(values)] if values.dtype.kind == "f" else values)
    if levels.size == 0:
        return values
    if levels.size == 2:
        other = levels.sum() - values
        return np.where(rng.random(values.size) < strength / 2, other, values).astype(values.dtype)
    moved = values + strength * np.nanstd(values.astype(np.float64)) * rng.normal(size=values.size)
    whole = values.dtype.kind in "iu" or bool(np.all(levels == np.round(levels)))
    if whole and levels.size <= FEW_LEVELS:
        return _nearest(moved, levels).astype(values.dtype)
    return _within(np.round(moved) if whole else moved, levels).astype(values.dtype)


def _nearest(moved: Array, levels: Array) -> Array:
    """Move each value to the nearest level that the column has: codes that nobody has, a strict encoder refuses."""
    place = np.searchsorted((levels[1:] + levels[:-1]) / 2, np.nan_to_num(moved))
    return np.where(np.isnan(moved), moved, levels[place])


def _within(moved: Array, levels: Array) -> Array:
    """Keep noise inside the column's own range, where the model has been."""
    return np.clip(moved, levels.min(), levels.max())
