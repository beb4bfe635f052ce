"""Mean likelihoods over references, and the share of a population that a likelihood ratio beats."""

from collections.abc import Iterator

import numpy as np

from unseen.moments.sides import CHUNK
from unseen.signal import Bools, Floats

LEAST = np.finfo(np.float64).tiny  # a mean likelihood is never 0, so a ratio is never 0 / 0


def mean_likelihood(ref_loss: Floats) -> Floats:
    """Return the mean over references of exp(-loss), `(records,)`, from `ref_loss (references, records)`."""
    references, records = ref_loss.shape
    total = np.empty(records)
    for part in _chunks(records):
        _likelihood(ref_loss[:, part]).sum(axis=0, out=total[part])
    return np.maximum(total / references, LEAST)


def mean_out_likelihood(ref_loss: Floats, ref_member: Bools) -> Floats:
    """Return the mean over out references of exp(-loss), `(records,)`; over all where a record has none out."""
    references, records = ref_loss.shape
    total, count = np.empty(records), np.empty(records)
    for part in _chunks(records):
        likelihood, out = _likelihood(ref_loss[:, part]), ~ref_member[:, part]
        had = np.add.reduce(out.view(np.uint8), axis=0, dtype=np.uint32)
        if not had.all():
            out[:, had == 0] = True
        np.multiply(likelihood, out, out=likelihood)
        likelihood.sum(axis=0, out=total[part])
        count[part] = np.where(had == 0, references, had)
    return np.maximum(total / count, LEAST)


def mean_loss(ref_loss: Floats) -> Floats:
    """Return -log of the mean over references of exp(-loss), `(records,)`, shifted so that nothing underflows."""
    records = ref_loss.shape[1]
    result = np.empty(records)
    for part in _chunks(records):
        losses = ref_loss[:, part].astype(np.float64)
        least = losses.min(axis=0)
        np.subtract(least, losses, out=losses)
        result[part] = least - np.log(np.exp(losses, out=losses).mean(axis=0))
    return result


def _chunks(records: int) -> Iterator[slice]:
    return (slice(start, min(start + CHUNK, records)) for start in range(0, records, CHUNK))


def _likelihood(losses: Floats) -> Floats:
    negative = np.negative(losses)
    return np.exp(negative, out=negative)


def win_share(record: Floats, population: Floats, gamma: float) -> Floats:
    """Return the share of `population (z,)` ratios that each `record (records,)` ratio exceeds by more than `gamma`.

    For one target the comparison is a step function of the record's own ratio, so one sort and a binary search give
    the matrix form's number in O((n + z) log z) time and O(n + z) memory.

    >>> win_share(np.array([1.0, 4.0]), np.array([1.0, 1.5]), 2.0)
    array([0., 1.])
    """
    return np.searchsorted(np.sort(population), record / gamma, side="left") / population.size
