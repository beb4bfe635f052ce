"""A table as rows of plain values, which JSON can hold."""

import math
from dataclasses import dataclass, field
from typing import Any

import msgspec

from unseen.errors import DataError
from unseen.features.rows import column_names, table_columns
from unseen.signal import Array


@dataclass(frozen=True)
class Rows:
    """Records as lists of plain values, one a column; `names` of the columns where the table has them."""

    names: tuple[str, ...] | None
    records: list[list[Any]] = field(repr=False)

    def __len__(self) -> int:
        return len(self.records)

    def some(self, index: list[int]) -> "Rows":
        """Return the rows at `index`."""
        return Rows(self.names, [self.records[i] for i in index])

    def column(self, place: int) -> list[Any]:
        """Return one column."""
        return [row[place] for row in self.records]

    def objects(self) -> list[dict[str, Any]] | list[list[Any]]:
        """Return each row by its columns' names; a list where they have none."""
        if self.names is None:
            return self.records
        return [dict(zip(self.names, row, strict=True)) for row in self.records]

    def contents(self) -> list[bytes]:
        """Return each row as bytes that no other row has: as it is sent."""
        return [msgspec.json.encode(row) for row in self.records]


def rows_of(table: Any) -> Rows:
    """Return a dense table as rows; raises `DataError` where a value is infinite, which JSON has no word for.

    >>> import numpy as np
    >>> rows_of(np.array([[1.5, 2.0]])).records
    [[1.5, 2.0]]
    """
    names = column_names(table)
    columns = [_plain(column) for column in table_columns(table)]
    endless = sum(isinstance(value, float) and math.isinf(value) for column in columns for value in column)
    if endless:
        raise DataError(
            f"{endless} of the tables' values {'is' if endless == 1 else 'are'} infinite, which JSON cannot hold: clip "
            "them, or leave them empty."
        )
    values = [list(row) for row in zip(*columns, strict=True)]
    return Rows(None if names is None else tuple(names), values)


def _plain(column: Array) -> list[Any]:
    return [None if value != value else value for value in column.tolist()]  # noqa: PLR0124 - NaN differs from itself
