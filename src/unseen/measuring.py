"""Measuring: from a target's and its references' answers to signals, in the order of the audited records."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unseen.features.numbers import as_numbers
from unseen.features.perturb import perturbed
from unseen.features.rows import take_rows
from unseen.pool import Pool
from unseen.queries import Copies
from unseen.references.gather import Gathered
from unseen.references.spool import columns_of
from unseen.signal import Array, Floats, Signals
from unseen.signals.confidence import confidence
from unseen.signals.entropy import entropy, modified_entropy
from unseen.signals.loss import loss
from unseen.signals.margin import decision_margin, margin
from unseen.signals.residual import residual_loss, residual_margin, residual_scale
from unseen.signals.saturation import finite_bounds, saturated
from unseen.target import Answers, Target

STRENGTHS = (0.05, 0.1, 0.2, 0.4)
NOISE_STREAM = 0x4015E


@dataclass(frozen=True)
class Measured:
    """The signals of one audit; how many of the target's answers were exactly 0 or 1, and how many it was asked."""

    signals: Signals
    saturated_answers: int
    queries: int


def measure(pool: Pool, answers: Answers, references: Gathered, wanted: Sequence[str], copies: Copies) -> Measured:
    """Return every signal that can be had from what was answered; `wanted` names those that cost more than that.

    `answers` and `references` are of the pool and, behind it, of the `copies` that were asked.
    """
    rows = pool.audited
    arrays: dict[str, Array] = {"label": pool.label_index[rows]}
    if answers.value is None:
        arrays["correct"] = (answers.predicted[: len(pool)] == pool.label_index).astype(np.float64)[rows]
    if "features" in wanted:
        arrays["features"] = as_numbers(pool.features)[rows]
    margins, losses = _margins(answers, pool, copies), _losses(answers, pool, copies)
    stuck = 0 if margins is None else saturated(margins[rows])
    if pool.population.size:
        arrays["population_label"] = pool.label_index[pool.population]
    for name, own, refs in (("margin", margins, references.margin), ("loss", losses, references.loss)):
        if own is not None:
            arrays |= _of_models(name, own, refs if references.finished else None, references, pool, copies)
    if references.finished and references.margin is not None:
        arrays["ref_member"] = columns_of(references.member, rows, folder=references.folder)
        if pool.population.size:
            arrays["ref_population_member"] = columns_of(references.member, pool.population, folder=references.folder)
    if answers.log_probs is not None:
        arrays |= _from_probabilities(answers.log_probs[rows], pool.label_index[rows])
    return Measured(Signals(**arrays), stuck, answers.predicted.size)


def _of_models(
    name: str, own: Floats, refs: Floats | None, references: Gathered, pool: Pool, copies: Copies
) -> dict[str, Array]:
    """Return one signal of the target and of its references: on the audited records, the population and the copies.

    One finite value stands in the place of infinite ones, the same for the target and its references; and the target's
    numbers are rounded as the references' are, or the last digits of an answer would be a difference between models.
    """
    own = own.astype(np.float32)
    bounds = finite_bounds(own, *([] if refs is None else refs))
    own = np.clip(own, *bounds).astype(np.float64)
    arrays = {name: own[pool.audited]}
    if pool.population.size:
        arrays[f"population_{name}"] = own[pool.population]
    if copies.queries:
        arrays[f"query_{name}"] = copies.of(own)
    if refs is None:
        return arrays
    arrays[f"ref_{name}"] = columns_of(refs, pool.audited, bounds, references.folder)
    if pool.population.size:
        arrays[f"ref_population_{name}"] = columns_of(refs, pool.population, bounds, references.folder)
    if copies.queries:
        arrays[f"ref_query_{name}"] = copies.of(np.clip(refs, *bounds))
    return arrays


def robustness(target: Target, pool: Pool, copies: int, seed: int, progress: Callable[[int, int], None]) -> Floats:
    """Return the share of `copies` perturbed copies of each audited record still given its true class, `(records,)`.

    Copy c is perturbed at strength c of 0.05, 0.1, 0.2 and 0.4 in turn, in canonical order; the target is asked
    `copies` times per record.
    """
    order = np.sort(pool.audited)
    table, label = take_rows(pool.features, order), pool.label_index[order]
    held = np.zeros(order.size)
    for copy in range(copies):
        rng = np.random.default_rng([seed, NOISE_STREAM, copy])
        answers = target.answer(perturbed(table, STRENGTHS[copy % len(STRENGTHS)], rng))
        held += answers.predicted == label
        progress(copy + 1, copies)
    return (held / copies)[np.searchsorted(order, pool.audited)]


def unit_of_residuals(answers: Answers, pool: Pool) -> float | None:
    """Return the scale of a regressor's residuals over the whole pool; None for a classifier."""
    if answers.value is None:
        return None
    return residual_scale(np.asarray(pool.labels.astype(np.float64) - answers.value[: len(pool)]))


def _asked(values: Array, pool: Pool, copies: Copies) -> Array:
    """Return one value a record of the pool as one a row that was asked."""
    return np.concatenate([values, np.tile(values[pool.audited], len(copies.queries))])


def _margins(answers: Answers, pool: Pool, copies: Copies) -> Floats | None:
    if answers.value is not None:
        residuals = _asked(pool.labels.astype(np.float64), pool, copies) - answers.value
        return residual_margin(residuals, unit_of_residuals(answers, pool) or 1.0)
    label = _asked(pool.label_index, pool, copies)
    if answers.log_probs is not None:
        return margin(answers.log_probs, label)
    return None if answers.decision is None else decision_margin(answers.decision, label)


def _losses(answers: Answers, pool: Pool, copies: Copies) -> Floats | None:
    if answers.value is not None:
        residuals = _asked(pool.labels.astype(np.float64), pool, copies) - answers.value
        return residual_loss(residuals, unit_of_residuals(answers, pool) or 1.0)
    return None if answers.log_probs is None else loss(answers.log_probs, _asked(pool.label_index, pool, copies))


def _from_probabilities(log_probs: Floats, label: Array) -> dict[str, Any]:
    modified = modified_entropy(log_probs, label)
    return {
        "confidence": confidence(log_probs),
        "entropy": entropy(log_probs),
        "modified_entropy": np.clip(modified, *finite_bounds(modified)),
    }
