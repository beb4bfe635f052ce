"""Control: a plain function from an answer to one that says less, and Hardening: a control with its settings.

A control is no defence by itself. Each says what it hides, what it costs, what it promises, and what it does not stop.
"""

import inspect
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b, shake_256
from itertools import accumulate
from math import isfinite, nextafter
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.errors import DataError, ModelError, PlanError, did_you_mean

Floats = NDArray[np.floating[Any]]
Fields = Mapping[str, Any]

SURFACES = ("probabilities", "values", "text")
KEEPS = ("argmax", "order")
READS = ("probabilities", "order", "argmax")
KINDS = ("integer", "number", "flag", "choice", "names")
HEURISTIC = "none: heuristic"
SUM_TOLERANCE = 1e-4  # how far from 1 the sum of a row that a model gives may be; it is made 1
KEY_BYTES = (16, 64)  # the least that cannot be guessed, the most that is of use
SHAKE_BLOCK = 136  # bytes, the rate of SHAKE-256


def fits_all(_classes: int | None, **_settings: Any) -> str:
    """Say that the settings are of use, with any number of classes."""
    return ""


@dataclass(frozen=True)
class Setting:
    """One value that a control takes: its kind, bounds (inclusive), default (None: required) and meaning.

    `refusal` says why a value out of bounds is of no use. `choices` are the values of a "choice".
    """

    name: str
    kind: str
    meaning: str
    default: Any = None
    least: float | None = None
    most: float | None = None
    refusal: str = ""
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise TypeError(f"setting {self.name} is of kind {self.kind!r}; the kinds are {list(KINDS)}.")

    @property
    def bounds(self) -> str:
        """The values it takes, in words."""
        if self.choices:
            return " or ".join(repr(choice) for choice in self.choices)
        if self.kind in {"flag", "names"}:
            return "true or false" if self.kind == "flag" else "a list of names"
        least = "" if self.least is None else f" from {self.least:g}"
        most = "" if self.most is None else f" to {self.most:g}"
        return f"{'an integer' if self.kind == 'integer' else 'a number'}{least}{most}"

    def checked(self, value: Any, control: str) -> Any:
        """Return the value as plain Python; raise `PlanError` where the control cannot use it."""
        plain = _plain(self.kind, value)
        if plain is None or (self.choices and plain not in self.choices):
            raise PlanError(f"{control}: {self.name} must be {self.bounds}, got {_shown(value)}.")
        low = self.least is not None and plain < self.least
        high = self.most is not None and plain > self.most
        if low or high:
            why = self.refusal and f"; {self.refusal}"
            raise PlanError(f"{control}: {self.name} must be {self.bounds}, got {plain:g}{why}.")
        return plain


@dataclass(frozen=True)
class Control:
    """A plain function from an answer to one that says less, what it hides, costs and promises, and what gets past it.

    `harden` takes the answer: for the surface "probabilities" (records, classes), at least two classes, rows that sum
    to 1 within 1e-4; for "values" any array of numbers; for "text" a response object or one event of a stream, as plain
    dicts. Then `chance` (records, classes), uniform in [0, 1), if it needs any; then its settings, by name. `ask` does
    the same for a request's parameters ("text" only).

    `promises` states a theorem, or is "none: heuristic". `keeps` says what the hardened answer shares with the model's:
    "argmax" (the same class, by index), "order" (no class overtakes another; ties may arise). `reads` is all that the
    answer depends on, beside the query and the key. `sharper` declares, with its reason, that the top probability may
    be above the model's; only a control that reads no probabilities may. `unfit(classes, **settings)` says why the
    settings are of no use, with so many classes or (None) with any number of them, or "". `row`, where there is one,
    makes of one row, as a list, what `harden` makes of it, to the last bit: for a few, NumPy takes longer to begin.
    """

    harden: Callable[..., Any]
    surface: str
    hides: str
    costs: str
    promises: str
    does_not_stop: str
    owasp: tuple[str, ...]
    atlas: tuple[str, ...]
    keeps: tuple[str, ...] = ()
    reads: str = "probabilities"
    settings: tuple[Setting, ...] = ()
    sharper: str = ""
    cites: str = "heuristic"
    unfit: Callable[..., str] = fits_all
    ask: Callable[..., dict[str, Any]] | None = None
    row: Callable[..., list[float]] | None = None

    def __post_init__(self) -> None:
        for what, values, known in (
            ("surface", (self.surface,), SURFACES),
            ("keeps", self.keeps, KEEPS),
            ("reads", (self.reads,), READS),
        ):
            if wrong := [value for value in values if value not in known]:
                raise TypeError(f"{self.name} declares {what} {wrong[0]!r}; known are {list(known)}.")
        if self.sharper and self.reads == "probabilities":
            raise TypeError(f"{self.name} reads probabilities and may be sharper: only what reads none may.")
        if (self.ask is not None) != (self.surface == "text"):
            raise TypeError(f"{self.name} is of surface {self.surface!r}; `ask` goes with 'text', and with it alone.")
        for function in filter(None, (self.harden, self.ask, self.row)):
            takes = [name for name in list(inspect.signature(function).parameters)[1:] if name != "chance"]
            if takes != [setting.name for setting in self.settings]:
                declared = [setting.name for setting in self.settings]
                raise TypeError(f"{self.name} takes {takes} but declares {declared}.")

    @cached_property
    def name(self) -> str:
        """The name in plans: the function's, with hyphens."""
        return self.harden.__name__.replace("_", "-")

    @cached_property
    def keyed(self) -> bool:
        """Whether it needs a secret key and the coarse form of each query: whether its function takes `chance`."""
        return "chance" in inspect.signature(self.harden).parameters

    @property
    def meaning(self) -> str:
        """The first sentence of the function's docstring."""
        return self.explanation.split("\n\n")[0].replace("\n", " ")

    @property
    def explanation(self) -> str:
        """The function's docstring without its examples."""
        return (inspect.getdoc(self.harden) or "").split("\n\n>>>")[0].replace("`", "")

    def with_settings(self, *, key: bytes | None = None, **settings: Any) -> "Hardening":
        """Return the control with its settings; raise `PlanError` where one is unknown, missing or of no use.

        `key` is secret, 16 to 64 bytes, the same in every worker and replica; only a keyed control takes one.
        """
        known = [setting.name for setting in self.settings]
        for name in settings:
            if name not in known:
                takes = f"it takes {known}" if known else "it takes none"
                raise PlanError(f"{self.name} has no setting {name!r}; {takes}{did_you_mean(name, known) or '.'}")
        hardening = Hardening(self, {one.name: self._value(one, settings) for one in self.settings}, self._key(key))
        if why := hardening.unfit(None):
            raise PlanError(f"{self.name}: {why}.")
        return hardening

    def _value(self, setting: Setting, settings: Mapping[str, Any]) -> Any:
        if setting.name not in settings and setting.default is None:
            raise PlanError(f"{self.name} needs {setting.name}: {setting.meaning}.")
        return setting.checked(settings.get(setting.name, setting.default), self.name)

    def _key(self, key: bytes | None) -> bytes:
        least, most = KEY_BYTES
        if key is None and self.keyed:
            raise PlanError(
                f"{self.name} needs a secret key of {least} to {most} bytes: noise without one averages away."
            )
        if key is None:
            return b""
        if not self.keyed:
            raise PlanError(f"{self.name} takes no key.")
        if not isinstance(key, bytes) or not least <= len(key) <= most:
            size = f"{len(key)} bytes" if isinstance(key, bytes) else type(key).__name__
            raise PlanError(f"{self.name} needs a secret key of {least} to {most} bytes, got {size}.")
        return key


@dataclass(frozen=True, repr=False)
class Hardening:
    """A control with its settings: call it on answers, or, for text, `request` and `response`.

    The same answer to the same coarse query gives the same bytes, in every process, for the same settings; others draw
    chance of their own. A batch gives what its records give one by one. Nothing handed in is changed. Where an answer
    cannot be hardened, it is refused.
    """

    control: Control
    settings: Mapping[str, Any]
    key: bytes = field(default=b"", repr=False)

    @property
    def name(self) -> str:
        """The control's name."""
        return self.control.name

    @property
    def declared(self) -> dict[str, Any]:
        """The name and settings as a plan would say them; never the key."""
        return {"name": self.name, **self.settings}

    @cached_property
    def _purpose(self) -> str:
        """What the draws are for: two strengths that shared them would be two equations for one probability."""
        return json.dumps(self.declared, sort_keys=True)

    def __repr__(self) -> str:
        return f"Hardening({', '.join([repr(self.name), *(f'{name}={v!r}' for name, v in self.settings.items())])})"

    def unfit(self, classes: int | None) -> str:
        """Say why these settings are of no use with so many classes (None: not known), or "" where they are of use."""
        return self.control.unfit(classes, **self.settings)

    def __call__(self, answers: Any, queries: Sequence[bytes] | None = None) -> Floats:
        """Return the hardened answers, same shape and dtype (float32 or float64).

        Probabilities are (records, classes), or (records, 1): the probability of the second of two classes.
        `queries` are the coarse forms of the queries, one a record; a control that is not keyed ignores them.
        Raise `ModelError` where a row is no distribution or a value not finite, `DataError` where the queries do not
        fit, `PlanError` where the settings are of no use with so many classes.
        """
        if self.control.surface == "text":
            raise PlanError(f"{self.name} hardens text: use its request(parameters) and response(answer).")
        given = _floating(answers, self.name)
        if self.control.surface == "values":
            return np.asarray(self.control.harden(given.astype(np.float64), **self.settings)).astype(given.dtype)
        return self._probabilities(given, queries)

    def row(self, values: list[float]) -> list[float]:
        """Return one row of probabilities, floats, hardened as a call with it alone does; raise what that raises.

        Only controls that have a `row` do so.
        """
        if self.control.row is None:
            raise PlanError(f"{self.name} hardens arrays only: call it on one.")
        known = len(values) > 1 and all(map(isfinite, values)) and min(values) >= 0
        if not known or abs(added_up(values) - 1) > SUM_TOLERANCE:
            with np.errstate(over="ignore"):
                self([values])  # says what is wrong
            raise ModelError(f"{self.name} needs a row of probabilities.")
        if why := self.unfit(len(values)):
            raise PlanError(f"{self.name}: {why}.")
        hardened = self.control.row(values, **self.settings)
        return _row_led(hardened, values) if "argmax" in self.control.keeps else hardened

    def request(self, parameters: Fields) -> dict[str, Any]:
        """Return a request's parameters with what the control lets through; raise `DataError` where it refuses them."""
        return self._text(self.control.ask, parameters)

    def response(self, answer: Fields) -> dict[str, Any]:
        """Return a response object, or one event of a stream, with what the control lets through."""
        return self._text(self.control.harden, answer)

    def _text(self, function: Callable[..., dict[str, Any]] | None, given: Fields) -> dict[str, Any]:
        if self.control.surface != "text" or function is None:
            raise PlanError(f"{self.name} hardens {self.control.surface}, not text: call it on an array.")
        if not isinstance(given, Mapping):
            raise DataError(f"{self.name} needs an object with named fields, got {type(given).__name__}.")
        return function(given, **self.settings)

    def _probabilities(self, given: Floats, queries: Sequence[bytes] | None) -> Floats:
        column = given.ndim == 2 and given.shape[1] == 1
        rows = _distributions(np.hstack([1 - given, given]) if column else given, self.name)
        if why := self.unfit(rows.shape[1]):
            raise PlanError(f"{self.name}: {why}.")
        extra = {"chance": self._chance(queries, rows.shape)} if self.control.keyed else {}
        hardened = np.array(self.control.harden(rows.copy(), **extra, **self.settings), dtype=given.dtype)
        if "argmax" in self.control.keeps and hardened.shape == rows.shape:
            hardened = _led(hardened, rows)
        if not column:
            return hardened
        return np.where(rows[:, :1] >= rows[:, 1:2], 1 - hardened[:, :1], hardened[:, 1:2])

    def _chance(self, queries: Sequence[bytes] | None, shape: tuple[int, ...]) -> Floats:
        if queries is None:
            raise DataError(f"{self.name} needs the coarse form of each query (`unseen.controls.coarse`), got none.")
        if len(queries) != shape[0] or not all(isinstance(query, bytes) for query in queries):
            raise DataError(f"{self.name} needs one coarse form a record, as bytes: {shape[0]}, got {len(queries)}.")
        return chance(self.key, queries, shape[1], self._purpose)


def added_up(row: list[float]) -> float:
    """Return the sum of a row, one value after the other as `numpy.cumsum` adds them; `sum` is finer since Python 3.12.

    >>> added_up([0.5, 0.25, 0.25])
    1.0
    """
    return deque(accumulate(row), 1)[0]


def chance(key: bytes, queries: Sequence[bytes], classes: int, purpose: str) -> Floats:
    """Return numbers in [0, 1), (queries, classes), that nobody without the key can tell from random ones.

    The same key, query and purpose give the same numbers everywhere: SHAKE-256 of a block with the key and the purpose,
    as KMAC has it, then the query.

    >>> first, again = chance(b"k" * 16, [b"a", b"a"], 3, "an example")
    >>> bool((first == again).all())
    True
    """
    keyed = shake_256((bytes([len(key)]) + key + blake2b(purpose.encode(), digest_size=16).digest()).ljust(SHAKE_BLOCK))
    drawn = bytearray()
    for query in queries:
        one = keyed.copy()
        one.update(query)
        drawn += one.digest(8 * classes)
    whole = np.frombuffer(drawn, dtype="<u8").reshape(len(queries), classes)
    return (whole >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _led(hardened: Floats, rows: Floats) -> Floats:
    """Return the rows with the model's class alone at the top, by one unit in the last place, where others came to tie.

    Classes that tie in the model's own answer stay tied.
    """
    if not rows.size:
        return hardened
    atop = hardened == hardened.max(axis=1, keepdims=True)
    if np.count_nonzero(atop) == len(rows):  # nobody ties
        return hardened
    top = rows.argmax(axis=1)
    tied = np.flatnonzero(atop.sum(axis=1) > 1)
    came = (rows[tied] == rows[tied].max(axis=1, keepdims=True)).sum(axis=1) == 1
    lost = tied[came | (hardened[tied].argmax(axis=1) != top[tied])]
    at_peak = lost[hardened[lost, top[lost]] == hardened[lost].max(axis=1)]
    row, column = np.nonzero(rows[at_peak] == rows[at_peak].max(axis=1, keepdims=True))
    raised = at_peak[row], column
    hardened[raised] = np.nextafter(hardened[raised], hardened.dtype.type(2))
    return hardened


def _row_led(hardened: list[float], row: list[float]) -> list[float]:
    """Return what `_led` does of one row."""
    peak = max(hardened)
    if hardened.count(peak) == 1:
        return hardened
    most = max(row)
    top = row.index(most)
    lost = row.count(most) == 1 or hardened.index(peak) != top
    if not lost or hardened[top] != peak:
        return hardened
    return [nextafter(one, 2.0) if given == most else one for one, given in zip(hardened, row, strict=True)]


def _floating(answers: Any, who: str) -> Floats:
    try:
        given = np.asarray(answers)
    except ValueError:
        raise ModelError(f"{who} needs one array of numbers: give every record as many as the first.") from None
    if given.dtype not in {np.dtype(np.float32), np.dtype(np.float64)}:
        raise ModelError(f"{who} needs float32 or float64, got {given.dtype}: convert the answers first.")
    if not np.isfinite(given).all():
        wrong = int(np.count_nonzero(~np.isfinite(given)))
        raise ModelError(
            f"{who} needs finite numbers; {wrong} of {given.size} are not: the model gave no answer there."
        )
    return given


def _distributions(given: Floats, who: str) -> Floats:
    if given.ndim != 2 or given.shape[1] < 2:
        raise ModelError(
            f"{who} needs probabilities of shape (records, classes), or (records, 1) for two classes, "
            f"got {given.shape}: give one record as one row."
        )
    rows = np.ascontiguousarray(given, dtype=np.float64)
    apart = np.abs(np.cumsum(rows, axis=1)[:, -1] - 1)
    if rows.min(initial=0.0) < 0 or apart.max(initial=0.0) > SUM_TOLERANCE:
        wrong = (rows < 0).any(axis=1) | (apart > SUM_TOLERANCE)
        raise ModelError(
            f"{who} needs rows of probabilities, none negative, that sum to 1 within {SUM_TOLERANCE:g}; "
            f"{int(wrong.sum())} of {len(rows)} are not: turn scores into probabilities first."
        )
    return rows


def _plain(kind: str, value: Any) -> Any:
    if kind == "flag":
        return bool(value) if isinstance(value, bool | np.bool_) else None
    if kind == "choice":
        return value if isinstance(value, str) else None
    if kind == "names":
        listed = isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)
        return tuple(value) if listed else None
    if isinstance(value, bool):
        return None
    if kind == "integer":
        return int(value) if isinstance(value, Integral) else None
    return float(value) if isinstance(value, Real) and isfinite(value) else None


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, int | float | str) else type(value).__name__
