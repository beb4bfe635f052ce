"""The empirical-Bayes prior of many variances: Smyth 2004, Stat. Appl. Genet. Mol. Biol. 3(1), article 3, as limma."""

from dataclasses import dataclass

import numpy as np
from scipy.special import digamma, polygamma

from unseen.moments.sides import Side
from unseen.signal import Floats

MOST_FREEDOM = 1e6  # beyond this a Student t is a normal to eight digits


@dataclass(frozen=True)
class Prior:
    """A scaled inverse chi-squared prior: `freedom` degrees of freedom and the `variance` it centres on."""

    freedom: float
    variance: float


def fit_prior(side: Side) -> Prior:
    """Return the prior whose moments of log variance match those of the records with at least two references.

    Zero variances count as 1e-5 of the median, much as limma does, so that one frozen record cannot decide the prior.
    Where fewer than three records have a variance, the prior is the pooled variance, held to completely.
    """
    known = side.freedom > 0
    if known.sum() < 3 or not side.squares[known].any():
        return Prior(MOST_FREEDOM, side.pooled_variance)
    freedom = side.freedom[known]
    variance = side.squares[known] / freedom
    middle = float(np.median(variance[variance > 0]))
    place = freedom.astype(np.intp)
    levels = np.arange(1, place.max() + 1) / 2
    offset, noise = digamma(levels) - np.log(levels), polygamma(1, levels)
    centred = np.log(np.maximum(variance, 1e-5 * middle)) - offset[place - 1]
    mean = float(centred.mean())
    excess = float(centred.var(ddof=1) - noise[place - 1].mean())
    if excess <= 0:
        return Prior(MOST_FREEDOM, float(np.exp(mean)))
    prior = min(2 * inverse_trigamma(excess), MOST_FREEDOM)
    return Prior(prior, float(np.exp(mean + digamma(prior / 2) - np.log(prior / 2))))


def inverse_trigamma(value: float) -> float:
    """Return y with trigamma(y) = value > 0, by Newton's method on 1/trigamma (Smyth 2004, appendix).

    >>> round(inverse_trigamma(float(polygamma(1, 3.0))), 9)
    3.0
    """
    if value > 1e7:
        return float(1 / np.sqrt(value))
    if value < 1e-6:
        return 1 / value
    y = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, y))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, y))
        y += step
        if -step / y < 1e-10:
            break
    return y


def moderated_variance(side: Side, prior: Prior, centre: Floats | float | None = None) -> Floats:
    """Return `(records,)` posterior variances: the prior's (or `centre`'s, where given) and the record's, weighted."""
    middle = prior.variance if centre is None else centre
    return (prior.freedom * middle + side.squares) / (prior.freedom + side.freedom)
