"""Records: features, labels and identifiers of some people or things; never printed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unseen.errors import DataError
from unseen.features.rows import column, column_names, concatenate, count_rows, is_missing, take_rows
from unseen.signal import Array, Bools, Ints


@dataclass(frozen=True)
class Records:
    """`features` (a NumPy array, SciPy sparse matrix, pandas or polars frame) with `labels (records,)`.

    `ids (records,)` name the records and `groups (records,)` the person that each belongs to; both may be missing.
    `columns` holds values `(records,)` to slice by that are not features, by name.
    """

    features: Any = field(repr=False)
    labels: Array = field(repr=False)
    ids: Array | None = field(default=None, repr=False)
    groups: Array | None = field(default=None, repr=False)
    columns: Mapping[str, Array] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        rows = count_rows(self.features)
        for name in ("labels", "ids", "groups"):
            if (given := getattr(self, name)) is not None:
                values = named_groups(given) if name == "groups" else np.asarray(given)
                if values.shape != (rows,):
                    raise DataError(f"{name} must be one a record: {rows} records, {name} of shape {values.shape}.")
                object.__setattr__(self, name, values)  # the one place where a frozen record tidies what it was given
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
        columns = {name: values[index] for name, values in self.columns.items()}
        return Records(take_rows(self.features, index), self.labels[index], ids, groups, columns)

    def has(self, name: str) -> bool:
        """Say whether there is a column of that name, to slice by or a feature."""
        return name in self.columns or name in (column_names(self.features) or [])

    def column(self, name: str) -> Array:
        """Return the values to slice by, `(records,)`: of `columns`, or of the features."""
        return self.columns[name] if name in self.columns else column(self.features, name)


def joined(parts: Sequence[Records]) -> Records:
    """Return the records of several tables as one; ids and groups only where every table has them."""
    features = concatenate([part.features for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    ids = [part.ids for part in parts if part.ids is not None]
    groups = [part.groups for part in parts if part.groups is not None]
    return Records(
        features,
        labels,
        np.concatenate(ids) if len(ids) == len(parts) else None,
        np.concatenate(groups) if len(groups) == len(parts) else None,
    )


def named_groups(given: Any) -> Array:
    """Return the group of each record as text, `(records,)`; a missing one is refused."""
    groups = np.asarray(given)
    missing = np.array([is_missing(group) for group in groups.tolist()], dtype=bool)
    if missing.any():
        raise DataError(f"{int(missing.sum())} records have no group: each record belongs to a person.")
    return groups.astype(str)


def as_records(given: "Records | Sequence[Any]", name: str) -> Records:
    """Return `given` as `Records`: itself, or a pair (features, labels)."""
    if isinstance(given, Records):
        return given
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise DataError(f"{name} must be a pair (features, labels) or unseen.Records, got {type(given).__name__}.")
    features, labels = given
    return Records(features, np.asarray(labels).reshape(-1))
