"""Records: features, labels and identifiers of some people or things; never printed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unseen.errors import DataError
from unseen.features.rows import count_rows, take_rows
from unseen.signal import Array, Bools, Ints


@dataclass(frozen=True)
class Records:
    """`features` (a NumPy array, SciPy sparse matrix, pandas or polars frame) with `labels (records,)`.

    `ids (records,)` name the records and `groups (records,)` the person that each belongs to; both may be missing.
    """

    features: Any = field(repr=False)
    labels: Array = field(repr=False)
    ids: Array | None = field(default=None, repr=False)
    groups: Array | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        rows = count_rows(self.features)
        for name in ("labels", "ids", "groups"):
            column = getattr(self, name)
            if column is not None and len(column) != rows:
                raise DataError(f"{name} must be one a record: {rows} records, {len(column)} {name}.")
        if rows == 0:
            raise DataError("a table of records is empty.")

    def __len__(self) -> int:
        return count_rows(self.features)

    def __repr__(self) -> str:
        return f"Records({len(self)} records, ids {self.ids is not None}, groups {self.groups is not None})"

    def take(self, rows: Ints | Bools) -> "Records":
        """Return the records at `rows`, an index or a mask."""
        index: Ints = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows.astype(np.intp)
        ids = None if self.ids is None else self.ids[index]
        groups = None if self.groups is None else self.groups[index]
        return Records(take_rows(self.features, index), self.labels[index], ids, groups)


def as_records(given: "Records | Sequence[Any]", name: str) -> Records:
    """Return `given` as `Records`: itself, or a pair (features, labels)."""
    if isinstance(given, Records):
        return given
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise DataError(f"{name} must be a pair (features, labels) or unseen.Records, got {type(given).__name__}.")
    features, labels = given
    return Records(features, np.asarray(labels).reshape(-1))
