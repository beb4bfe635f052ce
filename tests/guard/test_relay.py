"""What a worker noticed arrives whole at the one that looks, or not at all; nobody waits; there is always one."""

import asyncio
import multiprocessing
import os
import signal
import time
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unseen.errors import InputError
from unseen.guard import relay as relaying
from unseen.guard import watching
from unseen.guard.client import Client
from unseen.guard.detector import Query, Sighting
from unseen.guard.policy import Actions
from unseen.guard.question import Question
from unseen.guard.relay import PIECE, PIECES, Noticed, Relay
from unseen.guard.watching import Watch, released

FORK = multiprocessing.get_context("fork")
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


@pytest.fixture
def relay():
    made = Relay()
    yield made
    made.close()


def sent(relay, worker, which, content):
    """Send one piece as it is."""
    relay._outlet.send(PIECES.pack(worker, "first" in which, "last" in which) + content)


def told(query):
    """All of a query, to be compared."""
    vectors = None if query.vectors is None else (query.vectors.dtype.str, query.vectors.tolist())
    return query.client, query.when, vectors, query.fingerprints, query.parameters


@st.composite
def queries(draw):
    records, columns = draw(st.integers(1, 5)), draw(st.integers(0, 4))
    numbers = draw(
        st.lists(st.floats(width=32, allow_nan=False), min_size=records * columns, max_size=records * columns)
    )
    marks = draw(st.sampled_from([(), tuple(bytes([place]) * 12 for place in range(records))]))
    vectors = np.array(numbers, dtype=np.float32).reshape(records, columns) if columns else None
    return Query(
        draw(st.text(st.characters(codec="utf-8"))),
        draw(st.floats(0, 1e10)),
        vectors,
        fingerprints=marks,
        parameters=frozenset("ab"[:1]),
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=st.lists(queries(), min_size=1, max_size=8))
def test_queries_arrive_as_they_were_sent(relay, asked):
    assert relay.received() == []
    assert relay.send(asked)
    assert relay.ready()
    assert list(map(told, relay.received())) == list(map(told, asked))
    assert relay.received() == []


def large(megabytes, client="a", fill=1.0):
    return Query(client, 0.0, np.full((64, int(megabytes * 1e6) // 256), fill, dtype=np.float32))


def test_what_is_larger_than_there_is_room_for_goes_in_pieces_and_nobody_waits(relay):
    began = time.monotonic()
    assert relay.send([large(20), Query("b", 1.0)])
    assert not relay.ready()
    assert time.monotonic() - began < 1
    found = []
    while not relay.ready():
        found += relay.received()
    found += relay.received()
    assert [told(query) for query in found] == [told(large(20)), told(Query("b", 1.0))]
    assert not relay.send([large(70)])
    assert relay.ready()
    assert relay.received() == []


def test_what_a_dead_worker_began_is_left_out_and_harms_nothing(relay):
    dead = msgspec.msgpack.encode([Noticed("dead", 0.0, 0, b"", (b"x" * 12,) * 9000, ())])
    sent(relay, 2, "first", dead[:PIECE])
    relay.send([Query("other", 0.0)])
    relay.worker = 2
    relay.send([Query("new", 0.0)])
    sent(relay, 3, "", dead[:PIECE])  # its beginning went to a worker that died
    sent(relay, 3, "last", dead[PIECE:])
    relay.send([Query("last", 0.0)])
    assert [relay.received()[0].client for _ in range(3)] == ["other", "new", "last"]
    assert not relay._begun


GOOD = ("a", 0.0, 2, bytes(8), (), ())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode([{"client": "a"}]),
        msgspec.msgpack.encode([GOOD[:5]]),
        msgspec.msgpack.encode([(*GOOD, 1)]),
        msgspec.msgpack.encode([(1, *GOOD[1:])]),
        msgspec.msgpack.encode([(*GOOD[:3], bytes(9), (), ())]),
        msgspec.msgpack.encode([(*GOOD[:3], bytes(12), (), ())]),
        msgspec.msgpack.encode([(*GOOD[:2], -3, bytes(12), (), ())]),
        msgspec.msgpack.encode([(*GOOD[:4], (b"1", b"2", b"3"), ())]),
        msgspec.msgpack.encode([GOOD]) + b"\0",
    ],
)
def test_what_is_no_query_is_refused_and_the_next_one_arrives(relay, content):
    sent(relay, 0, "first and last", content)
    relay._outlet.send(b"123")
    relay.send([Query("a", 0.0)])
    for _ in range(2):
        with pytest.raises(InputError, match="no query"):
            relay.received()
    assert relay.received()[0].client == "a"


def test_a_worker_cannot_send_without_end(relay, monkeypatch):
    monkeypatch.setattr(relaying, "LARGEST", 100_000)
    sent(relay, 0, "first", bytes(PIECE))
    sent(relay, 0, "", bytes(PIECE))
    with pytest.raises(InputError):
        relay.received()
    sent(relay, 0, "last", bytes(PIECE))
    assert relay.received() == []


def test_one_worker_looks_and_when_it_is_killed_another_does(relay):
    inlet, out = os.pipe()

    def hold():
        os.write(out, b"y" if relay.looks() and relay.looks() else b"n")
        time.sleep(600)

    process = FORK.Process(target=hold, daemon=True)
    process.start()
    try:
        assert os.read(inlet, 1) == b"y"
        assert not relay.looks()
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert relay.looks()
    finally:
        process.kill()
        process.join()
        os.close(inlet)
        os.close(out)


class Alarm:
    """Keeps what it is shown, and whom it was told to forget."""

    name = "alarm"

    def __init__(self):
        self.seen, self.forgotten = [], []

    def observe(self, query):
        self.seen.append(query)
        return Sighting(self.name, query.client, query.when, 2.0) if query.client == "bad" else None

    def forget(self, client):
        self.forgotten.append(client)


def watch(folder, relay, detector):
    return Watch([detector], Actions(), SimpleNamespace(append=lambda *_, **__: 0), folder, relay=relay)


async def for_a_while(*watches, until):
    tasks = [asyncio.create_task(one.run()) for one in watches]
    async with asyncio.timeout(20):
        while not until():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()


def role(relay, *, looks):
    """The relay as a worker has it that looks, or does not."""
    return SimpleNamespace(looks=lambda: looks, ready=relay.ready, send=relay.send, received=relay.received)


def test_one_watch_sees_what_all_noticed(tmp_path, relay):
    alarms = [Alarm() for _ in range(3)]
    watches = [watch(tmp_path, role(relay, looks=number == 2), alarm) for number, alarm in enumerate(alarms)]
    for number, one in enumerate(watches):
        one._queue.extend(Query(str(number), float(place), np.ones((100, 3), np.float32)) for place in range(40))
    asyncio.run(for_a_while(*watches, until=lambda: len(alarms[2].seen) == 240))  # in parts of 64 records at most
    assert [len(alarm.seen) for alarm in alarms] == [0, 0, 240]
    for number in range(3):
        seen = [(query.when, query.records) for query in alarms[2].seen if query.client == str(number)]
        assert seen == [(float(place), records) for place in range(40) for records in (64, 36)]


def test_what_finds_no_room_is_dropped_and_counted_and_nobody_waits(tmp_path, relay, monkeypatch):
    monkeypatch.setattr(watching, "WAITING", 50)
    one, points = watch(tmp_path, role(relay, looks=False), Alarm()), np.zeros((640, 500), np.float32)
    question = Question("", 640, [], None)
    exchange = SimpleNamespace(client=Client("a", "t", "b"), now=0.0, question=question, points=points, forms=[])

    async def asking():
        task, longest = asyncio.create_task(one.run()), 0.0
        for _ in range(200):
            began = time.monotonic()
            one.notice(exchange)
            await asyncio.sleep(0.001)
            longest = max(longest, time.monotonic() - began)
        task.cancel()
        return longest

    assert asyncio.run(asking()) < 0.5
    assert not relay.ready()
    assert one.dropped >= 100
    assert len(one._queue) == 50


def test_what_is_no_query_is_counted_as_unseen_and_the_rest_is_looked_at(tmp_path, relay):
    alarm = Alarm()
    one = watch(tmp_path, relay, alarm)
    sent(relay, 0, "first and last", b"\xc1")
    relay.send([Query("a", 0.0)])
    asyncio.run(for_a_while(one, until=lambda: alarm.seen))
    assert (one.dropped, len(alarm.seen)) == (1, 1)


def test_whoever_another_process_released_is_forgotten_here_too(tmp_path, relay):
    alarm = Alarm()
    one = watch(tmp_path, relay, alarm)
    one.look(Query("bad", 1e6))
    one.refresh(float("inf"))
    assert alarm.forgotten == []
    released(tmp_path, "bad")
    asyncio.run(for_a_while(one, until=lambda: alarm.forgotten))
    assert alarm.forgotten == ["bad"]


def test_a_new_policy_looks_at_what_waited_under_the_old_one(tmp_path, relay):
    alarm = Alarm()
    old, new = watch(tmp_path, relay, Alarm()), watch(tmp_path, relay, alarm)
    old._queue.append(Query("early", 0.0))
    new.follow(old)
    old._queue.append(Query("late", 0.0))  # of a request that began under the old policy
    asyncio.run(for_a_while(new, until=lambda: len(alarm.seen) == 2))
