"""Fitting: the rows of a question, held to what the policy says a record is; whatever else is there is refused.

A record that may be written in several ways is several records to a budget, and its noise is drawn as often.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from unseen.guard.policy import Route
from unseen.guard.refusal import Refused, bad
from unseen.guard.words import number_of

SCALARS = {int, float, bool, str, type(None)}


def fitted(rows: Sequence[Any], route: Route) -> Sequence[Any]:
    """Return the rows in the order of the route's `features`, and flat where it has a `shape`. Raises `Refused`.

    >>> fitted([{"age": 41, "wage": 7}, [42, 8]], Route(protocol="mlflow", features=("wage", "age")))
    [[7, 41], [42, 8]]
    """
    shape, names = route.shape, frozenset(route.features)
    if shape:
        return [_evenly(_tensor(row, route, names), shape) for row in rows]
    count = len(route.features) or len(route.scales)
    return [_flat(row, route, names, count) for row in rows]


def _flat(row: Any, route: Route, names: frozenset[str], count: int) -> Any:
    """Return one record of numbers, texts and truth values, which holds nothing nested."""
    if isinstance(row, Mapping):
        values: Sequence[Any] = _in_order(row, route, names) if names else list(row.values())
    else:
        values = row if isinstance(row, list) else [row]
    if not set(map(type, values)) <= SCALARS:
        raise bad("shape", "A record holds numbers, texts and truth values, and nothing nested.")
    if count and len(values) != count:
        raise miscounted(count, len(values))
    return values if names or isinstance(row, list) else row


def _in_order(row: Mapping[str, Any], route: Route, names: frozenset[str]) -> list[Any]:
    if row.keys() != names:
        raise bad("field", "A record has the fields that the policy names, and no others.")
    return [row[name] for name in route.features]


def _tensor(row: Any, route: Route, names: frozenset[str]) -> Any:
    """Return what has the shape of a record: the row, or its only field where the policy names one."""
    if not isinstance(row, Mapping):
        return row
    if len(names) != 1:
        raise bad("shape", "A record is an array of the shape that the policy says.")
    return _in_order(row, route, names)[0]


def _evenly(value: Any, shape: Sequence[int]) -> list[Any]:
    """Return what an array of exactly this shape holds."""
    level = [value]
    for size in shape:
        if not all(isinstance(one, list) and len(one) == size for one in level):
            raise _misshapen(shape)
        level = [inner for one in level for inner in one]
    if not set(map(type, level)) <= SCALARS:
        raise _misshapen(shape)
    return level


def miscounted(wanted: int, found: int) -> Refused:
    """Return the refusal of a record with another number of values than the policy says."""
    return bad("shape", f"A record must have {number_of(wanted, 'value')}; this one has {found}.")


def _misshapen(shape: Sequence[int]) -> Refused:
    return bad("shape", f"A record is an array of shape {list(shape)}.")


def refuse_uneven(rows: Sequence[Any]) -> None:
    """Refuse rows that have no place beside each other: by fingerprint alone, every variation is a new record."""
    if len(rows) > 1 and len(set(map(_kind, rows))) > 1:
        raise bad("shape", "Every record of a request must have the same fields, or as many values.")


def _kind(row: Any) -> object:
    if isinstance(row, Mapping):
        return frozenset(row)
    return len(row) if isinstance(row, list) else isinstance(row, str)
