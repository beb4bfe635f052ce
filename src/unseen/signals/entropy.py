"""Entropy of the class probabilities, plain and with knowledge of the true class."""

import numpy as np

from unseen.signal import Floats, Ints


def entropy(log_probs: Floats) -> Floats:
    """Return the Shannon entropy in nats, `(records,)`, from `log_probs (records, classes)`; 0 log 0 is 0.

    >>> entropy(np.log([[0.5, 0.5]])).round(3)
    array([0.693])
    """
    logs = log_probs.astype(np.float64)
    return -np.where(np.isneginf(logs), 0.0, np.exp(logs) * np.where(np.isneginf(logs), 0.0, logs)).sum(axis=1)


def modified_entropy(log_probs: Floats, label: Ints) -> Floats:
    """Return Song and Mittal's modified entropy in nats, `(records,)`; infinite where it is certain and wrong.

    -(1 - p_y) log p_y - sum over other classes of p_i log(1 - p_i): Song and Mittal 2021, arXiv:2003.10595.

    >>> modified_entropy(np.log([[1.0, 1e-300]]), np.array([0])).round(3)
    array([0.])
    """
    logs = log_probs.astype(np.float64)
    rows = np.arange(label.size)
    p = np.exp(logs)
    rest = np.clip(p.sum(axis=1) - p[rows, label], 0.0, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        own = np.where(rest > 0, -rest * logs[rows, label], 0.0)
        each = np.where(p > 0, -p * np.log(np.clip(p.sum(axis=1)[:, None] - p, 0.0, 1.0)), 0.0)
    each[rows, label] = 0.0
    return own + each.sum(axis=1)
