"""Confidence: the largest class probability, whatever the class."""

import numpy as np

from unseen.signal import Floats


def confidence(log_probs: Floats) -> Floats:
    """Return the largest class probability, `(records,)`, from `log_probs (records, classes)`.

    >>> confidence(np.log([[0.8, 0.2]])).round(3)
    array([0.8])
    """
    return np.exp(log_probs.max(axis=1).astype(np.float64))
