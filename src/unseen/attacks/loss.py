"""The loss attack: members are fitted better."""

import numpy as np

from unseen.attack import Attack
from unseen.signal import Floats
from unseen.signals import LOSS


def loss(loss: Floats) -> Floats:
    """Score each record by minus its loss: the baseline that every other attack must beat.

    >>> loss(np.array([0.0, 2.0]))
    array([-0., -2.])
    """
    return -np.asarray(loss, dtype=np.float64)


LOSS_ATTACK = Attack(
    score=loss, needs=(LOSS,), row="S1", cites="Yeom et al. 2018, arXiv:1709.01604 (loss-threshold adversary)"
)
