"""Turns that several processes give together: as one process would give them, whoever is killed."""

import multiprocessing
import os
import random
import signal
import struct
import time
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unseen.guard import shared_pace
from unseen.guard.pace import Pace
from unseen.guard.shared_pace import SharedPace

ATTEMPT = struct.Struct("ddi")  # when it was made, seconds to wait, who made it
WHO = ("key", "route")
FORK = multiprocessing.get_context("fork")

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
asks = st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 3)), max_size=60)


@given(asks, st.integers(1, 5), st.sampled_from([0.5, 1.0, 7.0]))
def test_it_gives_what_one_process_gives_and_what_a_bucket_of_turns_holds(asked, burst, rate):
    one, many, held, last, now = Pace(), SharedPace(), {}, {}, 0.0
    for client, pause in asked:
        now += pause
        turns = min(float(burst), held.get(client, burst) + (now - last.get(client, now)) * rate)
        wait = 0.0 if turns >= 1 - 1e-6 else (1 - turns) / rate
        held[client], last[client] = turns - (wait == 0.0), now
        found = [pace.wait((client, "r"), rate, burst, now) for pace in (one, many)]
        assert found == pytest.approx([wait, wait], abs=1e-5)


def asking(pace, rate, burst, out, end):
    """Ask, and tell of every attempt with the time that it was judged by."""
    chance, clock, read = random.Random(os.getpid()), time.monotonic, []
    shared_pace.time = type("Clock", (), {"monotonic": staticmethod(lambda: read.append(clock()) or read[-1])})
    while clock() < end:
        wait = pace.wait(WHO, rate, burst)
        os.write(out, ATTEMPT.pack(read.pop(), wait, os.getpid()))
        time.sleep(chance.choice((0.0, 0.0, 0.001)))


class Race:
    """Processes that ask for one client: to be killed, and to be heard."""

    def __init__(self, count, rate, burst, *, seconds):
        self.pace, self.told, self.end = SharedPace(), [], time.monotonic() + seconds
        self.inlet, self.out = os.pipe()
        os.set_blocking(self.inlet, False)
        self.given = (self.pace, rate, burst, self.out, self.end)
        self.processes = [self.started() for _ in range(count)]

    def started(self):
        process = FORK.Process(target=asking, args=self.given, daemon=True)
        process.start()
        return process

    def kill(self, place):
        os.kill(self.processes[place].pid, signal.SIGKILL)
        self.processes[place].join()
        self.processes[place] = self.started()

    def hear(self, seconds=0.0):
        end = time.monotonic() + seconds
        while True:
            try:
                self.told.extend(ATTEMPT.iter_unpack(os.read(self.inlet, ATTEMPT.size * 2000)))
            except BlockingIOError:
                if time.monotonic() >= end:
                    return
                time.sleep(0.001)

    def finish(self):
        while any(process.is_alive() for process in self.processes):
            self.hear(0.01)
        self.hear()


@contextmanager
def racing(count, rate, burst, *, seconds):
    race = Race(count, rate, burst, seconds=seconds)
    try:
        yield race
    finally:
        for process in race.processes:
            process.kill()
            process.join()
        os.close(race.inlet)
        os.close(race.out)


def replayed(times, rate, burst):
    """What one process says at these times."""
    reference = Pace()
    return [reference.wait(WHO, rate, burst, when) for when in sorted(times)]


def test_racing_processes_get_what_one_process_would():
    rate, burst = 400.0, 7
    with racing(3, rate, burst, seconds=1.5) as race:
        race.finish()
    told = sorted(race.told)
    assert len({process for *_, process in told}) == 3
    assert [wait for _, wait, _ in told].count(0.0) > 100
    assert [wait for _, wait, _ in told] == replayed([when for when, *_ in told], rate, burst)


def test_whoever_is_killed_nobody_gets_more_and_nobody_is_stuck():
    chance, rate, burst = random.Random(5), 2000.0, 5
    with racing(3, rate, burst, seconds=600.0) as race:
        for _ in range(40):
            race.hear(chance.uniform(0.001, 0.05))
            race.kill(chance.randrange(3))
        race.hear(0.1)
        assert race.pace.wait(("another", "route"), rate, burst) == 0.0
    turns = [when for when, wait, _ in race.told if wait == 0.0]
    assert len(turns) > 200
    assert set(replayed(turns, rate, burst)) == {0.0}  # so no window of time has more than the rate allows
    assert len({process for *_, process in race.told}) > 20


def test_a_full_set_makes_newcomers_wait_and_gives_nobody_more(monkeypatch):
    monkeypatch.setattr(shared_pace, "SETS", 1)
    pace = SharedPace()
    for number in range(shared_pace.PLACES):
        assert pace.wait((str(number), "r"), 1.0, 1, number / 100) == 0.0
    assert pace.wait(("new", "r"), 1.0, 1, 0.5) == pytest.approx(0.5)
    assert pace.wait(("0", "r"), 1.0, 1, 0.5) == pytest.approx(0.5)
    assert pace.wait(("31", "r"), 1.0, 1, 0.5) == pytest.approx(0.81)
    assert pace.wait(("new", "r"), 1.0, 1, 1.0) == 0.0  # the place of one that is rested
    assert pace.wait(("0", "r"), 1.0, 1, 1.0) > 0.0
    assert pace.wait(("1", "r"), 1.0, 1, 1.02) == 0.0
    assert pace.wait(("new", "r"), 1.0, 1, 1.5) == pytest.approx(0.5)


def test_a_place_that_was_left_half_written_holds_nobody(monkeypatch):
    monkeypatch.setattr(shared_pace, "SETS", 1)
    pace = SharedPace()
    pace.wait(WHO, 1.0, 1, 0.0)
    pace._names[:7] = bytes(7)
    assert pace.wait(("other", "r"), 1.0, 1, 2.0) == 0.0
    assert pace.wait(("other", "r"), 1.0, 1, 2.0) == pytest.approx(1.0)
    assert pace.wait(WHO, 1.0, 1, 2.0) == 0.0


@pytest.mark.parametrize("kind", [Pace, SharedPace])
def test_a_new_rate_begins_anew_and_beside_the_old_one_gives_no_more_than_both(kind):
    pace = kind()
    assert [pace.wait(WHO, 1 / 3600, 2, 0.0) for _ in range(2)] == [0.0, 0.0]
    assert pace.wait(WHO, 10.0, 5, 0.0) == 0.0
    turns = [0, 0]
    for when in range(100):
        for place, rate in enumerate([(1 / 3600, 2), (10.0, 5)]):
            turns[place] += pace.wait(WHO, *rate, when / 100) == 0.0
    assert turns == [0, 4 + 9]


def test_routes_and_clients_are_told_apart():
    pace = SharedPace()
    for who in (("a", "r"), ("a", "s"), ("b", "r"), ("ar", ""), ("", "ar"), ("\ud800", "r")):
        assert pace.wait(who, 1.0, 1, 0.0) == 0.0
        assert pace.wait(who, 1.0, 1, 0.5) == pytest.approx(0.5)
