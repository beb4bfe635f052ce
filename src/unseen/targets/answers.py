"""What a model returned, checked before anything is measured on it."""

import numpy as np
from scipy.special import log_softmax

from unseen.errors import ModelError
from unseen.signal import Array, Floats
from unseen.target import Answers

SUM_TOLERANCE = 1e-3  # float16 answers sum to 1 within this


def answers_from_probs(probs: Floats) -> Answers:
    """Return the answers of a classifier with these probabilities `(records, classes)`.

    The class is that of the largest probability, not of the largest logarithm: a lead of one unit in the last place is
    lost when logarithms are taken, and a control that keeps the label would seem to change it.
    """
    return Answers(probs.argmax(axis=1), log_probs=log_of(probs))


def answers_from_logits(logits: Array, records: int, classes: int) -> Answers:
    """Return the answers of a classifier with these logits; the class is that of the largest, for the same reason."""
    scores = checked_scores(logits, records, classes)
    return Answers(scores.argmax(axis=1), log_probs=np.asarray(log_softmax(scores, axis=1)))


def log_of(probs: Floats) -> Floats:
    """Return the logarithms of probabilities that were checked; those a hair above 1 count as 1."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.minimum(probs, 1.0)))


def checked_log_probs(answer: Array, records: int, classes: int) -> Floats:
    """Return log probabilities `(records, classes)` float64 from a model's probabilities, or raise `ModelError`."""
    return log_of(checked_probs(answer, records, classes))


def checked_probs(answer: Array, records: int, classes: int) -> Floats:
    """Return a model's probabilities `(records, classes)` float64, or raise `ModelError`."""
    probs = _as_array(answer)
    if probs.ndim == 1 and classes == 2:
        probs = np.column_stack([1 - probs, probs])
    if probs.shape != (records, classes):
        raise ModelError(f"the model must give {classes} probabilities for {records} records, got shape {probs.shape}.")
    if probs.dtype.kind not in "fiub":
        raise ModelError(f"the model's probabilities must be numbers, got {probs.dtype}.")
    probs = probs.astype(np.float64)
    bad = int((~np.isfinite(probs)).any(axis=1).sum())
    if bad:
        raise ModelError(f"the model gave NaN or infinite probabilities for {bad} of {records} records.")
    if (probs < 0).any() or (probs > 1 + SUM_TOLERANCE).any():
        raise ModelError("the model gave probabilities outside [0, 1]; pass log-probabilities or logits as such.")
    off = int((np.abs(probs.sum(axis=1) - 1) > SUM_TOLERANCE).sum())
    if off:
        raise ModelError(f"the model's probabilities do not sum to 1 for {off} of {records} records.")
    return np.asarray(probs)


def log_probs_from_logits(logits: Array, records: int, classes: int) -> Floats:
    """Return log probabilities `(records, classes)` from logits, one a record being the second class's log odds."""
    scores = checked_scores(logits, records, classes)
    return np.asarray(log_softmax(scores, axis=1))


def checked_scores(answer: Array, records: int, classes: int) -> Floats:
    """Return decision scores `(records, classes)` float64; of two classes, one score counts for the second."""
    scores = _as_array(answer)
    if scores.dtype.kind not in "fiub":
        raise ModelError(f"the model's scores must be numbers, got {scores.dtype}.")
    scores = scores.astype(np.float64)
    if scores.ndim == 2 and scores.shape[1] == 1 and classes == 2:
        scores = scores[:, 0]
    if scores.ndim == 1 and classes == 2:
        scores = np.column_stack([np.zeros_like(scores), scores])
    if scores.shape != (records, classes):
        raise ModelError(f"the model must give {classes} scores for {records} records, got shape {scores.shape}.")
    bad = int((~np.isfinite(scores)).any(axis=1).sum())
    if bad:
        raise ModelError(f"the model gave NaN or infinite scores for {bad} of {records} records.")
    return scores


def _as_array(answer: object) -> Array:
    try:
        return np.asarray(answer)
    except ValueError:
        raise ModelError("the model gave answers of different lengths for different records.") from None
