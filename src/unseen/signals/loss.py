"""Loss: the cross-entropy of one record."""

import numpy as np

from unseen.signal import Floats, Ints


def loss(log_probs: Floats, label: Ints) -> Floats:
    """Return -log p of the true class in nats, `(records,)`, from `log_probs (records, classes)`; inf where p is 0.

    >>> loss(np.log([[0.5, 0.5]]), np.array([1])).round(3)
    array([0.693])
    """
    return -log_probs[np.arange(label.size), label].astype(np.float64)
