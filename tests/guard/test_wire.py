"""JSON is read as Python's own reader reads it, or refused; and nothing that is sent takes long to refuse."""

import json
import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.guard.refusal import Refused
from unseen.guard.wire import encode, number_of_rows, read_json

QUICKLY = settings(deadline=None, derandomize=True)
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
ANY = st.recursive(
    SCALARS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)
PIECES = st.sampled_from(
    [*'{}[],:"\\', '"a"', '"b"', "\\u0061", "1", "1e9", "-", "NaN", " ", "\n", "\x00", "é", "true"]
)


def depth(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def once(pairs):
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


@QUICKLY
@given(ANY)
def test_what_is_well_formed_is_read_as_it_is(value):
    assert read_json(json.dumps(value).encode(), 64) == value
    assert read_json(json.dumps(value, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass"), 64) == value


@QUICKLY
@given(ANY, st.integers(0, 4))
def test_depth_is_counted_exactly(value, most):
    body = json.dumps(value).encode()
    if depth(value) <= most:
        assert read_json(body, most) == value
    else:
        with pytest.raises(Refused, match="deeper"):
            read_json(body, most)


@QUICKLY
@given(st.lists(PIECES, max_size=14).map("".join) | st.binary(max_size=20))
def test_anything_else_is_refused_or_read_as_others_read_it(text):
    body = text if isinstance(text, bytes) else text.encode()
    try:
        found = read_json(body, 8)
    except Refused as refused:
        if refused.status != 400:
            raise
        return
    assert json.loads(body.decode(), object_pairs_hook=once) == found
    assert json.loads(encode(found)) == found
    assert depth(found) <= 8
    assert not isinstance(found, float) or math.isfinite(found)


@pytest.mark.parametrize("escaped", [False, True])
@QUICKLY
@given(names=st.lists(st.sampled_from("abc"), min_size=1, max_size=4), below=st.booleans())
def test_a_name_that_comes_twice_is_always_found(escaped, names, below):
    said = [f'"\\u{ord(name):04x}"' if escaped and at % 2 else f'"{name}"' for at, name in enumerate(names)]
    body = "{" + ", ".join(f"{name}:1" for name in said) + "}"
    body = f'[{{"a": {body}}}]' if below else body
    if len(set(names)) == len(names):
        read_json(body.encode(), 8)
    else:
        with pytest.raises(Refused, match="twice"):
            read_json(body.encode(), 8)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 40 + b'"' + b'\\"' * 500_000,
        b"[" * 1_000_000,
        b'{"a":' * 200_000,
        b'"' * 1_000_000,
        b"\\" * 1_000_000,
        b'["' + b'","' * 300_000 + b'"]',
        b"[" * 40 + b'"' + b"[" * 1_000_000 + b'"' + b"]" * 40,
        b"1" * 1_000_000,
        b"[" + b"{}," * 300_000 + b"{}]",
        b'{"a": 1' + b', "\\u0061": 1' * 70_000 + b"}",
    ],
    ids=range(10),
)
def test_a_megabyte_of_anything_is_read_or_refused_in_time(body):
    began = time.process_time()
    try:
        read_json(body, 32)
    except Refused as refused:
        if refused.status != 400:
            raise
    assert time.process_time() - began < 1.0  # a quarter at most here; with a slow search for strings, hours


@pytest.mark.parametrize("value", [None, {}, "a", 1, []])
def test_rows_are_an_array_with_something_in_it(value):
    with pytest.raises(Refused, match="inputs must be"):
        number_of_rows(value, "inputs")
