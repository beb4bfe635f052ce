"""The stacked engine: which references go into which stack, and which process trains it."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from typing import Any

import joblib
import numpy as np
import torch

from unseen.errors import PlanError
from unseen.recipes.torch import TorchRecipe, one_thread
from unseen.reference import ReferenceFailure, ReferenceTask
from unseen.references.processes import START_UP_SECONDS, Job, Outcome, Processes, deaf_to_interrupts
from unseen.references.stacked.fidelity import MOST_SHARE, precision_share
from unseen.references.stacked.program import why_not
from unseen.references.stacked.sizes import stack_size
from unseen.references.stacked.trained import misfit, started, trained
from unseen.targets.torch import as_tensor

TIMED_STEPS = 3
PRECISIONS = (None, "float32", "bfloat16")
Stack = list[Job]


class Stacked:
    """Trains references of a `TorchRecipe` in stacks of `stack` models, as many as fit the cache or the memory.

    `workers` processes of one thread, one a core by default, share the stacks; on an accelerator, this one trains them
    (written for any device, tested on CPUs).
    `precision` is the recipe's unless named; `bfloat16` is tried against float32 first. What cannot be stacked is
    trained by `Processes`; `said` holds what a reader should know of the last `train`.
    """

    def __init__(self, stack: int | None = None, workers: int | None = None, precision: str | None = None) -> None:
        if precision not in PRECISIONS:
            raise PlanError(f"precision is float32 or bfloat16, got {precision!r}.")
        if stack is not None and stack < 1:
            raise PlanError(f"a stack holds 1 model or more, got {stack}.")
        self.stack, self.precision = stack, precision
        self.workers = workers or joblib.cpu_count()
        self.said: list[str] = []

    def train(self, task: ReferenceTask, wanted: Sequence[int]) -> Iterator[Outcome]:
        """Yield each wanted reference as its stack finishes."""
        self.said = []
        stackable, alone = self._parted(task, wanted)
        if stackable:
            yield from self._in_stacks(task, stackable)
        if alone:
            yield from Processes(self.workers).train(task, alone)

    def _parted(self, task: ReferenceTask, wanted: Sequence[int]) -> tuple[list[int], list[int]]:
        """Return which references can be stacked and which cannot, and say why."""
        recipe: Any = task.recipe
        if (reason := why_not(recipe) or misfit(recipe, task)) is not None:
            self.said.append(f"references were trained one by one, not in stacks: {reason}.")
            return [], list(wanted)
        if not any(isinstance(part, torch.nn.modules.batchnorm._BatchNorm) for part in recipe.build(0).modules()):  # noqa: SLF001
            return list(wanted), []
        small = {k for k in wanted if task.inclusion[k].sum() < recipe.batch_size}
        if small:
            self.said.append(
                f"{len(small)} of {len(wanted)} references were trained one by one, not in stacks: batch norm with "
                f"fewer records than a batch of {recipe.batch_size}."
            )
        return [k for k in wanted if k not in small], [k for k in wanted if k in small]

    def _in_stacks(self, task: ReferenceTask, wanted: Sequence[int]) -> Iterator[Outcome]:
        jobs = sorted(((k, task.inclusion[k], task.seeds[k]) for k in wanted), key=lambda job: -int(job[1].sum()))
        plain = replace(task, features=as_tensor(task.features).numpy(), inclusion=task.inclusion[:0], seeds=())
        data = replace(plain, recipe=self._recipe(plain, jobs))
        stacks = self._stacks(data.recipe, data.features, jobs)
        if self._workers(data, stacks) == 1:
            for stack in stacks:
                yield from self._noted(trained(data, stack))
            return
        for workers in (self.workers, 2):
            lost = {stack[0][0]: stack for stack in stacks}
            for results in _in_processes(data, stacks, workers):
                lost.pop(results[-1], None)
                yield from self._noted(results[:2])
            stacks = list(lost.values())  # a worker process died: once more, in new ones
            if not stacks:
                return
        yield from ((k, ReferenceFailure("worker process", "died")) for stack in stacks for k, _, _ in stack)

    def _noted(self, results: tuple[list[Outcome], list[str]]) -> list[Outcome]:
        self.said += [note for note in results[1] if note not in self.said]
        return results[0]

    def _recipe(self, task: ReferenceTask, jobs: Sequence[Job]) -> TorchRecipe:
        """Return the recipe in the precision to be used."""
        recipe: Any = task.recipe
        if self.precision in {None, recipe.dtype}:
            return recipe
        if self.precision == "float32":
            return replace(recipe, dtype="float32")
        share = precision_share(task, jobs)
        if share is not None and share <= MOST_SHARE:
            self.said.append(f"products in bfloat16: margins move by {share:.0%} of the spread between models.")
            return replace(recipe, dtype="bfloat16")
        found = "could not be compared" if share is None else f"move by {share:.0%} of the spread between models"
        self.said.append(f"products in float32: in bfloat16 margins {found}, and {MOST_SHARE:.0%} is allowed.")
        return recipe

    def _stacks(self, recipe: Any, features: Any, jobs: Sequence[Job]) -> list[Stack]:
        """Return stacks of models with like many records, as many a worker."""
        size = self.stack or stack_size(recipe, recipe.records(features))
        least = -(-len(jobs) // size)
        count = least if self.stack else min(-(-least // self.workers) * self.workers, len(jobs))
        return [[jobs[place] for place in part] for part in np.array_split(np.arange(len(jobs)), count)]

    def _workers(self, data: ReferenceTask, stacks: Sequence[Stack]) -> int:
        """Return how many processes to use: one where the others would take longer to start than they save."""
        recipe: Any = data.recipe
        if self.workers == 1 or len(stacks) == 1 or torch.device(recipe.device).type != "cpu":
            return 1
        try:
            seconds = _seconds(data, stacks[0]) * len(stacks)
        except Exception:  # noqa: BLE001 - whatever a user's module raises: it is named when its turn comes
            return self.workers
        return self.workers if seconds * (1 - 1 / self.workers) > START_UP_SECONDS else 1


def _seconds(data: ReferenceTask, stack: Stack) -> float:
    """Return about how long a stack will train, from its first steps."""
    with one_thread():
        training = started(data, stack)
        steps = min(TIMED_STEPS, training.steps - 1)
        training.step()
        begun = time.perf_counter()
        for _ in range(steps):
            training.step()
        return (time.perf_counter() - begun) / max(steps, 1) * training.steps


def _in_processes(
    data: ReferenceTask, stacks: Sequence[Stack], workers: int
) -> Iterator[tuple[list[Outcome], list[str], int]]:
    """Yield each stack's outcomes, notes and first number as they come; where a worker process dies, stop."""
    try:
        with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
            parallel = joblib.Parallel(n_jobs=workers, return_as="generator_unordered")
            with deaf_to_interrupts():
                results = parallel(joblib.delayed(_numbered)(data, stack) for stack in stacks)
            yield from results
    except BrokenProcessPool:
        return


def _numbered(data: ReferenceTask, stack: Stack) -> tuple[list[Outcome], list[str], int]:
    return (*trained(data, stack), stack[0][0])
