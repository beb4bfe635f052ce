"""Data that ships with the package: the Adult census table (UCI, CC BY 4.0; see ADULT-LICENSE.md)."""

from importlib.resources import files

import polars as pl

LABEL = "income-per-year"


def adult() -> pl.DataFrame:
    """Return the Adult table, 48,842 records of 14 features and the label `income-per-year`, in its original order."""
    with (files("unseen.data") / "adult.parquet").open("rb") as file:
        return pl.read_parquet(file.read())
