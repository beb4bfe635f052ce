"""Signals that take more than answers: the weights, a log of the training, models taught by the target's answers."""

from functools import partial
from typing import Any

import numpy as np

from unseen.access import Access
from unseen.errors import DataError, PlanError
from unseen.features.rows import take_rows
from unseen.options import Options
from unseen.pool import Pool
from unseen.recipe import Recipe
from unseen.reference import ReferenceTask
from unseen.references.gather import gather
from unseen.references.inclusion import draw_inclusion, draw_seeds
from unseen.signal import Array
from unseen.signals.leverage import leverage
from unseen.signals.saturation import finite_bounds
from unseen.target import Answers, Target
from unseen.training import store_for

FEWEST_IMITATIONS, MOST_IMITATIONS = 2, 10  # as many as the paper takes
TAUGHT = 0.5  # of the population, drawn for each imitation
STREAM = 0x1417  # keeps the imitations' coins and seeds apart from the references'
OF_WEIGHTS = {"gradient_norm", "leverage"}


def deeper(
    target: Target, recipe: Recipe | None, pool: Pool, answers: Answers, options: Options, wanted: set[str]
) -> dict[str, Array]:
    """Return those of the signals `wanted` that can be had, by name; the others' attacks are then not applicable."""
    arrays = dict[str, Array]()
    if wanted & OF_WEIGHTS and Access.WEIGHTS in target.access:
        arrays |= _of_weights(target, pool, wanted)
    if "trajectory" in wanted and options.trajectory is not None:
        arrays["trajectory"] = _log(options.trajectory, pool)
    if "imitation_margin" in wanted and pool.population.size and recipe is not None:
        arrays |= _imitated(target, recipe, pool, answers, options)
    return arrays


def _of_weights(target: Any, pool: Pool, wanted: set[str]) -> dict[str, Array]:
    from unseen.targets.torch_gradients import gradient_norm, last_features  # PyTorch is there: the target came of it

    audited = take_rows(pool.features, pool.audited)
    truth = pool.label_index[pool.audited] if target.classes.size else pool.labels[pool.audited]
    arrays: dict[str, Array] = {}
    if "gradient_norm" in wanted:
        arrays["gradient_norm"] = gradient_norm(target, audited, truth)
    if "leverage" in wanted:
        arrays["leverage"] = leverage(last_features(target, audited), 0.0)
    return arrays


def _log(trajectory: Array, pool: Pool) -> Array:
    """Return the log `(records, epochs)` of members and then non-members in the order of the audited records."""
    rows = pool.copies["members"] + pool.copies["non_members"]
    if trajectory.ndim != 2 or trajectory.shape[0] != rows:
        raise DataError(
            f"trajectory must be the losses of all {rows} members and non-members, in that order, by epoch: got shape "
            f"{trajectory.shape}."
        )
    if not np.isfinite(trajectory).all():
        raise DataError(f"{int((~np.isfinite(trajectory)).sum())} losses of the trajectory are not finite.")
    return np.asarray(trajectory[pool.given], dtype=np.float64)


def _imitated(target: Target, recipe: Recipe, pool: Pool, answers: Answers, options: Options) -> dict[str, Array]:
    """Train models on the target's own probabilities over halves of the population, and ask them about the audited."""
    if not hasattr(recipe, "stackable") or answers.log_probs is None:
        raise PlanError("imitation needs a TorchRecipe, which can learn probabilities, and a target that gives them.")
    count = min(options.references, MOST_IMITATIONS)
    coins = np.zeros((count, len(pool)), dtype=np.bool_)
    drawn = draw_inclusion(options.seed + STREAM, count, pool.population.size, TAUGHT)
    coins[:, pool.population] = drawn
    soft = np.exp(answers.log_probs[: len(pool)]).astype(np.float32)
    seeds = draw_seeds(options.seed + STREAM, count)
    task = ReferenceTask(recipe, target.classes, pool.features, soft, pool.label_index, coins, seeds)
    store = store_for(task, pool.unit_of, options, TAUGHT, recipe.fingerprint())
    taught = gather(task, options.engine, store, partial(options.progress, "imitations"))
    if taught.margin is None or taught.finished < FEWEST_IMITATIONS:
        return {}
    margins = np.asarray(taught.margin[:, pool.audited])
    return {"imitation_margin": np.clip(margins, *finite_bounds(*margins))}
