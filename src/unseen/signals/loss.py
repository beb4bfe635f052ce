"""Loss: the cross-entropy of one record."""

import numpy as np

from unseen.signal import Floats, Ints
from unseen.signals.margin import margin


def loss(log_probs: Floats, label: Ints) -> Floats:
    """Return -log p of the true class in nats, `(records,)`, from `log_probs (records, classes)`; inf where p is 0.

    Taken as log(1 + exp(-margin)), which keeps digits where p rounds to 1 and -log p would be 0 for all.

    >>> loss(np.log([[0.5, 0.5]]), np.array([1])).round(3)
    array([0.693])
    """
    return np.logaddexp(0.0, -margin(log_probs, label))
