"""Answering: the numbers of an answer, taken through the controls of whoever asked, and padded."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from unseen.control import SUM_TOLERANCE, Control, Floats, Hardening
from unseen.errors import UnseenError
from unseen.guard.policy import Kind, Route
from unseen.guard.refusal import Refused, upstream_failed

NUMBERS = {int, float, list}
NUMBER = re.compile(  # written as a text; in time that grows as its length does
    r"\s*([-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)(?:\s*%)?\s*"
)
FRACTION = re.compile(  # anywhere in a text, in the digits of any script or in hexadecimal
    r"[.,\u066b]\d|\d\s*[%\u066a]|\d[eE][-+]?\d|0[xX][0-9a-fA-F]*[.pP]"
)
FEW = 8  # rows: below it NumPy takes longer to begin than Python takes to end
KEPT = 256  # classes: of more, a row is made anew, since one for each of them would fill the memory
BLOCK = 128  # bytes: the length of an answer is a multiple of it, so that it tells no digit of a number


def padded(body: bytes) -> bytes:
    """Return a JSON body with spaces after it, up to the next multiple of 128 bytes: no reader of JSON minds.

    >>> len(padded(b'{"p": 0.5}')), len(padded(b'{"p": 0.25}'))
    (128, 128)
    """
    return body + b" " * (-len(body) % BLOCK)


def unreadable() -> Refused:
    """Return what a client is told where an answer is none that the policy describes."""
    return upstream_failed("answer", "The model's answer was not one that the policy describes; it was withheld.")


class Controls:
    """The controls of one tier, sorted once by what they are for; `marking` is one that reads the label alone.

    `rows` are those of probabilities, where each takes one row; of controls that need an array it has none.
    """

    __slots__ = ("all", "arrays", "marking", "names", "rows", "texts")

    def __init__(self, controls: Sequence[Hardening]) -> None:
        self.all = tuple(controls)
        self.names = tuple(control.name for control in controls)
        self.arrays = [control for control in controls if control.control.surface != "text"]
        self.texts = [control for control in controls if control.control.surface == "text"]
        one = self.arrays[0] if len(self.arrays) == 1 else None
        plain = one is not None and one.control.reads == "argmax" and not one.control.keyed and not one.settings
        self.marking = one if plain else None
        probabilities = [control for control in self.arrays if control.control.surface == "probabilities"]
        self.rows = probabilities if all(control.control.row for control in probabilities) else []


NO_CONTROLS = Controls(())


class Answering:
    """The controls of one request, with the coarse forms of its records (`queries`).

    It counts in `dropped` what was left out; `strict` says whether numbers that nobody declared are.
    """

    __slots__ = ("_controls", "_queries", "dropped", "strict", "texts")

    def __init__(self, controls: Controls, queries: Sequence[bytes], *, strict: bool) -> None:
        self._controls = controls
        self.texts = controls.texts
        self._queries = queries
        self.strict = strict
        self.dropped = 0

    def rows(
        self, kind: Kind, values: Any, records: int, route: Route | None = None, *, declared: bool = False
    ) -> list[Any]:
        """Return one answer a record, hardened: `values` is a list of labels or numbers, or of lists of numbers.

        `declared` says that the policy names these by name; `route` how many values, and which labels, there may be.
        """
        if not isinstance(values, list) or len(values) != records:
            raise unreadable()
        if kind == "labels":
            classes = None if route is None else route.classes
            return [_label(value, classes, declared=declared) for value in values]
        marking = self._controls.marking
        if kind == "probabilities" and marking is not None and records <= FEW and _several(values[0]):
            return _even([marked(marking, row) for row in values])
        if kind == "probabilities" and self._controls.rows and records <= FEW and _several(values[0]):
            return _even([_row(self._controls.rows, row) for row in values])
        table = _array(values)
        if kind == "values" and route is not None and table.size != records * route.width:
            raise unreadable()
        return self.table(kind, table).tolist()

    def table(self, kind: Kind, table: Floats) -> Floats:
        """Return numbers `(records,)` or `(records, columns)`, hardened."""
        narrow = kind == "probabilities" and table.ndim == 1
        hardened = table[:, None] if narrow else table
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # what is beyond floats is withheld below
                for control in self._controls.arrays:
                    if control.control.surface == kind:
                        hardened = control(hardened, self._queries)
        except UnseenError:  # its message counts what was wrong with the model's answer, which is not for clients
            raise unreadable() from None
        if not np.isfinite(hardened).all():
            raise unreadable()
        return hardened[:, 0] if narrow else hardened


def marked(control: Hardening, row: list[float]) -> list[float]:
    """Return what a control that reads the label alone makes of one row; it is asked once for each label.

    >>> from unseen.controls.label_only import LABEL_ONLY
    >>> marked(LABEL_ONLY.with_settings(), [0.2, 0.5, 0.3])
    [0.0, 1.0, 0.0]
    """
    if type(row) is not list or len(row) < 2 or not set(map(type, row)) <= {int, float}:
        raise unreadable()
    top = max(row)
    if min(row) < 0 or top > 2 or not abs(sum(row) - 1) <= SUM_TOLERANCE:
        raise unreadable()
    marks = _kept_marks if len(row) <= KEPT else _marks
    return marks(control.control, len(row), row.index(top))


def _row(controls: Sequence[Hardening], row: Any) -> list[float]:
    """Return one row of probabilities, hardened by controls that take a row."""
    if type(row) is not list or not set(map(type, row)) <= {int, float}:
        raise unreadable()
    try:
        values = [float(value) for value in row]
        for control in controls:
            values = control.row(values)
    except (UnseenError, OverflowError):  # see `Answering.table`
        raise unreadable() from None
    return values


def _several(row: Any) -> bool:
    """Whether it has a number for each class; one alone is the probability of the second of two."""
    return type(row) is list and len(row) > 1


def _even(rows: list[Any]) -> list[Any]:
    if len(set(map(len, rows))) > 1:
        raise unreadable()
    return rows


def _marks(control: Control, classes: int, label: int) -> list[float]:
    example = np.zeros((1, classes))
    example[0, label] = 1.0
    return control.with_settings()(example)[0].tolist()


_kept_marks = lru_cache(maxsize=10_000)(_marks)


def _label(value: Any, classes: int | None = None, *, declared: bool = False) -> Any:
    """Return a class label: a text, a truth value or a whole number, and nothing with a fraction in it.

    A text with a fraction in it is one only where the policy declares it; a whole number names one of the classes.
    """
    one = value[0] if isinstance(value, list) and len(value) == 1 else value
    if isinstance(one, str):
        if not declared and FRACTION.search(one):
            raise unreadable()
        number = None if classes is None else NUMBER.fullmatch(one)
        one = float(number[1]) if number is not None and not FRACTION.search(one) else None
    if one is None or isinstance(one, bool):
        return value
    whole = isinstance(one, int) or (isinstance(one, float) and one.is_integer())
    if whole and (classes is None or 0 <= one < classes):
        return value
    raise unreadable()


def _array(values: list[Any]) -> Floats:
    if not set(map(type, values)) <= NUMBERS:
        raise unreadable()
    try:
        table = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise unreadable() from None
    if table.ndim not in {1, 2}:
        raise unreadable()
    return table
