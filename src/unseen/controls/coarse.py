"""Coarse forms: nearly equal queries as the same bytes, in every process and on every platform.

Numbers become the index of their cell on a grid of `step`: floor(x / step + 1/2). The step is absolute, in the unit of
the number; where fields have different units, hand in one step for each. The edge of a cell lies between two grid
points: two queries closer than any step can still fall into different cells, and with d numbers up to 2^d cells meet
near one point. So a coarse form makes it costly, not impossible, to collect different noise for nearly one query.
A field that the model ignores changes the form all the same: leave such fields out before asking for it.

float32 and float64 of one decimal number differ (0.1 does), and share a cell unless its edge lies between them.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from math import floor, isfinite, isinf, isnan
from numbers import Integral, Real
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from unseen.errors import DataError

Step = float | Mapping[str, float] | Sequence[float]

RUN, JOINER = 30, "\u034f"
MARKS_IN_OTHER_FORMS = "\u0f73\u0f75\u0f81\uff9e\uff9f"  # letters that begin with a mark once they are taken apart
EXACT = 2.0**53  # beyond it a float names no single integer


def coarse_form(record: Any, step: Step) -> bytes:
    """Return the coarse form of one query: a number, a string, or lists and mappings of them.

    Equal numbers are equal whatever their type (True, 1 and 1.0; -0.0 and 0.0). Strings are normalised (NFKC), their
    case folded, their spaces stripped and made single. None and NaN are one and the same, and a field of a mapping that
    is None or NaN is as if it were not there. Mappings are sorted by key. `step` is one for all, or one for each key of
    the mapping, or each place of the list, that the record is. Raise `DataError` on anything else.

    >>> coarse_form({"city": " Delft", "age": 41, "wage": None}, step=10)
    b'{"age":4,"city":"delft"}'
    >>> coarse_form([0.31, -0.0], step=0.25) == coarse_form((0.29, 0), step=0.25)
    True
    """
    if isinstance(record, np.ndarray):
        record = record.tolist()
    canonical: Any
    if isinstance(step, Mapping):
        canonical = _fields(record, step)
    elif isinstance(step, Sequence):
        canonical = _places(record, step)
    else:
        canonical = _canonical(record, _checked(step))
    return msgspec.json.encode(canonical, order="deterministic")


def coarse_rows(X: NDArray[Any], step: float | Sequence[float]) -> list[bytes]:
    """Return the coarse form of every row of a numeric table (records, columns), as `coarse_form` gives it.

    `step` is one for all columns or one for each. NaN is a missing value.

    >>> coarse_rows(np.array([[0.31, 7.0], [0.29, np.nan]]), step=[0.25, 1.0])
    [b'[1,7]', b'[1,null]']
    """
    table = np.asarray(X)
    if table.ndim != 2 or table.dtype.kind not in "biuf":
        raise DataError(f"coarse_rows needs a table of numbers (records, columns), got {table.shape} {table.dtype}.")
    steps = [_checked(one) for one in (step if isinstance(step, Sequence) else [step] * table.shape[1])]
    if len(steps) != table.shape[1]:
        raise DataError(f"coarse_rows needs one step a column: {table.shape[1]}, got {len(steps)}.")
    with np.errstate(over="ignore", invalid="ignore"):
        cells = np.floor(table.astype(np.float64) / np.array(steps) + 0.5)
    odd = ~(np.abs(cells) <= EXACT)
    rows = np.where(odd, 0.0, cells).astype(np.int64).tolist()
    for row, column in np.argwhere(odd).tolist():
        rows[row][column] = _cell(float(table[row, column]), steps[column])
    return [msgspec.json.encode(row) for row in rows]


def folded(text: str) -> str:
    """Return a text in its one form: NFKC, case folded, spaces stripped and made single.

    >>> folded("  Delft   ZUID")
    'delft zuid'
    """
    safe = text if text.isascii() else _with_short_runs(text)
    return " ".join(unicodedata.normalize("NFKC", safe).casefold().split())


def _with_short_runs(text: str) -> str:
    """Return a text with a joiner after every 30 marks in a row (Unicode annex 15, stream-safe format).

    To put marks in order takes the square of the length of their run; no language has so many in a row.
    """
    parts, run, begin = [], 0, 0
    for place, letter in enumerate(text):
        run = run + 1 if unicodedata.combining(letter) or letter in MARKS_IN_OTHER_FORMS else 0
        if run == RUN:
            parts.append(text[begin : place + 1])
            run, begin = 0, place + 1
    return JOINER.join([*parts, text[begin:]])


def _canonical(value: Any, step: float) -> Any:
    if value is None:
        return None
    if isinstance(value, str):
        return folded(value)
    if isinstance(value, Mapping):
        return _fields(value, dict.fromkeys(value, step))
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_canonical(item, step) for item in value]
    if isinstance(value, Real | np.bool_):
        return _cell(_float(value), step)
    raise DataError(f"a coarse form needs numbers, strings, lists and mappings, got {type(value).__name__}.")


def _fields(record: Any, steps: Mapping[str, float]) -> dict[str, Any]:
    if not isinstance(record, Mapping) or not all(isinstance(key, str) for key in record):
        raise DataError(f"a step for each field needs a mapping with names as keys, got {type(record).__name__}.")
    numbers = [key for key, value in record.items() if not isinstance(value, str | None) and key not in steps]
    if numbers:
        raise DataError(f"a coarse form needs a step for every field with numbers; {len(numbers)} have none.")
    coarse = {key: _canonical(record[key], _checked(steps.get(key, 1.0))) for key in record}
    return {key: value for key, value in coarse.items() if value is not None}


def _places(record: Any, steps: Sequence[float]) -> list[Any]:
    if not isinstance(record, list | tuple) or len(record) != len(steps):
        size = f"{len(record)} values" if isinstance(record, list | tuple) else type(record).__name__
        raise DataError(f"a step for each place needs a list of {len(steps)} values, got {size}.")
    return [_canonical(item, _checked(step)) for item, step in zip(record, steps, strict=True)]


def _cell(number: float, step: float) -> int | bool | None:
    """Return the index of the number's cell; infinities are true and false, which no number or string gives."""
    if isnan(number):
        return None
    place = number / step
    return place > 0 if isinf(place) else floor(place + 0.5)


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if isinstance(value, Integral) and int(value) > 0 else float("-inf")


def _checked(step: Any) -> float:
    if isinstance(step, bool) or not isinstance(step, Real) or not isfinite(step) or step <= 0:
        shown = step if isinstance(step, int | float) else type(step).__name__
        raise DataError(f"a coarse form needs a step above 0, got {shown}.")
    return float(step)
