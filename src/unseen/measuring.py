"""Measuring: from a target's and its references' answers to signals, in the order of the audited records."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unseen.features.numbers import as_numbers
from unseen.features.perturb import perturbed
from unseen.features.rows import take_rows
from unseen.pool import Pool
from unseen.references.gather import Gathered
from unseen.signal import Array, Floats, Signals
from unseen.signals.confidence import confidence
from unseen.signals.entropy import entropy, modified_entropy
from unseen.signals.loss import loss
from unseen.signals.margin import decision_margin, margin
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
    correct: Array = field(repr=False)


def measure(pool: Pool, answers: Answers, references: Gathered, wanted: Sequence[str]) -> Measured:
    """Return every signal that can be had from what was answered; `wanted` names those that cost more than that."""
    rows, others = pool.audited, pool.population
    arrays: dict[str, Array] = {
        "label": pool.label_index[rows],
        "correct": (answers.predicted == pool.label_index).astype(np.float64)[rows],
    }
    if "features" in wanted:
        arrays["features"] = as_numbers(pool.features)[rows]
    margins, losses = _margins(answers, pool), _losses(answers, pool)
    stuck = 0
    if margins is not None:
        stuck = saturated(margins[rows])
        own, refs = _finite(margins, references.margin)
        arrays["margin"] = own[rows]
        if refs is not None and references.finished:
            arrays["ref_margin"] = refs[:, rows]
    if losses is not None:
        own, refs = _finite(losses, references.loss)
        arrays["loss"] = own[rows]
        _add_population(arrays, own, refs, references, others)
        if refs is not None and references.finished:
            arrays["ref_loss"] = refs[:, rows]
    if references.finished and references.margin is not None:
        arrays["ref_member"] = references.member[:, rows]
    if answers.log_probs is not None:
        arrays |= _from_probabilities(answers.log_probs[rows], pool.label_index[rows])
    return Measured(Signals(**arrays), stuck, len(pool), arrays["correct"])


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


def _margins(answers: Answers, pool: Pool) -> Floats | None:
    if answers.log_probs is not None:
        return margin(answers.log_probs, pool.label_index)
    return None if answers.decision is None else decision_margin(answers.decision, pool.label_index)


def _losses(answers: Answers, pool: Pool) -> Floats | None:
    return None if answers.log_probs is None else loss(answers.log_probs, pool.label_index)


def _finite(own: Floats, references: Floats | None) -> tuple[Floats, Floats | None]:
    """Put one finite value in the place of infinite ones, the same for the target and its references."""
    low, high = finite_bounds(own, *([] if references is None else [references]))
    own = np.clip(own, low, high)
    return own, None if references is None else np.clip(references, low, high)


def _add_population(
    arrays: dict[str, Array], own: Floats, refs: Floats | None, references: Gathered, others: Array
) -> None:
    if others.size == 0:
        return
    arrays["population_loss"] = own[others]
    if refs is not None and references.finished:
        arrays["ref_population_loss"] = refs[:, others]
        arrays["ref_population_member"] = references.member[:, others]


def _from_probabilities(log_probs: Floats, label: Array) -> dict[str, Any]:
    modified = modified_entropy(log_probs, label)
    return {
        "confidence": confidence(log_probs),
        "entropy": entropy(log_probs),
        "modified_entropy": np.clip(modified, *finite_bounds(modified)),
    }
