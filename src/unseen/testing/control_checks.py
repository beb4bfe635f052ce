"""The promises every output control makes, one function each; a broken one raises `BrokenPromise` and says which.

    from unseen.testing.control_checks import check_control
    check_control(MY_CONTROL.with_settings(decimals=2))

Needs NumPy alone. Sharper means: the top probability of a row is above that of the same row as the model gave it. It
may be above it by four units of the dtype's precision at 1, which is what sums and ties cost in floating point.
"""

import inspect
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import Any

import numpy as np

from unseen.control import Floats, Hardening
from unseen.testing.promise import BrokenPromise

ROWS = 20_000
FEW = 4_000  # rows that are hardened once more, or in float32
CLASSES = {2: 0.3, 3: 0.3, 4: 0.3, 10: 0.1}  # with their shares of the generated rows; the edges have 2 to 1,000
ANSWERS = (  # of generated text, in the three shapes that servers give
    {"choices": [{"message": {"content": "yes"}, "logprobs": {"content": [{"token": "yes", "logprob": -0.1234}]}}]},
    {"choices": [{"text": "yes", "logprobs": {"tokens": ["yes"], "token_logprobs": [-0.1234]}}], "usage": {"total": 3}},
    {"type": "delta", "delta": "yes", "logprobs": [{"token": "yes", "logprob": -0.1234, "top_logprobs": []}]},
    {"scores": [0.1, 0.9], "data": [{"embedding": [0.25, 0.5]}], "logprobs": None},
)
REQUESTS: tuple[dict[str, Any], ...] = (
    {},
    {"model": "m", "prompt": "p"},
    {"model": "m", "messages": [{"role": "user", "content": "p"}], "n": 1},
)


@dataclass(frozen=True, repr=False)
class Case:
    """Rows under one name, the coarse forms of their queries, and what a control made of them."""

    name: str
    given: Floats
    queries: list[bytes]
    hardened: Floats


Cases = list[Case]


def a_row_alone_is_the_same(hardening: Hardening, cases: Cases) -> None:
    """Where a control takes one row as a list, it gives what it gives for an array, to the last bit."""
    for case in cases:
        if hardening.control.row is None or case.given.dtype != np.float64 or case.given.shape[1] < 2:
            continue
        for given, hardened in list(zip(case.given.tolist(), case.hardened.tolist(), strict=True))[:FEW]:
            _demand(hardening.row(given) == hardened, hardening, a_row_alone_is_the_same, case.name)


def never_sharper(hardening: Hardening, cases: Cases) -> None:
    """No top probability is above the model's, unless that is declared."""
    for case in cases:
        if case.given.size and not hardening.control.sharper:
            slack = 4 * np.finfo(case.given.dtype).eps
            risen = _wide(case.hardened).max(axis=1) > _wide(case.given).max(axis=1) + slack
            _demand(not risen.any(), hardening, never_sharper, case.name)


def gives_valid_distributions(hardening: Hardening, cases: Cases) -> None:
    """Every row is a distribution: in [0, 1], its sum 1 within 1e-9 (1e-6 in float32), same shape and dtype."""
    for case in cases:
        same = case.hardened.shape == case.given.shape and case.hardened.dtype == case.given.dtype
        _demand(same, hardening, gives_valid_distributions, f"{case.name}, shape and dtype")
        wide, near = _wide(case.hardened), 1e-9 if case.given.dtype == np.float64 else 1e-6
        valid = (wide >= 0).all() and (wide <= 1).all() and (np.abs(wide.sum(axis=1) - 1) <= near).all()
        _demand(bool(valid), hardening, gives_valid_distributions, case.name)


def keeps_the_label(hardening: Hardening, cases: Cases) -> None:
    """The most likely class is the model's, ties by index, where that is declared; one column keeps its side of 1/2."""
    for case in cases:
        if case.given.size and "argmax" in hardening.control.keeps:
            kept = _wide(case.hardened).argmax(axis=1) == _wide(case.given).argmax(axis=1)
            _demand(bool(kept.all()), hardening, keeps_the_label, case.name)


def keeps_the_order(hardening: Hardening, cases: Cases) -> None:
    """No class overtakes another, ties by index, where that is declared; classes may become equal."""
    for case in cases:
        if case.given.size and "order" in hardening.control.keeps:
            order = np.argsort(-_wide(case.given), axis=1, kind="stable")
            falling = np.diff(np.take_along_axis(_wide(case.hardened), order, axis=1), axis=1) <= 0
            _demand(bool(falling.all()), hardening, keeps_the_order, case.name)


def repeats_itself(hardening: Hardening, cases: Cases) -> None:
    """The same answer to the same coarse query gives the same bytes."""
    for case in cases:
        some = slice(0, FEW)
        again = hardening(case.given[some].copy(), case.queries[some])
        _same(again, case.hardened[some], hardening, repeats_itself, case.name)


def hardens_each_record_by_itself(hardening: Hardening, cases: Cases) -> None:
    """A batch gives what its records give one by one, in any order, whatever the layout in memory."""
    for case in cases:
        if len(case.given) == 0:
            continue
        few = np.unique(np.linspace(0, len(case.given) - 1, 12).astype(int))
        singles = [hardening(case.given[[i]], [case.queries[i]]) for i in few]
        _same(np.concatenate(singles), case.hardened[few], hardening, hardens_each_record_by_itself, case.name)
        back = np.arange(min(len(case.given), FEW))[::-1]
        turned = hardening(np.asfortranarray(case.given[back]), [case.queries[i] for i in back])
        _same(turned, case.hardened[back], hardening, hardens_each_record_by_itself, f"{case.name}, reversed")


def leaves_its_input_alone(hardening: Hardening, cases: Cases) -> None:
    """No answer that is handed in is changed, by the control or by its function."""
    for case in cases:
        given = case.given[:200].copy()
        hardening(given, case.queries[:200])
        _demand(np.array_equal(given, case.given[:200]), hardening, leaves_its_input_alone, case.name)
        wide = _wide(given) if hardening.control.surface == "probabilities" else given.astype(np.float64)
        handed, extra = wide.copy(), {"chance": np.full(wide.shape, 0.5)} if hardening.control.keyed else {}
        hardening.control.harden(handed, **extra, **hardening.settings)
        _demand(np.array_equal(handed, wide), hardening, leaves_its_input_alone, case.name)


def reads_what_it_declares(hardening: Hardening, cases: Cases) -> None:
    """What reads the label or the order alone gives the same bytes for other probabilities with the same of those."""
    reads = hardening.control.reads
    for case in cases:
        given, queries = case.given[:FEW], case.queries[:FEW]
        if reads == "probabilities" or given.size == 0 or given.shape[1] < 2:
            continue
        other = _normalised(np.sqrt(given.astype(np.float64)) + 1e-3).astype(given.dtype)
        before, after = (np.argsort(-rows, axis=1, kind="stable") for rows in (given, other))
        same = (before == after).all(axis=1) if reads == "order" else before[:, 0] == after[:, 0]
        answer = hardening(other, queries)
        _same(answer[same], case.hardened[: len(given)][same], hardening, reads_what_it_declares, case.name)


def gives_numbers_in_place(hardening: Hardening, cases: Cases) -> None:
    """Every value becomes one finite value: same shape and dtype."""
    for case in cases:
        same = case.hardened.shape == case.given.shape and case.hardened.dtype == case.given.dtype
        _demand(same and bool(np.isfinite(case.hardened).all()), hardening, gives_numbers_in_place, case.name)


def treats_text_alike(hardening: Hardening, _cases: Cases) -> None:
    """The same text gives the same, hardened twice is hardened once, and nothing handed in is changed."""
    for function, given in _texts(hardening):
        kept = deepcopy(given)
        first, second = function(given), function(given)
        same = first == second and given == kept and function(first) == first
        _demand(same, hardening, treats_text_alike)


def adds_nothing_to_text(hardening: Hardening, _cases: Cases) -> None:
    """No field is in a hardened request or answer that was not in what was handed in."""
    for function, given in _texts(hardening):
        _demand(_names(function(given)) <= _names(given), hardening, adds_nothing_to_text)


PROMISES = {
    "probabilities": (
        gives_valid_distributions,
        never_sharper,
        keeps_the_label,
        keeps_the_order,
        repeats_itself,
        hardens_each_record_by_itself,
        leaves_its_input_alone,
        reads_what_it_declares,
        a_row_alone_is_the_same,
    ),
    "values": (gives_numbers_in_place, repeats_itself, hardens_each_record_by_itself, leaves_its_input_alone),
    "text": (treats_text_alike, adds_nothing_to_text),
}


def checks(surface: str) -> Iterator[tuple[str, Callable[[Hardening, Cases], None]]]:
    """Yield every promise of the controls of one surface by name, with the function that checks it."""
    for check in PROMISES[surface]:
        yield check.__name__, check


def check_control(hardening: Hardening, rows: int = ROWS) -> None:
    """Raise `BrokenPromise`, naming the first promise that a control breaks; return nothing where it keeps them all.

    `rows` are generated, near-uniform, sharp, tied and on a grid, beside the edges; numbers of classes with which the
    settings are of no use are left out.
    """
    cases = answered(hardening, rows)
    for _, check in checks(hardening.control.surface):
        check(hardening, cases)


def answered(hardening: Hardening, rows: int = ROWS) -> Cases:
    """Return every case with what the control makes of it; none for text."""
    surface = hardening.control.surface
    given = dict(_values(rows) if surface == "values" else _rows(hardening, rows) if surface == "probabilities" else ())
    return [_case(hardening, name, array) for name, array in given.items()]


def edges() -> Iterator[tuple[str, Floats]]:
    """Yield the corners of the data by name."""
    yield "no record", np.zeros((0, 4))
    yield "two classes, one column", np.array([[0.0], [0.2], [0.497], [0.5], [0.503], [0.8], [1.0]])
    for classes in (2, 3, 4, 7, 1000):
        yield f"uniform, {classes} classes", np.full((3, classes), 1 / classes)
        yield f"one-hot, {classes} classes", np.eye(classes)[:: max(1, classes // 20)]
        yield f"nearly one-hot, {classes} classes", _normalised(np.eye(classes)[:20] + 1e-300)
        almost = np.full((classes, classes), 1 / classes) + 1e-12 * np.eye(classes)
        yield f"ties but for one, {classes} classes", _normalised(almost)[:: max(1, classes // 20)]
    yield "tiny probabilities", _normalised(np.array([[1.0, 1e-200, 1e-300, 0.0], [1e-12, 1.0, 1e-13, 1e-12]]))
    yield "on the grid", np.array([[0.29, 0.57, 0.14, 0.0], [0.25, 0.25, 0.25, 0.25], [0.01, 0.01, 0.49, 0.49]])
    yield "ties that rounding makes", np.array([[0.331, 0.334, 0.335, 0.0], [0.2491, 0.2492, 0.2493, 0.2524]])
    yield "a thousand classes", generated(1000, 50)


@cache
def generated(classes: int, rows: int) -> Floats:
    """Return that many distributions, (rows, classes), read only: near-uniform, sharp, tied, and on a grid of 0.01."""
    rng = np.random.default_rng(classes)
    weight = rng.random((rows, classes)) ** rng.choice([0.02, 1.0, 8.0, 40.0], size=(rows, 1))
    tied = np.arange(rows) % 4 == 1
    weight[tied, rng.integers(classes)] = weight[tied, -1] * (1 + 2.0**-52 * (np.arange(tied.sum()) % 3))
    made = _normalised(weight + 1e-18)
    on_grid = np.arange(rows) % 4 == 3
    floors = np.floor(made[on_grid] * 100)
    floors[:, 0] += 100 - floors.sum(axis=1)
    made[on_grid] = floors / 100
    made.flags.writeable = False
    return made


@cache
def _queries(records: int) -> list[bytes]:
    return [b"%d" % place for place in range(records)]


def _rows(hardening: Hardening, rows: int) -> Iterator[tuple[str, Floats]]:
    for name, given in edges():
        if not hardening.unfit(max(given.shape[1], 2)):
            yield name, given
            yield f"{name}, in float32", given.astype(np.float32)
    fit = {classes: share for classes, share in CLASSES.items() if not hardening.unfit(classes)}
    for classes, share in fit.items():
        made = generated(classes, ceil(rows * share / sum(fit.values())))
        yield f"generated, {classes} classes", made
        yield f"generated, {classes} classes, in float32", made[:FEW].astype(np.float32)


def _values(rows: int) -> Iterator[tuple[str, Floats]]:
    rng = np.random.default_rng(0)
    yield "no value", np.zeros(0)
    yield "edges", np.array([0.0, -0.0, 0.5, -0.5, 1.5, 1e-300, -1e9, 1e9])
    yield "columns", rng.normal(size=(20, 3))
    made = rng.normal(size=rows) * 10.0 ** rng.integers(-3, 6, size=rows)
    yield "generated", made
    yield "generated, in float32", made.astype(np.float32)


def _case(hardening: Hardening, name: str, given: Floats) -> Case:
    queries = _queries(len(given))
    return Case(name, given, queries, hardening(given, queries))


def _texts(hardening: Hardening) -> Iterator[tuple[Callable[[Any], Any], dict[str, Any]]]:
    yield from ((hardening.response, deepcopy(answer)) for answer in ANSWERS)
    yield from ((hardening.request, deepcopy(request)) for request in REQUESTS)


def _names(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*(_names(inner) for inner in value.values()))
    return set().union(*(_names(inner) for inner in value)) if isinstance(value, list) else set()


def _wide(rows: Floats) -> Floats:
    """Return float64, the one column of two classes as two."""
    wide = rows.astype(np.float64)
    return np.hstack([1 - wide, wide]) if wide.ndim == 2 and wide.shape[1] == 1 else wide


def _normalised(rows: Floats) -> Floats:
    return rows / rows.sum(axis=1, keepdims=True)


def _same(found: Floats, expected: Floats, hardening: Hardening, promise: Callable[..., None], where: str) -> None:
    alike = found.shape == expected.shape and found.dtype == expected.dtype and found.tobytes() == expected.tobytes()
    _demand(alike, hardening, promise, where)


def _demand(kept: bool, hardening: Hardening, promise: Callable[..., None], where: str = "") -> None:
    if not kept:
        claim = (inspect.getdoc(promise) or "").split("\n")[0]
        raise BrokenPromise(f"{hardening.name} breaks {promise.__name__}{where and f' ({where})'}: {claim}")
