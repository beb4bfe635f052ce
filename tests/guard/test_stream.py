"""Server-sent events: read whatever the cuts between the parts, hardened one by one, and ended honestly."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.guard import stream
from unseen.guard.refusal import Refused, bad
from unseen.guard.stream import Events, hardened_events

QUICKLY = settings(deadline=None, derandomize=True)
STREAM = (
    b": a comment\r\n\r\n"
    b'event: x\r\nid: 7\r\nretry: 10\r\ndata: {"a": 1}\r\n\r\n'
    b'data:{"b":\ndata: "\xc3\xa9"}\n\n'
    b"\n\ndata:\n\n"
    b"data: [DONE]\n\n"
    b'data: {"after": 1}\n\n'
)
FOUND = [b'{"a": 1}', b'{"b":\n"\xc3\xa9"}', b"[DONE]", b'{"after": 1}']


def cut(whole, places):
    ends = [0, *sorted(places), len(whole)]
    return [whole[start:end] for start, end in pairwise(ends)]


def read(parts):
    events = Events()
    return [data for part in parts for data in events.feed(part)]


def test_an_event_is_the_same_wherever_it_is_cut():
    assert read([STREAM]) == FOUND
    assert read([bytes([byte]) for byte in STREAM]) == FOUND
    for place in range(len(STREAM)):
        assert read(cut(STREAM, [place])) == FOUND


@QUICKLY
@given(st.lists(st.integers(0, len(STREAM))))
def test_and_however_often(places):
    assert read(cut(STREAM, places)) == FOUND


@QUICKLY
@given(st.lists(st.binary(max_size=40)))
def test_no_bytes_break_the_reader_and_cuts_never_matter(parts):
    assert read(parts) == read([b"".join(parts)])


@pytest.mark.parametrize("block", [b"a" * 100, b"data: a\n", b": a\n", b"data:\n", b"data: " + b"a" * 100])
def test_what_is_kept_of_a_stream_is_bounded(monkeypatch, block):
    monkeypatch.setattr(stream, "LONGEST", 1000)
    events, held = Events(), 0
    try:
        for _ in range(10_000):
            assert list(events.feed(block)) == []
            held = max(held, sum(map(len, [*events._rest, *events._data])))
    except Refused as refused:
        if refused.status != 502:
            raise
    assert held < 1200


def test_many_short_events_in_one_part_are_not_too_long(monkeypatch):
    monkeypatch.setattr(stream, "LONGEST", 1000)
    assert len(read([b"data: a\n\n" * 1000])) == 1000


def streamed(parts, harden=lambda event: event):
    """What leaves of a stream, and whether the upstream was let go."""
    closed = []

    async def upstream():
        try:
            for part in parts:
                yield part
        finally:
            closed.append(True)

    async def run():
        return b"".join([event async for event in hardened_events(upstream(), harden)])

    return asyncio.run(run()), closed == [True]


def test_each_event_is_hardened_and_written_anew():
    left, closed = streamed([STREAM], lambda event: {"seen": sorted(event)})
    assert left == b'data: {"seen":["a"]}\n\ndata: {"seen":["b"]}\n\ndata: [DONE]\n\n'
    assert closed


def failing(error):
    def harden(event):
        if "stop" in event:
            raise error
        return event

    return harden


@pytest.mark.parametrize(
    ("parts", "harden", "said"),
    [
        ([b'data: {"a": 1}\n\n'], lambda event: event, b"broke off"),
        ([b'data: {"a": 1}\n\ndata: {"b"'], lambda event: event, b"broke off"),
        ([b'data: {"a": 1}\n\ndata: <secret>\n\n'], lambda event: event, b"broke off"),
        ([b'data: {"a": 1}\n\ndata: "\xff"\n\n'], lambda event: event, b"broke off"),
        ([b'data: {"a": 1}\n\ndata: {"stop": 1}\n\n'], failing(Refused(504, "upstream", "Too late.")), b"Too late."),
        ([b'data: {"a": 1}\n\ndata: {"stop": 1}\n\n'], failing(bad("x", "A secret.")), b"broke off"),
        ([b'data: {"a": 1}\n\ndata: {"stop": 1}\n\n'], failing(KeyError("secret")), b"The guard failed"),
    ],
)
def test_a_stream_that_does_not_end_well_says_so_and_nothing_else(parts, harden, said):
    left, closed = streamed(parts, harden)
    assert left.startswith(b'data: {"a":1}\n\ndata: {"error":')
    assert said in left
    assert b"secret" not in left
    assert b"DONE" not in left
    assert closed


def test_whoever_stops_reading_lets_the_upstream_go():
    closed = []

    async def upstream():
        try:
            while True:
                yield b'data: {"a": 1}\n\n'
        finally:
            closed.append(True)

    async def run():
        events = hardened_events(upstream(), lambda event: event)
        await anext(events)
        await events.aclose()
        return list(closed)

    assert asyncio.run(run()) == [True]
