"""The stacked engine: which references go into which stack, and which process trains it."""

import itertools
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import joblib
import numpy as np
import torch

from unseen.errors import PlanError
from unseen.recipes.torch import TorchRecipe, one_thread
from unseen.reference import ReferenceFailure, ReferenceTask
from unseen.references.processes import START_UP_SECONDS, Job, Outcome, Processes, end_with, in_processes
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
    trained by `Processes`; `said` holds what a reader should know of the last `train`, and `ready` is how many
    references are trained and not yet handed on.

    Models of one stack round alike, and others may not, batch norm least of all. So stacks are cut from all references
    of the task, at its `cuts`, whichever of them are wanted, and trained whole: an interrupted run ends with the same.
    """

    def __init__(self, stack: int | None = None, workers: int | None = None, precision: str | None = None) -> None:
        if precision not in PRECISIONS:
            raise PlanError(f"precision is float32 or bfloat16, got {precision!r}.")
        if stack is not None and stack < 1:
            raise PlanError(f"a stack holds 1 model or more, got {stack}.")
        self.stack, self.precision = stack, precision
        self.workers = workers or joblib.cpu_count()
        self.said: list[str] = []
        self.ready = 0

    def train(self, task: ReferenceTask, wanted: Sequence[int]) -> Iterator[Outcome]:
        """Yield each wanted reference as its stack finishes."""
        self.ready = 0
        together, self.said = stackable(task)
        if any(k in together for k in wanted):
            for outcomes in self._in_stacks(task, together, set(wanted)):
                self.ready = len(outcomes)
                for outcome in outcomes:
                    self.ready -= 1
                    yield outcome
        if alone := [k for k in wanted if k not in together]:
            yield from Processes(self.workers).train(task, alone)

    def _in_stacks(self, task: ReferenceTask, together: set[int], wanted: set[int]) -> Iterator[list[Outcome]]:
        """Yield what came of each stack that holds a wanted reference."""
        blocks = [_jobs(task, block & together) for block in _blocks(task)]
        plain = replace(task, features=as_tensor(task.features).numpy(), inclusion=task.inclusion[:0], seeds=())
        data = replace(plain, recipe=self._recipe(plain, next(jobs for jobs in blocks if jobs)))
        cut = [stack for jobs in blocks if jobs for stack in self._stacks(data.recipe, data.features, jobs)]
        stacks = [stack for stack in cut if wanted & {k for k, _, _ in stack}]
        for outcomes in self._of_stacks(data, stacks):
            yield [outcome for outcome in outcomes if outcome[0] in wanted]

    def _of_stacks(self, data: ReferenceTask, stacks: list[Stack]) -> Iterator[list[Outcome]]:
        if self._workers(data, stacks) == 1:
            for stack in stacks:
                yield self._noted(trained(data, stack))
            return
        for workers in (self.workers, 2):
            lost = {stack[0][0]: stack for stack in stacks}
            for results in in_processes(_numbered, ((os.getpid(), data, stack) for stack in stacks), workers):
                lost.pop(results[-1], None)
                yield self._noted(results[:2])
            stacks = list(lost.values())  # a worker process died: once more, in new ones
            if not stacks:
                return
        yield [(k, ReferenceFailure("worker process", "died")) for stack in stacks for k, _, _ in stack]

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


def stackable(task: ReferenceTask) -> tuple[set[int], list[str]]:
    """Return which of all references can be stacked, and why others cannot."""
    recipe: Any = task.recipe
    everyone = set(range(len(task.seeds)))
    if (reason := why_not(recipe) or misfit(recipe, task)) is not None:
        return set(), [f"references were trained one by one, not in stacks: {reason}."]
    if not any(isinstance(part, torch.nn.modules.batchnorm._BatchNorm) for part in recipe.build(0).modules()):  # noqa: SLF001
        return everyone, []
    small = {k for k in everyone if task.inclusion[k].sum() < recipe.batch_size}
    said = (
        f"references of fewer records than a batch of {recipe.batch_size} were trained one by one, not in stacks: the "
        "network has batch norm."
    )
    return everyone - small, [said] if small else []


def _blocks(task: ReferenceTask) -> list[set[int]]:
    """Return the references between the task's cuts."""
    count = len(task.seeds)
    edges = [0, *(cut for cut in task.cuts if cut < count), count]
    return [set(range(low, high)) for low, high in itertools.pairwise(edges)]


def _jobs(task: ReferenceTask, numbers: set[int]) -> list[Job]:
    """Return the jobs of references, those with most records first."""
    jobs = [(k, task.inclusion[k], task.seeds[k]) for k in sorted(numbers)]
    return sorted(jobs, key=lambda job: -int(job[1].sum()))


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


def _numbered(parent: int, data: ReferenceTask, stack: Stack) -> tuple[list[Outcome], list[str], int]:
    end_with(parent)
    return (*trained(data, stack), stack[0][0])
