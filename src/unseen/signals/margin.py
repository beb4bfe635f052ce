"""Margin: the log odds of the true class, on a scale where records of one model look normal."""

import numpy as np
from scipy.special import logsumexp

from unseen.signal import Floats, Ints

STEP = 2.0**-40  # below this a difference of two margins is of the arithmetic, not of the model


def margin(log_probs: Floats, label: Ints) -> Floats:
    """Return log p_y - log of the summed other probabilities, `(records,)`, from `log_probs (records, classes)`.

    Summing the others instead of taking 1 - p_y keeps digits where p_y rounds to 1 (Carlini et al. 2022,
    arXiv:2112.03570, section VI-A, computed in log space). Infinite where p_y is exactly 0 or 1. In whole steps of
    2^-40: the last digits of a logarithm differ from record to record where the answers do not.

    >>> margin(np.log([[0.8, 0.2]]), np.array([0])).round(3)
    array([1.386])
    """
    own = log_probs[np.arange(label.size), label].astype(np.float64)
    return np.asarray(np.round((own - logsumexp(_others(log_probs, label), axis=1)) / STEP) * STEP)


def decision_margin(decision: Floats, label: Ints) -> Floats:
    """Return the true class's decision score above the best other's, `(records,)`, from `(records, classes)`.

    In the model's own unit: for models that give scores and no probabilities.

    >>> decision_margin(np.array([[0.2, 1.0, 3.0]]), np.array([1]))
    array([-2.])
    """
    own = decision[np.arange(label.size), label].astype(np.float64)
    return own - _others(decision, label).max(axis=1)


def _others(scores: Floats, label: Ints) -> Floats:
    others = scores.astype(np.float64)
    others[np.arange(label.size), label] = -np.inf
    return others
