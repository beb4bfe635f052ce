"""Pair: what one fit answers of every record had it been trained on, and had it not."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unseen.reference import ReferenceTask
from unseen.signal import Array, Bools, Floats
from unseen.target import Answers


@dataclass(frozen=True)
class Pair:
    """`inside` is the answer to each record by a model that had it, `outside` by the same model without it.

    Columns of classes are the task's.
    """

    inside: Answers = field(repr=False)
    outside: Answers = field(repr=False)


Fit = Callable[[Any, ReferenceTask, Bools, int], Pair | None]
"""From a table, the task, the records fitted on and a seed to a pair; None where only another fit could tell."""


def by_class(log_probs: Floats) -> Answers:
    """Return the answers of a classifier with these `log_probs (records, classes)`."""
    return Answers(log_probs.argmax(axis=1), log_probs=log_probs)


def by_score(decision: Floats) -> Answers:
    """Return the answers of a classifier with these scores `decision (records, classes)`."""
    return Answers(decision.argmax(axis=1), decision=decision)


def by_value(value: Floats) -> Answers:
    """Return the answers of a regressor with these values `(records,)`."""
    return Answers(np.zeros(value.shape[0], dtype=np.intp), value=value)


def class_counts(task: ReferenceTask, included: Bools) -> Array:
    """Return how many of the included records each class has, `(classes,)`."""
    return np.bincount(task.label_index[included], minlength=task.classes.size)


def left_with_two(counts: Array) -> bool:
    """Say whether two classes or more are left whichever record is taken from classes of these `counts (classes,)`."""
    return bool((counts > 0).sum() > 2 or (counts > 1).sum() > 1)


def class_weights(estimator: Any, task: ReferenceTask) -> Floats:
    """Return the weight of each record, `(records,)`, by an estimator's dictionary of weights of classes, or 1."""
    given = getattr(estimator, "class_weight", None) or {}
    weights = np.array([float(given.get(label, 1.0)) for label in task.classes.tolist()])
    return weights[task.label_index] if task.classes.size else np.ones(task.label_index.size)


def without_balance(estimator: Any) -> str | None:
    """Say that weights which depend on the records make each of them matter twice; None where they do not."""
    given = getattr(estimator, "class_weight", None)
    if given is None or isinstance(given, dict):
        return None
    return f"class_weight={given!r} makes every weight depend on every record"
