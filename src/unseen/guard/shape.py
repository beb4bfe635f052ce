"""Shape of a record: its coarse form, its keyed fingerprint, and its place among others as a vector.

Numbers are taken as a float32 holds them. Most models read no finer, and one that does not tell two numbers apart must
not be asked twice for one record: by a finer form every last digit would buy fresh noise and a fresh budget.
"""

import zlib
from array import array
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from math import floor, inf
from typing import Any

import numpy as np

from unseen.control import Floats
from unseen.controls.coarse import coarse_form, coarse_rows, folded
from unseen.errors import DataError
from unseen.guard.fitting import refuse_uneven
from unseen.guard.policy import Route
from unseen.guard.refusal import bad
from unseen.guard.wire import encode

DIGITS = 12  # bytes of a fingerprint: a chance repeat among a million records of one tenant has odds of 1 in 10^17
NUMBERS = {int, float, bool}
SINGLE = "f"  # an array of float32
FEW = 8  # rows: below it NumPy takes longer to begin than Python takes to end
TEXTS = 997  # how many places a text may take as one feature: far apart, and the same for the same text


def coarse_forms(rows: Sequence[Any], route: Route) -> list[bytes]:
    """Return the coarse form of each record: numbers on the route's grid, texts folded. Raises `Refused`.

    A text that is a number is that number, unless the records are texts to begin with: a model may read it as one.
    """
    scales = route.scales
    try:
        first = rows[0]
        if isinstance(first, list) and set(map(type, first)) <= NUMBERS and first:
            fitting = len(scales) == len(first)
            steps = [route.step * scale for scale in scales] if fitting else [route.step] * len(first)
            return _plain_forms(rows, steps)
        read = rows if route.protocol == "openai" else [_read(row) for row in rows]
        if scales and isinstance(first, Mapping) and len(scales) == len(first):
            return [coarse_form(row, _steps_by_name(row, route)) for row in read]
        if scales and isinstance(first, list) and len(scales) == len(first):
            return [coarse_form(row, [route.step * scale for scale in scales]) for row in read]
        return [coarse_form(row, route.step) for row in read]
    except (DataError, ValueError, TypeError, RecursionError):
        raise bad("shape", "A record must be made of numbers, texts, truth values, arrays and objects.") from None


def _steps_by_name(row: Mapping[str, Any], route: Route) -> dict[str, float]:
    """Return the step of each field: scales are in the order of the names, as those of `vectors` are."""
    return {name: route.step * scale for name, scale in zip(sorted(row), route.scales, strict=True)}


def _read(value: Any) -> Any:
    """Return a record with float32 numbers, those written as texts too: "1.230", " 1.23" and 1.23 are one."""
    if isinstance(value, str):
        try:
            return _single(float(value))
        except ValueError:
            return value
    if isinstance(value, int | float):
        return _single(value)
    if isinstance(value, list):
        return [_read(inner) for inner in value]
    return {name: _read(inner) for name, inner in value.items()} if isinstance(value, Mapping) else value


def _single(number: float) -> float:
    """Return a number as float32 has it; what is beyond that is infinite, in every way to a form."""
    try:
        return array(SINGLE, (number,))[0]
    except OverflowError:  # a whole number beyond any float
        return inf if number > 0 else -inf


def _plain_forms(rows: Sequence[Any], steps: list[float]) -> list[bytes]:
    """Return what `coarse_form` does with `_read`, for rows of numbers: few without NumPy, many with it."""
    try:
        if len(rows) > FEW:
            return _many_forms(rows, steps)
        return [
            encode([floor(value / step + 0.5) for value, step in zip(array(SINGLE, row), steps, strict=True)])
            for row in rows
        ]
    except (TypeError, OverflowError, ValueError):  # no plain table of finite numbers: one by one
        return [coarse_form(_read(row), steps) for row in rows]


def _many_forms(rows: Sequence[Any], steps: list[float]) -> list[bytes]:
    with np.errstate(over="ignore"):
        return coarse_rows(np.array(rows, dtype=np.float64).astype(np.float32), steps)


def fingerprint(key: bytes, form: bytes) -> bytes:
    """Return what stands for a record in the log: the same for nearly the same record, nothing without the key."""
    return blake2b(form, key=key, digest_size=DIGITS).digest()


def vectors(rows: Sequence[Any], route: Route) -> Floats | None:
    """Return the records as points, `(records, features)`, in units of the route's scales.

    None for what is said to a language model, and for records that are one text: their place is their fingerprint.
    Raises `Refused` where records are not all alike.
    """
    if route.protocol == "openai":
        return None
    refuse_uneven(rows)
    if not rows or isinstance(rows[0], str):
        return None
    try:
        with np.errstate(over="ignore"):  # as far as can be told from here, beyond float32 is all one place
            flat = np.array([_flat(row) for row in rows], dtype=np.float32)
    except (TypeError, ValueError, RecursionError):
        return None
    if flat.ndim != 2 or not flat.shape[1]:
        return None
    if len(route.scales) == flat.shape[1]:
        flat /= np.array(route.scales, dtype=np.float32)
    return np.nan_to_num(flat, nan=0.0, posinf=1e30, neginf=-1e30)


def _flat(row: Any) -> list[float]:
    if isinstance(row, Mapping):
        row = [row[name] for name in sorted(row)]
    if isinstance(row, list):
        return [number for value in row for number in _flat(value)]
    if isinstance(row, str):
        return [_place(row)]
    try:
        return [0.0 if row is None else float(row)]
    except OverflowError:
        return [inf if row > 0 else -inf]


def _place(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float(zlib.crc32(folded(text).encode()) % TEXTS)
