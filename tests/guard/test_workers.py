"""Workers of one guard act as one: a rate holds for all of them together, and their detectors see all of a client."""

import json
import multiprocessing
import os
import random
import signal
import time
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import msgspec
import pytest
from tests.guard.guards import SECRET
from tests.guard.test_serving import Process, children_of, model

from unseen.disk import write_whole
from unseen.guard.keys import KeyRing
from unseen.guard.log.entries import Done, Seen
from unseen.guard.secrets import derive
from unseen.guard.stores.sqlite import SqliteStore
from unseen.guard.watching import FILE, read_standings, released

__all__ = ["model"]  # a fixture
FORK = multiprocessing.get_context("fork")

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


class Workers(Process):
    """A guard of three workers, and what its policy says beside what every test's does."""

    def __init__(self, folder, model, *, rate="100000 per second, burst 10000", more="", workers=3, **settings):
        self.rate, self.more = rate, more
        super().__init__(folder, model, workers=workers, **settings)
        self.ring = KeyRing(folder / "state", derive(SECRET.encode(), "keys"))

    def write(self, **changes):
        super().write(**changes)
        self.path.write_text(self.path.read_text().replace("100000 per second, burst 10000", self.rate) + self.more)

    def client(self):
        """Another client: its id, which its questions are asked as from now on."""
        made, self.key = self.ring.add(tenant="acme", tier="t")
        time.sleep(1.1)  # workers look at the keys once a second
        return made.client.id

    @contextmanager
    def connections(self):
        """One connection to each worker: it answers the first question while all others are stopped."""
        children = children_of(self.process.pid) or [self.process.pid]
        with ExitStack() as stack:
            found = []
            for child in children:
                found.append(stack.enter_context(closing(HTTPConnection("127.0.0.1", self.port, timeout=20))))
                with stopped(set(children) - {child}):
                    assert self.post(found[-1], [0.0] * 8) == 200
            yield found

    def post(self, connection, row):
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        connection.request("POST", "/invocations", json.dumps({"instances": [row]}), headers)
        with connection.getresponse() as response:
            response.read()
            return response.status

    def probe(self, connections, times, *, seed=0):
        """Ask about nearly one person, over each connection in turn; return the statuses."""
        chance = random.Random(seed)
        person = [chance.gauss(0, 1) for _ in range(8)]
        return [
            self.post(connections[turn % len(connections)], [number + chance.gauss(0, 0.05) for number in person])
            for turn in range(times)
        ]

    def noticed(self, client):
        return read_standings(self.folder / "state").get(client)

    def watcher(self):
        """The worker whose detectors look: the one that has a lock of a whole file."""
        found = []

        def holders():
            locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
            holding = {int(line[4]) for line in locks if line[1] == "POSIX" and line[6:8] == ["0", "EOF"]}
            found[:] = holding & set(children_of(self.process.pid))
            return found

        until(holders, 5.0)
        (one,) = found
        return one

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.end()
        self.process.stderr.close()

    def asked(self, times):
        """How many of so many questions are answered, each over a connection of its own."""
        return [self.patient()[0] for _ in range(times)].count(200)

    def patient(self):
        """Ask again where a worker is killed meanwhile."""
        while True:
            try:
                return self.ask()
            except OSError:
                time.sleep(0.01)

    def kill(self, child):
        """Kill a worker, and return once another is in its place."""
        os.kill(child, signal.SIGKILL)
        until(lambda: child not in (living := children_of(self.process.pid)) and len(living) == 3)


@contextmanager
def stopped(children):
    for child in children:
        os.kill(child, signal.SIGSTOP)
    try:
        yield
    finally:
        for child in children:
            os.kill(child, signal.SIGCONT)


def until(holds, seconds=20.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_rate_holds_for_all_workers_whoever_is_killed_and_a_new_one_after_a_reload(tmp_path, model):
    with Workers(tmp_path, model, rate="1 per hour, burst 7") as guard:
        assert guard.asked(40) == 7 - 1  # one was asked at the start
        for child in children_of(guard.process.pid):
            guard.kill(child)
            assert guard.asked(10) == 0
        guard.rate = "4 per second, burst 2"
        guard.write()
        began = time.monotonic()
        guard.process.send_signal(signal.SIGHUP)
        until(lambda: [entry.what for entry in guard.log(Done)].count("policy") == 3)
        answered = sum(guard.asked(10) for _ in range(10))
        assert 2 <= answered <= 2 + 4 * (time.monotonic() - began)
        guard.end()
        guard.start()
        assert guard.asked(5) >= 1  # rates begin anew with the guard


def test_a_worker_that_takes_the_place_of_a_dead_one_has_the_policy_of_the_others(tmp_path, model):
    with Workers(tmp_path, model) as guard:
        for control, answer in ((0.6, 0.6), (0.5, 0.5), (7, 0.5)):  # the last is refused
            guard.write(control=f'{{ name = "clip-confidence", at_most = {control} }}')
            guard.process.send_signal(signal.SIGHUP)
            time.sleep(0.5)
            for child in children_of(guard.process.pid):
                guard.kill(child)
            guard.path.write_text("[guard]\nlisten = 5")  # nobody was told to read it
            until(lambda: guard.patient()[0] == 200)
            answers = [guard.patient()[1]["predictions"][0] for _ in range(20)]
            assert {max(values) for values in answers} == {answer}
        last = children_of(guard.process.pid)[-1]
        guard.write(control='{ name = "label-only" }')
        guard.kill(last)
        guard.process.send_signal(signal.SIGHUP)  # the new one has hardly begun
        time.sleep(3)
        assert len(children_of(guard.process.pid)) == 3
        assert {tuple(guard.patient()[1]["predictions"][0]) for _ in range(40)} == {(1.0, 0.0, 0.0)}
        assert guard.end()[0] == 0


def test_a_policy_that_all_workers_refuse_is_taken_by_none_that_comes_later(tmp_path, model):
    secret = tmp_path / "authorization"
    with Workers(tmp_path, model) as guard:
        guard.write(control='{ name = "clip-confidence", at_most = 0.6 }')
        text = guard.path.read_text()
        url = f'url = "{guard.upstream}"'
        for wrong in (f'{url}\nauthorization = "file:{secret}"', 'url = "http://[::1:5001"'):
            guard.path.write_text(text.replace(url, wrong))
            guard.process.send_signal(signal.SIGHUP)
            time.sleep(0.5)
        secret.write_text("Bearer x")
        secret.chmod(0o600)
        for child in children_of(guard.process.pid):
            guard.kill(child)
        until(lambda: guard.patient()[0] == 200)
        assert {max(guard.patient()[1]["predictions"][0]) for _ in range(20)} == {1.0}
        assert [entry.what for entry in guard.log(Done)].count("policy-refused") == 6
        assert guard.end()[0] == 0


def test_a_worker_that_cannot_open_its_state_now_is_started_again_and_the_others_answer(tmp_path, model):
    with Workers(tmp_path, model) as guard:
        check = tmp_path / "state" / "secret.check"
        kept = check.read_bytes()
        check.write_bytes(b"0" * len(kept))  # as a store that is away would: a worker cannot begin
        os.kill(children_of(guard.process.pid)[1], signal.SIGKILL)
        time.sleep(3)
        assert guard.process.poll() is None
        assert guard.asked(10) == 10
        check.write_bytes(kept)
        until(lambda: len(children_of(guard.process.pid)) == 3)
        assert guard.end()[0] == 0


PROBING = """
[detectors.near-duplicates]
tau = 1.0
threshold = 20
[actions]
ladder = ["suspend"]
delay_s = [0.0, 86400.0]
"""
SOON = 41  # probes are enough for one worker to see it, of its own client


def test_probing_that_is_spread_over_workers_is_seen_as_one_worker_sees_it(tmp_path, model):
    for workers in (1, 3):
        folder = tmp_path / str(workers)
        folder.mkdir()
        with Workers(folder, model, workers=workers, more=PROBING) as guard:
            client = guard.client()
            with guard.connections() as connections:
                assert set(guard.probe(connections, 30)) == {200}
                time.sleep(0.3)
                assert guard.noticed(client) is None
                assert set(guard.probe(connections, SOON)[30:]) == {200}  # the first 30 are as before, and count once
                until(lambda guard=guard, client=client: guard.noticed(client), 5.0)
            (seen,) = guard.log(Seen)
            assert seen.client == client
            assert abs(seen.evidence["records"] - SOON) <= 4


def test_steps_reach_all_workers_and_so_does_a_release(tmp_path, model):
    with Workers(tmp_path, model, more=PROBING) as guard:
        client = guard.client()
        with guard.connections() as connections:
            guard.probe(connections, 60)
            until(lambda: guard.noticed(client), 5.0)
            path = tmp_path / "state" / FILE
            standing = msgspec.structs.replace(guard.noticed(client), steps={"suspend": time.time()})
            write_whole(path, msgspec.json.encode({client: standing}))  # its step is due at once
            time.sleep(1.2)
            assert guard.probe(connections, 3) == [403, 403, 403]
            assert released(tmp_path / "state", client)
            time.sleep(1.2)
            assert guard.probe(connections, 30) == [200] * 30
            time.sleep(0.3)
            assert guard.noticed(client) is None  # what was remembered of it is forgotten
            guard.probe(connections, 60)
            until(lambda: guard.noticed(client), 5.0)


def test_another_worker_looks_when_the_one_that_did_is_killed(tmp_path, model):
    with Workers(tmp_path, model, more=PROBING, lifetime=1000) as guard:
        answered = 1
        for turn in range(3):
            first = guard.watcher()
            guard.kill(first)
            assert guard.watcher() != first
            client = guard.client()
            with guard.connections() as connections:
                statuses = guard.probe(connections, 60, seed=turn)
                assert set(statuses) == {200}
                answered += len(statuses) + len(connections)
                until(lambda client=client: guard.noticed(client), 5.0)
        assert len(guard.log()) == answered
        guard.end()
        assert answered <= guard.used() <= answered + 3 * 3 * 10  # a lease of each client, for each that was killed
        assert {verdict.bad for verdict in guard.verdicts()} == {""}


def test_workers_that_open_a_new_store_at_once_all_open_it(tmp_path):
    def opened(path, ready):
        ready.wait()
        SqliteStore(path).close()

    for turn in range(25):
        given = (tmp_path / str(turn) / "budgets.sqlite", FORK.Barrier(4))
        processes = [FORK.Process(target=opened, args=given) for _ in range(4)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * 4
