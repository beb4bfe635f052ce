"""Sensitive columns: those declared, and those that look so by their names or their values; no value is ever told."""

from collections.abc import Sequence
from typing import Any

from scipy import sparse

from unseen.errors import DataError, did_you_mean
from unseen.features.identifiers import kind_of_values
from unseen.features.names import kind_of_name
from unseen.features.rows import column_names, table_columns
from unseen.report import DECLARED, SensitiveColumn

MOST_UNNAMED = 500  # columns of a table without names; above that they are pixels or the like


def suggest(table: Any, declared: Sequence[str] = ()) -> list[SensitiveColumn]:
    """Return the columns of `table` that are sensitive, in its order: as declared, by their values, by their names.

    `kind` is "identifier", "health", "financial", "biometric" or "personal", and "declared" where only the owner knows.
    Columns without names are numbered from 1. What is not listed may be sensitive all the same. With no table (None),
    the declared columns alone. Raises `DataError` where a declared column is not there.
    """
    if table is None:
        return [SensitiveColumn(name, kind_of_name(name) or DECLARED, DECLARED) for name in declared]
    check_declared(table, declared)
    names = column_names(table)
    if sparse.issparse(table) or (names is None and table[:1].size > MOST_UNNAMED):
        return []
    columns, found = table_columns(table), list[SensitiveColumn]()
    for place, values in enumerate(columns):
        name = names[place] if names else f"column {place + 1}"
        by_values, by_name = kind_of_values(values), kind_of_name(name) if names else None
        kind, why = (by_values, "values") if by_values else (by_name, "name")
        if name in declared:
            found.append(SensitiveColumn(name, kind or DECLARED, DECLARED))
        elif kind:
            found.append(SensitiveColumn(name, kind, why))
    return found


def check_declared(table: Any, declared: Sequence[str]) -> None:
    """Raise `DataError` unless every declared column is a feature column of `table`."""
    names = column_names(table)
    for name in declared:
        if names is None:
            raise DataError(f"context.sensitive names {name!r}, and the features have no column names.")
        if name not in names:
            near = did_you_mean(name, names) or "; name feature columns."
            raise DataError(f"context.sensitive names {name!r}, which is no feature column{near}")
