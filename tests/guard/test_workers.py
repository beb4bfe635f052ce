"""Workers of one guard act as one: a rate holds for all of them together."""

import os
import signal
import time
from pathlib import Path

from tests.guard.test_serving import Process, children_of, model

from unseen.guard.log.entries import Done

__all__ = ["model"]  # a fixture


class Workers(Process):
    """A guard of three workers, and what its policy says beside what every test's does."""

    def __init__(self, folder, model, *, rate="100000 per second, burst 10000", **settings):
        self.rate = rate
        super().__init__(folder, model, workers=3, **settings)

    def write(self, **changes):
        super().write(**changes)
        self.path.write_text(self.path.read_text().replace("100000 per second, burst 10000", self.rate))

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
        time.sleep(0.1)  # it has its supervisor's handlers for an instant
        until(lambda: all(map(hears, children_of(self.process.pid))))


def hears(child):
    """Whether a process does something about SIGHUP, which would end it otherwise."""
    caught = next(line for line in Path(f"/proc/{child}/status").read_text().splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) & 1 << signal.SIGHUP - 1)


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
