"""Answers with less detail: what is left of log probabilities once they are rounded, or cut to the largest few."""

import numpy as np
from scipy.special import logsumexp

from unseen.signal import Floats


def rounded(log_probs: Floats, decimals: int = 2) -> Floats:
    """Return the logs of the probabilities rounded to `decimals`, `(records, classes)`; -inf where 0 is said.

    >>> np.exp(rounded(np.log([[0.9961, 0.0039], [0.666, 0.334]])))
    array([[1.  , 0.  ],
           [0.67, 0.33]])
    """
    with np.errstate(divide="ignore"):
        return np.log(np.round(np.exp(log_probs.astype(np.float64)), decimals))


def top_k(log_probs: Floats, k: int) -> Floats:
    """Return `(records, classes)` as read by someone who is given the `k` largest: the others share the rest equally.

    With one class fewer than there are, or more, nothing is hidden. Of equal probabilities the earlier class is given.

    >>> np.exp(top_k(np.log([[0.1, 0.6, 0.3]]), 1)).round(3)
    array([[0.2, 0.6, 0.2]])
    """
    classes, logs = log_probs.shape[1], log_probs.astype(np.float64)
    if k >= classes - 1:
        return logs
    order = np.argsort(-logs, axis=1, kind="stable")
    hidden = order[:, k:]
    with np.errstate(divide="ignore"):
        rest = logsumexp(np.take_along_axis(logs, hidden, axis=1), axis=1) - np.log(classes - k)
    read = logs.copy()
    np.put_along_axis(read, hidden, rest[:, None], axis=1)
    return read
