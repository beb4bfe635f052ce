"""Tables and arrays from files: Parquet, CSV (polars reads both) and NPZ; an error is one sentence without content."""

import os
from pathlib import Path

import numpy as np
import polars as pl

from unseen.errors import DataError
from unseen.signal import Array

TABLES = (".parquet", ".pq", ".csv", ".csv.gz", ".tsv")


def read_table(path: Path, what: str) -> pl.DataFrame:
    """Return the table in a Parquet or CSV file; `what` names its role in errors.

    CSV types are inferred from the whole file, so a late text value cannot break a column taken for numbers.
    """
    present(path, what)
    name = path.name.lower()
    if not name.endswith(TABLES):
        raise DataError(f"{what}: {path.name} is not a table this reads; it reads {', '.join(TABLES)}.")
    try:
        if name.endswith((".parquet", ".pq")):
            table = pl.read_parquet(path)
        else:
            separator = "\t" if name.endswith(".tsv") else ","
            table = pl.read_csv(path, infer_schema_length=None, separator=separator)
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise DataError(
            f"{what}: {path.name} could not be read as {path.suffix[1:]} ({type(error).__name__}): "
            "it is truncated or of another type."
        ) from None
    if table.height == 0:
        raise DataError(f"{what}: {path.name} has no rows.")
    return table


def read_arrays(path: Path, what: str) -> dict[str, Array]:
    """Return the arrays of an NPZ file by name; pickled objects inside are refused."""
    present(path, what)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # noqa: BLE001 - a damaged archive can raise anything; none of it is shown
        raise DataError(
            f"{what}: {path.name} could not be read as NPZ ({type(error).__name__}): "
            "it is truncated, of another type, or holds pickled objects, which are refused."
        ) from None


def present(path: Path, what: str) -> None:
    """Raise unless `path` is a file with something in it."""
    if not path.exists():
        raise DataError(f"{what}: there is no file {path}.")
    if not path.is_file():
        raise DataError(f"{what}: {path} is a folder, not a file.")
    if not os.access(path, os.R_OK):
        raise DataError(f"{what}: there is no permission to read {path.name}.")
    if path.stat().st_size == 0:
        raise DataError(f"{what}: {path.name} is empty.")
