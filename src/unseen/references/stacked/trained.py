"""From a stack of references to be trained to their signals; where a stack will not do, one by one."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from unseen.recipes.torch import TorchRecipe, one_thread
from unseen.recipes.torch_chance import Chance, own_masks
from unseen.reference import ReferenceFailure, ReferenceTask
from unseen.references.processes import Job, Outcome, train_one
from unseen.references.stacked.answers import answered
from unseen.references.stacked.layers import CannotStack, Pass
from unseen.references.stacked.program import Program
from unseen.references.stacked.training import Member, Table, Training, stacked

TRIED_RECORDS, TRIED_MODELS = 16, 2
RELATIVE, ABSOLUTE = 1e-3, 1e-4  # of float32 outputs that differ by the order of their sums


def trained(task: ReferenceTask, jobs: Sequence[Job]) -> tuple[list[Outcome], list[str]]:
    """Train the references of `jobs` as one stack and ask them about all records; with notes on what went otherwise.

    Out of memory, two stacks of half as many. Whatever else goes wrong is one model's: each is trained alone.
    """
    with warnings.catch_warnings(), threadpool_limits(1), one_thread():
        warnings.simplefilter("ignore")  # as where references are trained one by one
        try:
            return _as_stack(task, jobs), []
        except (torch.OutOfMemoryError, MemoryError):
            pass  # what the stack held is let go with its error, before the halves start
        except Exception:  # noqa: BLE001 - whatever a user's module raises: each model's own is named
            return [train_one(task, *job) for job in jobs], []
    if len(jobs) == 1:
        return [(jobs[0][0], ReferenceFailure("fit", "OutOfMemoryError"))], []
    half = len(jobs) // 2
    parts = [trained(task, part) for part in (jobs[:half], jobs[half:])]
    note = f"a stack of {len(jobs)} models did not fit the memory; it was trained as two of half as many."
    return [one for outcomes, _ in parts for one in outcomes], [note, *(one for _, notes in parts for one in notes)]


def _as_stack(task: ReferenceTask, jobs: Sequence[Job]) -> list[Outcome]:
    training = started(task, jobs)
    training.finish()
    finite = training.finite()
    recipe, program, table = training.recipe, training.program, training.table
    answers = answered(recipe, program, training.weights, table.features, task)
    return [
        (member.k, answer if kept else ReferenceFailure("fit", FloatingPointError.__name__))
        for member, kept, answer in zip(training.members, finite, answers, strict=True)
    ]


def started(task: ReferenceTask, jobs: Sequence[Job]) -> Training:
    """Return the stack of `jobs` before its first step."""
    recipe: Any = task.recipe
    members = [Member(k, torch.from_numpy(included.nonzero()[0]), seed) for k, included, seed in jobs]
    return Training(recipe, Program(recipe.build(0)), table_of(recipe, task), members)


def table_of(recipe: TorchRecipe, task: ReferenceTask) -> Table:
    """Return the records of `task` on the recipe's device."""
    return Table(recipe.records(task.features).to(recipe.device), recipe.aims(task.labels).to(recipe.device))


def misfit(recipe: TorchRecipe, task: ReferenceTask) -> str | None:
    """Return why these records cannot be trained on in stacks: tried on a few, where two models must answer alike.

    The stack is compared with the modules themselves, in training and in evaluation.
    """
    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore")
        try:
            recipe.aims(task.labels)
            return None if _agrees(recipe, task) else "stacked, its module gives other answers"
        except CannotStack as reason:
            return str(reason)
        except Exception as error:  # noqa: BLE001 - whatever a user's module raises; trained alone, it is named
            return f"it raised {type(error).__name__} on these records"


def _agrees(recipe: TorchRecipe, task: ReferenceTask) -> bool:
    records = recipe.records(task.features[:TRIED_RECORDS]).to(recipe.device)
    modules = [recipe.build(seed) for seed in range(TRIED_MODELS)]
    program, weights = Program(recipe.build(0)), stacked(modules)
    chances = [Chance(seed, recipe.device) for seed in range(TRIED_MODELS)]

    def mask(shape: tuple[int, ...], rate: float) -> torch.Tensor:
        drawn = torch.empty(TRIED_MODELS, *shape, device=recipe.device)
        for one, chance in zip(drawn, chances, strict=True):
            chance.fill_mask(one, rate)
        return drawn

    shared = records.unsqueeze(1).repeat(1, TRIED_MODELS, *(1,) * (records.ndim - 1))
    with torch.no_grad():
        for training in (True, False):
            ours = program(Pass(weights, mask if training else None), shared.clone())
            for seed, module in enumerate(modules):
                with own_masks(module, Chance(seed, recipe.device)):
                    theirs = module.train(training)(records.clone())
                if not np.allclose(ours[:, seed].cpu(), theirs.cpu(), RELATIVE, ABSOLUTE):
                    return False
    return True
