"""References by retraining in parallel processes, one thread each."""

import functools
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import joblib
from threadpoolctl import threadpool_limits

from unseen.features.rows import take_rows
from unseen.reference import ReferenceAnswers, ReferenceFailure, ReferenceTask
from unseen.references.signals_of import named, signals_of
from unseen.signal import Bools

START_UP_SECONDS = 4.0  # of worker processes that import the libraries anew
WATCH_SECONDS = 1.0

Outcome = tuple[int, ReferenceAnswers | ReferenceFailure]
Job = tuple[int, Bools, int]
T = TypeVar("T")


class Processes:
    """Trains references in `workers` processes, one a core by default.

    The first is trained in this process; if the rest would take no longer than starting others does, they follow here.
    An engine that has trained before knows how long one takes.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or joblib.cpu_count()
        self.took: float | None = None  # seconds, of the last reference that was trained in this process

    def train(self, task: ReferenceTask, wanted: Sequence[int]) -> Iterator[Outcome]:
        """Yield each wanted reference as it finishes."""
        data = replace(task, inclusion=task.inclusion[:0], seeds=())
        jobs = [(k, task.inclusion[k], task.seeds[k]) for k in wanted]
        while jobs and (self.took is None or self.took * len(jobs) * (1 - 1 / self.workers) <= START_UP_SECONDS):
            started = time.perf_counter()
            outcome = train_one(data, *jobs.pop(0))
            self.took = time.perf_counter() - started
            yield outcome
        for workers in (self.workers, 2) if jobs else ():
            lost = set(_numbers(jobs))
            for outcome in in_processes(_train_for, ((os.getpid(), data, *job) for job in jobs), workers):
                lost.discard(outcome[0])
                yield outcome
            jobs = [job for job in jobs if job[0] in lost]  # a worker process died: once more, in new ones
            if not jobs:
                return
        yield from ((k, ReferenceFailure("worker process", "died")) for k in _numbers(jobs))


def _numbers(jobs: Sequence[Job]) -> list[int]:
    return [k for k, _, _ in jobs]


def in_processes(work: Callable[..., T], jobs: Iterable[tuple[Any, ...]], workers: int) -> Iterator[T]:
    """Yield what `work` returns for each job, as it comes; where a worker process dies, stop.

    Closed before its end, by Ctrl-C or for want of time, it ends the workers and says nothing.
    """
    try:
        with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
            parallel = joblib.Parallel(n_jobs=workers, return_as="generator_unordered")
            with deaf_to_interrupts():
                results = parallel(joblib.delayed(work)(*job) for job in jobs)
            try:
                for result in results:  # noqa: UP028 - it would close them itself, before what follows
                    yield result
            finally:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # joblib's, that what it had begun was cancelled
                    results.close()
    except BrokenProcessPool:
        return


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Start worker processes that leave Ctrl-C to this one, which ends them; they inherit what is ignored here."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _train_for(parent: int, task: ReferenceTask, k: int, included: Bools, seed: int) -> Outcome:
    end_with(parent)
    return train_one(task, k, included, seed)


@functools.cache
def end_with(parent: int) -> None:
    """In a worker process, see to it that it ends soon after `parent`, which started it, is gone, killed say."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os._exit(1)

    if os.getppid() == parent:
        threading.Thread(target=watch, daemon=True).start()


def train_one(task: ReferenceTask, k: int, included: Bools, seed: int) -> Outcome:
    """Train reference `k` on the included rows and ask it about all; an error is named, its message withheld."""
    stage = "fit"
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # sixteen times the user's own convergence warning helps nobody
        try:
            rows = included.nonzero()[0]
            reference = task.recipe.refit(take_rows(task.features, rows), task.labels[rows], seed)
            stage = "answer"
            answers = reference.answer(task.features)
            stage = "signals"
            return k, signals_of(answers, reference.classes, task)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's estimator raises is a named failure
            return k, named(stage, error)
