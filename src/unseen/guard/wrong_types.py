"""Wrong types: what a table of the policy should hold and does not, in a sentence, with its place in the file."""

import math
import re
import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from unseen.errors import did_you_mean

WANTED = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
GOT = {str: "a text", bool: "true or false", int: "a whole number", float: "a number", dict: "a table", list: "a list"}
EXAMPLES = {  # by the last name of a place, for those that are mostly mistaken
    "controls": 'controls = [{ name = "rounding", decimals = 2 }]',
    "budget": "budget = { per_day = 1000 }",
    "detectors": "volume = {}",
    "routes": "a [[routes]] table",
    "exports": 'exports = [{ to = "file", path = "guard.jsonl" }]',
    "delay_s": "delay_s = [600, 7200]",
    "ladder": 'ladder = ["log", "alert"]',
}
MOST_DEPTH = 16  # of tables and lists in each other
NO_TEXT = re.compile("[\0\ud800-\udfff]")  # the end of a name in C, and halves of characters
MOST = 2**63  # a whole number of TOML is below it


def wrong_value(value: Any, place: str = "", depth: int = 0) -> str:
    """Return a sentence about the first thing in `value` that no key may hold, or "" where there is none.

    >>> wrong_value({"actions": {"delay_s": [600, float("inf")]}})
    'actions.delay_s 2 must be a finite number, got inf.'
    """
    if depth > MOST_DEPTH:
        return f"{place} is nested too deeply: {MOST_DEPTH} tables or lists in each other at most."
    if isinstance(value, float) and not math.isfinite(value):
        return f"{place} must be a finite number, got {value}."
    if isinstance(value, int) and not -MOST <= value < MOST:
        return f"{place} must be a number of 64 bits, got a longer one."
    if isinstance(value, str) and (found := NO_TEXT.search(value)):
        return f"{place} has a character of code {ord(found[0])}, which no name has."
    inner: Iterator[tuple[Any, str]] = iter(())
    if isinstance(value, dict):
        inner = ((one, f"{place}.{name}".lstrip(".")) for name, one in value.items())
    elif isinstance(value, list | tuple):
        inner = ((one, f"{place} {number}".lstrip()) for number, one in enumerate(value, 1))
    return next((said for one, where in inner if (said := wrong_value(one, where, depth + 1))), "")


def wrong_type(value: Any, wanted: Any, place: str = "") -> str:
    """Return a sentence about the first thing in `value` that is not as `wanted`, or "" where all is.

    >>> wrong_type({"mode": "shaddow"}, dict[str, Literal["enforce", "shadow"]], "guard")
    "guard.mode must be 'enforce' or 'shadow', got 'shaddow'; did you mean 'shadow'?"
    >>> wrong_type({"a": {"controls": ["rounding"]}}, dict[str, dict[str, tuple[dict[str, Any], ...]]], "tiers")
    'tiers.a.controls 1 must be a table, got a text: write controls = [{ name = "rounding", decimals = 2 }].'
    """
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError:
        pass
    else:
        return ""
    wanted = next((kind for kind in _choices(wanted) if kind is not type(None)), wanted)
    for inner, kind, where in _parts(value, wanted, place):
        if said := wrong_type(inner, kind, where):
            return said
    return _said(value, wanted, place)


def _choices(wanted: Any) -> tuple[Any, ...]:
    return get_args(wanted) if get_origin(wanted) in {Union, types.UnionType} else (wanted,)


def _parts(value: Any, wanted: Any, place: str) -> Iterator[tuple[Any, Any, str]]:
    """Yield what stands in a table or a list, with what it should be and its place."""
    inner = get_args(wanted)
    if isinstance(value, dict) and _is_struct(wanted):
        for field in msgspec.structs.fields(wanted):
            if field.encode_name in value:
                yield value[field.encode_name], field.type, f"{place}.{field.encode_name}".lstrip(".")
    elif isinstance(value, dict) and get_origin(wanted) is dict:
        for name, one in value.items():
            yield one, inner[1], f"{place}.{name}".lstrip(".")
    elif isinstance(value, list) and get_origin(wanted) is tuple:
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        for number, (one, kind) in enumerate(zip(value, kinds, strict=False), 1):
            yield one, kind, f"{place} {number}"


def _said(value: Any, wanted: Any, place: str) -> str:
    """Say what is wrong with a value whose parts, if it has any, are right."""
    name = place or "the policy"
    if get_origin(wanted) is Literal:
        known = get_args(wanted)
        got = repr(value) if isinstance(value, str) else GOT.get(type(value), "something else")
        meant = did_you_mean(value, known) if isinstance(value, str) else ""
        return f"{name} must be {' or '.join(map(repr, known))}, got {got}{meant or '.'}"
    if isinstance(value, dict) and _is_struct(wanted):
        fields = [field.encode_name for field in msgspec.structs.fields(wanted)]
        if unknown := [key for key in value if key not in fields]:
            where = f"[{place}]" if place else name
            return f"{where} has an unknown key {unknown[0]!r}{did_you_mean(unknown[0], fields) or '.'}"
        missing = [f.encode_name for f in msgspec.structs.fields(wanted) if f.required and f.encode_name not in value]
        return f"{name} needs {' and '.join(missing)}."
    example = EXAMPLES.get(place.rpartition(".")[2].partition(" ")[0]) or EXAMPLES.get(place.partition(".")[0])
    hint = f": write {example}." if example and (_is_table(wanted) or get_origin(wanted) is tuple) else "."
    some = isinstance(value, list) and get_origin(wanted) is tuple
    got = f"{len(value)} in it" if some else GOT.get(type(value), "something else")
    return f"{name} must be {_wanted(wanted)}, got {got}{hint}"


def _wanted(wanted: Any) -> str:
    if get_origin(wanted) is tuple:
        kinds = get_args(wanted)
        return "a list" if kinds[-1] is Ellipsis else f"a list of {len(kinds)}"
    return "a table" if _is_table(wanted) else WANTED.get(wanted, "something else")


def _is_table(wanted: Any) -> bool:
    return get_origin(wanted) is dict or _is_struct(wanted)


def _is_struct(wanted: Any) -> bool:
    return isinstance(wanted, type) and issubclass(wanted, msgspec.Struct)
