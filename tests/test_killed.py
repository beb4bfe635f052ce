"""An audit that is killed at any instant, workers and all, continues to the same report, and loses no finished model.

Eight instants by default; `UNSEEN_KILLS=200 pytest tests/test_killed.py` is the full form.
"""

import os
import random
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

KILLS = int(os.environ.get("UNSEEN_KILLS", "8"))
REFERENCES = 12
PATIENCE_S = 120.0
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills process groups")

TREE = """
import os
import time

from sklearn.tree import DecisionTreeClassifier


class SlowTree(DecisionTreeClassifier):
    '''Takes its time, and notes when a training has ended.'''

    def fit(self, X, y, sample_weight=None, check_input=True):
        time.sleep(0.04)
        super().fit(X, y, sample_weight, check_input)
        note(f"trained {self.random_state}")
        return self


def note(line):
    log = os.open(os.environ["LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, f"{line}\\n".encode())
    os.close(log)
"""

SERVER = """
import os
import sys
from contextlib import suppress

import numpy as np
from slow_tree import SlowTree, note

import unseen
import unseen.auditing
from unseen.references import processes
from unseen.targets.sources import code_digest

code_digest(SlowTree)  # looks through every installed package, once a process


def run(folder, log, workers):
    os.environ["LOG"] = os.devnull
    rng = np.random.default_rng(0)
    X = rng.normal(size=(160, 3))
    y = (X[:, 0] + rng.normal(size=160) > 0).astype(int)
    model = SlowTree(random_state=0).fit(X[:80], y[:80])
    os.environ["LOG"] = log
    processes.START_UP_SECONDS = 0.0  # else what is this quick stays in one process
    sides = (X[:80], y[:80]), (X[80:], y[80:])
    asked = {"references": REFERENCES, "attacks": ["rank-combined", "loss"], "engine": "processes"}
    outcome = unseen.audit(model, *sides, **asked, workers=workers, folder=folder)
    note(f"reused {outcome.reused} damaged {len(outcome.damaged)}")
    outcome.save(folder)


for line in sys.stdin:
    folder, log, workers = line.rstrip("\\n").split("\\t")
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        status = 1
        try:
            run(folder, log, int(workers))
            status = 0
        finally:
            os._exit(status)
    with suppress(OSError):
        os.setpgid(child, child)  # whichever of the two comes first
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


class Server:
    """A process with everything imported, whose children run audits, each in a process group of its own."""

    def __init__(self, home):
        (home / "slow_tree.py").write_text(TREE)
        (home / "server.py").write_text(SERVER.replace("REFERENCES", str(REFERENCES)))
        path = os.pathsep.join([str(home), *sys.path])
        environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        environment["PYTHONWARNINGS"] = "ignore:resource_tracker:UserWarning"  # it cleans up after what was killed
        command, pipe = [sys.executable, str(home / "server.py")], subprocess.PIPE
        self.said = home / "said"
        with self.said.open("w") as said:
            self.process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=said)

    def audit(self, folder, log, workers, seconds=PATIENCE_S):
        """Run an audit, and kill it after so many seconds; say whether it had ended by then."""
        self.process.stdin.write(f"{folder}\t{log}\t{workers}\n".encode())
        self.process.stdin.flush()
        child = self._number()
        ended = bool(select.select([self.process.stdout], [], [], seconds)[0])
        if not ended:
            os.killpg(child, signal.SIGKILL)
        status = self._number()
        assert status in ({0} if ended else {0, signal.SIGKILL}), self.said.read_text()
        return status == 0

    def _number(self):
        line = self.process.stdout.readline()
        assert line, f"the server ended with {self.process.wait(PATIENCE_S)}: {self.said.read_text()}"
        return int(line)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    home = tmp_path_factory.mktemp("server")
    with (started := Server(home)).process:
        yield started
        started.process.stdin.close()
        started.process.wait(PATIENCE_S)
    assert started.said.read_text() == ""


def kept(folder):
    return len(list(folder.rglob("reference-*")))


def half_written(folder):
    return len(list(folder.rglob(".part-*")))


def lines(log, word):
    return [line.split() for line in log.read_text().splitlines() if line.startswith(word)] if log.exists() else []


def without_times(folder):
    """The bytes of a report but for when it was made, and how long that took."""
    report = (folder / "report.json").read_bytes()
    assert report.count(b'"started"') == report.count(b'"seconds"') == 1
    return re.sub(rb'"(started|seconds)": [^,\n]+', b"", report)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_audit_continues_to_the_same_report(tmp_path, server, workers, record_property):
    started = time.monotonic()
    assert server.audit(tmp_path / "whole", tmp_path / "whole.log", workers)
    lasts = time.monotonic() - started
    expected, records = without_times(tmp_path / "whole"), (tmp_path / "whole" / "records.parquet").read_bytes()
    assert (
        len(lines(tmp_path / "whole.log", "trained")) == REFERENCES + 1
    )  # the first once more: does it repeat itself?
    rng, kills, lost, runs, most_parts, finished = random.Random(20_240_229 + workers), 0, [], 0, 0, False
    while kills < KILLS // 2 or not finished:
        folder, log = tmp_path / f"run {runs}", tmp_path / f"log {runs}"
        had, trained = kept(folder), len(lines(log, "trained"))
        killed = kills < KILLS // 2
        started = time.monotonic()
        finished = server.audit(folder, log, workers, rng.uniform(0, lasts) if killed else PATIENCE_S)
        lost.append(len(lines(log, "trained")) - trained - (kept(folder) - had))
        if finished:
            assert lines(log, "reused")[-1] == ["reused", str(had), "damaged", "0"]
            assert without_times(folder) == expected
            assert (folder / "records.parquet").read_bytes() == records
            assert half_written(folder) == 0
            assert kept(folder) == REFERENCES
            assert len(lines(log, "trained")) <= REFERENCES + 1 + sum(lost)
            runs += 1
            lasts = lasts if had else time.monotonic() - started  # of a whole audit, as fast as this machine is now
        else:
            kills += 1
            most_parts = max(most_parts, half_written(folder))
    record_property("lost", lost)
    assert most_parts <= 2  # one for each time that something is written: references, and at the end the report
    assert max(lost) <= workers  # a model in flight in each worker


def test_the_report_is_compared_byte_for_byte_but_for_its_times(tmp_path):
    for name, body in {
        "one": '{"state": "leak",\n"started": "2024-01-01T00:00:00+00:00",\n"seconds": 1.5\n}',
        "later": '{"state": "leak",\n"started": "2025-12-31T00:00:00+00:00",\n"seconds": 20.0\n}',
        "other": '{"state": "Leak",\n"started": "2024-01-01T00:00:00+00:00",\n"seconds": 1.5\n}',
    }.items():
        (tmp_path / name).mkdir()
        Path(tmp_path / name / "report.json").write_text(body)
    assert without_times(tmp_path / "one") == without_times(tmp_path / "later")
    assert without_times(tmp_path / "one") != without_times(tmp_path / "other")
