"""From what a reference answered to the signals that are kept of it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from unseen.errors import ModelError, PlanError
from unseen.reference import ReferenceAnswers, ReferenceFailure, ReferenceTask
from unseen.signal import Array, Floats
from unseen.signals.loss import loss
from unseen.signals.margin import decision_margin, margin
from unseen.signals.residual import residual_loss, residual_margin
from unseen.target import Answers


def signals_of(answers: Answers, found: Array, task: ReferenceTask) -> ReferenceAnswers:
    """Return the margin and loss, float32, of a reference whose classes are `found`, on every record of `task`.

    A class that its training records lacked has probability 0. Raises `FloatingPointError` where an answer is not a
    number, as after a training that diverged, and `ModelError` where there is none and the target gives some.
    """
    if task.scale is not None:
        if answers.value is None:
            raise ModelError("the recipe's model gives no values, as the target does; have it return a regressor.")
        residual = task.labels.astype(np.float64) - answers.value
        return _kept(residual_margin(residual, task.scale), residual_loss(residual, task.scale))
    places = _places(found, task.classes)
    if answers.log_probs is not None:
        log_probs = _in_order(answers.log_probs, places)
        with np.errstate(invalid="ignore", divide="ignore"):
            return _kept(margin(log_probs, task.label_index), loss(log_probs, task.label_index))
    if answers.decision is not None:
        return _kept(decision_margin(_in_order(answers.decision, places), task.label_index), None)
    if task.scored:
        raise ModelError(
            "the recipe's model gives neither probabilities nor decision scores, as the target does; have it return a "
            "classifier like the target, or name the classes of a TorchRecipe."
        )
    return ReferenceAnswers(None, None)


def named(stage: str, error: BaseException) -> ReferenceFailure:
    """Return a failure by the type of its error; by its message where that is our own and says what to repair."""
    return ReferenceFailure(stage, str(error) if type(error) in {ModelError, PlanError} else type(error).__name__)


def _kept(margins: Floats, losses: Floats | None) -> ReferenceAnswers:
    if any(array is not None and np.isnan(array).any() for array in (margins, losses)):
        raise FloatingPointError("a reference's answers are not numbers.")
    return ReferenceAnswers(margins.astype(np.float32), None if losses is None else losses.astype(np.float32))


def _places(found: Array, classes: Array) -> list[int]:
    """Return where each class of the target stands among the reference's; -1 where its subset had none of it."""
    have = {label: place for place, label in enumerate(found.tolist())}
    return [have.get(label, -1) for label in classes.tolist()]


def _in_order(columns: Any, places: Sequence[int]) -> Any:
    wide = np.column_stack([columns, np.full(columns.shape[0], -np.inf)])
    return wide[:, list(places)]
