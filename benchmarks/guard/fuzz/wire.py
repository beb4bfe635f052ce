"""Fuzzing of `wire.read_json`: it refuses, or reads what Python's own reader reads, which says no name twice."""

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


def check(data: bytes) -> None:
    """Read some bytes both ways."""
    try:
        found = read_json(data, 8)
    except Refused as refused:
        assert refused.status == 400
        return
    other = json.loads(data.decode(), object_pairs_hook=once)
    assert found == other, "two readers disagree"
    assert json.loads(encode(found)) == other, "what is sent on is something else"
    assert depth(found) <= 8
    assert not (isinstance(found, float) and not math.isfinite(found))


if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
