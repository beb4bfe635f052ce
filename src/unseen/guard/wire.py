"""Wire: JSON read strictly and once. What is forwarded is written anew from what was read.

Two parsers that disagree about one body are how requests are smuggled past a check; so duplicate names, NaN, other
encodings than UTF-8, and depth beyond the limit are refused, and nothing is ever forwarded as it came.
"""

import json
import re
from typing import Any, NoReturn

import msgspec
import numpy as np

from unseen.guard.refusal import bad

STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
OPENING, CLOSING = b"[{", b"]}"
read = msgspec.json.Decoder().decode
encode = msgspec.json.Encoder().encode
STEP = np.zeros(256, np.int8)
STEP[list(OPENING)], STEP[list(CLOSING)] = 1, -1


def decode(body: bytes) -> Any:
    """Return what JSON says; raise `msgspec.DecodeError` where it is none, in UTF-8 or otherwise."""
    try:
        return read(body)
    except UnicodeDecodeError:
        raise msgspec.DecodeError("not UTF-8") from None


def read_json(body: bytes, max_depth: int) -> Any:
    """Return what a body says; raise `Refused` with status 400 where two readers could understand it differently.

    >>> read_json(b'{"inputs": [1.5]}', 8)
    {'inputs': [1.5]}
    >>> read_json(b'{"a": 1, "a": 2}', 8)
    Traceback (most recent call last):
    unseen.guard.refusal.Refused: The body names one field twice.
    """
    try:
        found = decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise bad("json", "The body is not valid JSON in UTF-8.") from None
    if body.count(b"[") + body.count(b"{") > max_depth and _depth(body) > max_depth:
        raise bad("depth", f"The body is nested deeper than {max_depth}.")
    if b"\\" in body or encode(found).count(b":") != body.count(b":"):
        _refuse_repeats(body)  # a name that came twice is there once, with one colon less; escapes may hide colons
    return found


def _refuse_repeats(body: bytes) -> None:
    try:
        json.loads(body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant, parse_float=len)
    except (ValueError, RecursionError):
        raise bad("json", "The body is not valid JSON in UTF-8.") from None


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise bad("duplicate", "The body names one field twice.")


def _no_constant(_: str) -> NoReturn:
    raise bad("number", "The body has a number that JSON does not know.")


def _depth(body: bytes) -> int:
    """Return how deep valid JSON is nested; of anything else, the search for where its strings end could take hours."""
    bare = STRINGS.sub(b"", body)
    return int(np.cumsum(STEP[np.frombuffer(bare, np.uint8)], dtype=np.int32).max(initial=0))


def number_of_rows(value: Any, what: str) -> int:
    """Return the length of an array; refuse anything else."""
    if not isinstance(value, list) or not value:
        raise bad("shape", f"{what} must be an array with at least one element.")
    return len(value)
