"""Mean likelihoods over references, and the share of a population that a likelihood ratio beats."""

import numpy as np

from unseen.moments.sides import CHUNK
from unseen.signal import Bools, Floats

LEAST = np.finfo(np.float64).tiny  # a mean likelihood is never 0, so a ratio is never 0 / 0


def mean_likelihood(ref_loss: Floats) -> Floats:
    """Return the mean over references of exp(-loss), `(records,)`, from `ref_loss (references, records)`."""
    references, records = ref_loss.shape
    total = np.empty(records)
    for start in range(0, records, CHUNK):
        np.exp(-ref_loss[:, start : start + CHUNK]).sum(axis=0, out=total[start : start + CHUNK])
    return np.maximum(total / references, LEAST)


def mean_out_likelihood(ref_loss: Floats, ref_member: Bools) -> Floats:
    """Return the mean over out references of exp(-loss), `(records,)`; over all where a record has none out."""
    records = ref_loss.shape[1]
    total, out = np.empty(records), np.empty(records)
    for start in range(0, records, CHUNK):
        stop = min(start + CHUNK, records)
        weight = (~ref_member[:, start:stop]).astype(np.float64)
        weight[:, weight.sum(axis=0) == 0] = 1.0
        out[start:stop] = weight.sum(axis=0)
        total[start:stop] = np.einsum("kr,kr->r", np.exp(-ref_loss[:, start:stop]), weight)
    return np.maximum(total / out, LEAST)


def win_share(record: Floats, population: Floats, gamma: float) -> Floats:
    """Return the share of `population (z,)` ratios that each `record (records,)` ratio exceeds by more than `gamma`.

    For one target the comparison is a step function of the record's own ratio, so one sort and a binary search give
    the matrix form's number in O((n + z) log z) time and O(n + z) memory.

    >>> win_share(np.array([1.0, 4.0]), np.array([1.0, 1.5]), 2.0)
    array([0., 1.])
    """
    return np.searchsorted(np.sort(population), record / gamma, side="left") / population.size
