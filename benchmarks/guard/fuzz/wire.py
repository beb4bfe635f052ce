"""Fuzzing of `wire.read_json`: it refuses, or reads what Python's own reader reads, which says no name twice.

The decoder is C and not instrumented, so that random bytes hardly ever get past it: what is read here is mostly put
together, sound or nearly so.
"""

import json
import math
import sys

import atheris

with atheris.instrument_imports(include=["unseen.guard"]):
    from unseen.guard.refusal import Refused
    from unseen.guard.wire import encode, read_json


def once(pairs: list) -> dict:
    """Return the object; fail where it names one field twice."""
    found = dict(pairs)
    assert len(found) == len(pairs), "a repeated name was let through"
    return found


def depth(value: object) -> int:
    """Return how deep a value is nested."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


STRINGS = [
    *('"a"', '"b"', '"\\u0061"', '"\\""', '"["', '"\u00e9"', '""', '"a":"b"', '"\\\\"', '"}"'),
    *('"\\ud800"', '"\\ud83d\\ude00"'),
]
SCALARS = ["0", "-0", "1", "1.5", "1e5", "1E400", "-1e-400", "9" * 25, "true", "null", "NaN", "01", "+1", ".5", "1."]
SPACES = ["", "", "", " ", "\n", "\t", "\r", "\x0b", "\ufeff"]


def text(data: atheris.FuzzedDataProvider, levels: int) -> str:
    """Return JSON, or what is nearly JSON."""
    space = data.PickValueInList(SPACES)
    kind = data.ConsumeIntInRange(0, 7 if levels else 3)
    if kind <= 1:
        return space + data.PickValueInList(SCALARS)
    if kind <= 3:
        return data.PickValueInList(STRINGS) + space
    inner = [text(data, levels - 1) for _ in range(data.ConsumeIntInRange(0, 4))]
    if kind <= 5:
        return "[" + ",".join(inner) + space + "]"
    return "{" + ",".join(data.PickValueInList(STRINGS) + space + ":" + one for one in inner) + "}"


def check(raw: bytes) -> None:
    """Read some text both ways, with a byte of it changed now and then."""
    data = atheris.FuzzedDataProvider(raw)
    body = bytearray(text(data, 10), "utf-8")
    for _ in range(data.PickValueInList([0, 0, 0, 1, 2])):
        body[data.ConsumeIntInRange(0, len(body) - 1)] = data.ConsumeIntInRange(0, 255)
    same(bytes(body))


def same(data: bytes) -> None:
    """Read some bytes both ways."""
    try:
        found = read_json(data, 8)
    except Refused as refused:
        if refused.status != 400:
            raise
        return
    other = json.loads(data.decode(), object_pairs_hook=once)
    assert found == other, "two readers disagree"
    assert json.loads(encode(found)) == other, "what is sent on is something else"
    assert depth(found) <= 8
    assert not (isinstance(found, float) and not math.isfinite(found))


if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
