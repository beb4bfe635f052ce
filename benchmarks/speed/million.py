"""A million records and 256 references: CPU seconds and memory of every step from references to scores.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONPATH=src python benchmarks/speed/million.py

Writes `million.md` beside this file and exits 1 if memory goes beyond 2 GiB. The references are drawn, not trained, one
at a time, and go the way of trained ones: `gather`, `measure`, the attacks. Memory is anonymous memory (RssAnon of
/proc/self/status, sampled every 10 ms): pages of mapped files, which the system takes back when it needs them, are
told beside it. About 5 GB of disk are taken where temporary files go, by files without names. Linux only.
"""

import argparse
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unseen.attacks import ATTACKS
from unseen.measuring import measure
from unseen.pool import Pool
from unseen.queries import Copies
from unseen.reference import ReferenceAnswers, ReferenceTask
from unseen.references.gather import Gathered, gather
from unseen.references.inclusion import draw_inclusion, draw_seeds
from unseen.references.store import ReferenceStore
from unseen.signal import Array, Bools, Floats
from unseen.target import Answers
from unseen.trial import Trial

RECORDS, POPULATION, REFERENCES = 1_000_000, 50_000, 256
LIMIT_GIB = 2.0
SAMPLE_S = 0.01
GIB = 2.0**30


@dataclass(frozen=True)
class Step:
    """What one step took: CPU and wall seconds, and the most anonymous and mapped memory while it ran, in GiB."""

    name: str
    cpu_s: float
    wall_s: float
    anonymous: float
    mapped: float


class Watch:
    """Samples this process's memory in a thread, and keeps a step's largest."""

    def __init__(self) -> None:
        """Start sampling."""
        self.steps: list[Step] = []
        self._peak = [0.0, 0.0]
        threading.Thread(target=self._sample, daemon=True).start()

    def _sample(self) -> None:
        while True:
            self._look()
            time.sleep(SAMPLE_S)

    def _look(self) -> None:
        lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
        now = [int(lines[name].split()[0]) * 1024 / GIB for name in ("RssAnon", "RssFile")]
        self._peak = [max(before, value) for before, value in zip(self._peak, now, strict=True)]

    def step(self, name: str, call: Callable[[], Any]) -> Any:
        """Run a step, and print what it took."""
        self._peak = [0.0, 0.0]
        self._look()
        cpu, wall = time.process_time(), time.monotonic()
        result = call()
        self._look()
        took = Step(name, time.process_time() - cpu, time.monotonic() - wall, *self._peak)
        self.steps.append(took)
        print(f"{name}: {took.cpu_s:.1f} CPU s, {took.anonymous:.2f} GiB, {took.mapped:.2f} GiB mapped", flush=True)
        return result


class Drawn:
    """An engine that draws what references answer: a centre a record, a gap where it was included, and noise."""

    def __init__(self, centre: Floats, gap: Floats) -> None:
        """Keep both, `(records,)`."""
        self.centre, self.gap = centre, gap

    def logits(self, rng: np.random.Generator, included: Bools) -> Floats:
        """Return the log odds of the true one of two classes, `(records,)` float32."""
        return self.centre + self.gap * included + rng.standard_normal(self.centre.size, dtype=np.float32)

    def train(self, task: ReferenceTask, wanted: Sequence[int]) -> Iterator[tuple[int, ReferenceAnswers]]:
        """Yield each wanted reference; its first answer is saturated."""
        for k in wanted:
            logits = self.logits(np.random.default_rng([task.seeds[k], 1]), task.inclusion[k])
            logits[0] = np.inf
            yield k, ReferenceAnswers(logits, np.logaddexp(np.float32(0), -logits))


def make_pool(rng: np.random.Generator, records: int, population: int) -> Pool:
    """Return a pool of records without features, of which the last of a random order are the population."""
    total = records + population
    none, order = np.zeros(total, dtype=np.intp), rng.permutation(total)
    audited, unit = np.sort(order[:records]), np.arange(total)
    trial = Trial(rng.random(records) < 0.5, audited.astype(str))
    others = order[records:]
    return Pool(none[:, None], none, none, unit, unit, audited, audited, others, trial, {})


def references(pool: Pool, engine: Drawn, count: int) -> Gathered:
    """Return references as an audit gathers them."""
    inclusion = draw_inclusion(0, count, pool.units, 0.5)[:, pool.unit_of]
    task: Any = ReferenceTask(
        None, np.arange(2), pool.features, pool.labels, pool.label_index, inclusion, draw_seeds(0, count)
    )
    store = ReferenceStore(None, "")
    return gather(task, engine, store, quiet)


def quiet(done: int, of: int) -> None:
    """Say nothing of how far it is."""


def run(records: int, population: int, count: int) -> list[Step]:
    """Run every step; return what each took."""
    watch, rng = Watch(), np.random.default_rng(0)
    pool: Pool = watch.step("pool", lambda: make_pool(rng, records, population))
    total = records + population
    engine = Drawn(rng.normal(2, 1.5, total).astype(np.float32), rng.gamma(2, 0.5, total).astype(np.float32))
    member = np.zeros(total, dtype=bool)
    member[pool.audited] = pool.trial.member
    logits = engine.logits(rng, member)
    log_probs = np.stack([-np.logaddexp(0, -logits), -np.logaddexp(0, logits)], axis=1)
    answers = Answers(log_probs.argmax(axis=1), log_probs=log_probs)
    gathered: list[Gathered] = [watch.step("gather", lambda: references(pool, engine, count))]
    none = Copies([], pool.audited, len(pool))
    signals = watch.step("measure", lambda: measure(pool, answers, gathered.pop(), [], none)).signals
    for attack in ATTACKS:
        needs = {signal.name for signal in attack.needs}
        if not attack.missing(signals) and any(name.startswith("ref_") for name in needs):
            scores = watch.step(attack.name, lambda run=attack: run(signals)).values
            known: Array = pool.trial.member
            if scores[known].mean() <= scores[~known].mean():
                raise SystemExit(f"{attack.name} does not see the members.")
    return watch.steps


def page(steps: Sequence[Step], records: int, population: int, count: int) -> str:
    """Return `million.md`."""
    rows = "\n".join(
        f"| {one.name} | {one.cpu_s:.1f} | {one.wall_s:.1f} | {one.anonymous:.2f} | {one.mapped:.2f} |" for one in steps
    )
    most = max(one.anonymous for one in steps)
    verdict = "holds" if most < LIMIT_GIB else "does not hold"
    size = count * (records + population) * 9 / GIB
    python = f"Python {platform.python_version()}, NumPy {np.__version__}"
    return f"""# A million records

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONPATH=src python benchmarks/speed/million.py

Machine: a shared {os.cpu_count()}-core {platform.machine()} machine, {python}.
One-minute load {os.getloadavg()[0]:.1f} at the end.

{records:,} audited records, {population:,} of a population, {count} references: {size:.2f} GiB of signals in
float32 and booleans, kept in files without names and mapped, not held. The references are drawn, not trained, and go
the way of trained ones; nothing is kept between runs, so "gather" holds neither a training nor the cache.

Limit: {LIMIT_GIB:g} GiB of anonymous memory, the interpreter and its libraries included.
At most **{most:.2f} GiB**: {verdict}.

| step | CPU s | wall s | most anonymous GiB | most mapped GiB |
|---|---|---|---|---|
{rows}

Mapped pages belong to the files; the system takes them back when it needs the memory. Not run here: the estimates, and
the gates and factors after them.
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--references", type=int, default=REFERENCES)
    given = parser.parse_args()
    whole = (given.records, given.references) == (RECORDS, REFERENCES)
    found = run(given.records, POPULATION, given.references)
    text = page(found, given.records, POPULATION, given.references)
    if whole:
        Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    sys.exit(0 if max(one.anonymous for one in found) < LIMIT_GIB else 1)
