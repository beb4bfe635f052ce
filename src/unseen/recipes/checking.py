"""Whether a recipe does what references need of it: the same seed, the same model; and that it learns at all."""

import warnings
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from unseen.errors import TargetFailed, UnseenError
from unseen.features.rows import count_rows, take_rows
from unseen.recipe import Recipe
from unseen.signal import Array, Floats
from unseen.target import Answers

STREAM = 0xC4EC


def check_recipe(recipe: Recipe, features: Any, labels: Array, seed: int, rows: int = 200) -> list[str]:
    """Train twice with one seed on `rows` records drawn at random; return a sentence for each thing to know, or none.

    That the two models answer differently is reported and not refused: what is trained without a seed is a fair
    reference, but not one that can be had again. Raises `ModelError` where no usable model comes back, `TargetFailed`
    where training raises.
    """
    drawn = np.random.default_rng([seed, STREAM]).permutation(count_rows(features))[:rows]
    some, truth = take_rows(features, drawn), labels[drawn]
    first, again = (_answers(recipe, some, truth, seed) for _ in range(2))
    notes = []
    if first.shape != again.shape or not np.array_equal(first, again, equal_nan=True):
        notes.append(
            f"the recipe is not deterministic: two trainings with one seed answered {_differing(first, again)} of "
            f"{len(drawn)} records differently; seed all that is random in it from `seed`, to get the same references "
            "again."
        )
    if len(drawn) > 1 and (first == first[0]).all():
        notes.append(f"a model trained on {len(drawn)} records answers them all alike: it has learned nothing of them.")
    return notes


def _answers(recipe: Recipe, features: Any, labels: Array, seed: int) -> Floats:
    """Return what a newly trained model says of its own records, `(records, numbers)`."""
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # the user's own, of a training that is no audit's
        try:
            target = recipe.refit(features, labels, seed)
        except UnseenError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's training raises
            raise TargetFailed(
                f"the recipe raised {type(error).__name__} on {len(labels)} records; its message is withheld, as it "
                "may quote them: call it on the same records to see it."
            ) from None
        return _numbers(target.answer(features))


def _numbers(answers: Answers) -> Floats:
    given = (answers.log_probs, answers.decision, answers.value)
    best: Array = next((array for array in given if array is not None), answers.predicted)
    return best.astype(np.float64).reshape(len(answers.predicted), -1)


def _differing(first: Floats, again: Floats) -> int:
    return len(first) if first.shape != again.shape else int((first != again).any(axis=1).sum())
