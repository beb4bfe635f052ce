"""The entropy attack: members are answered with less doubt."""

import numpy as np

from unseen.attack import Attack
from unseen.signal import Floats
from unseen.signals import ENTROPY


def entropy(entropy: Floats) -> Floats:
    """Score each record by minus the entropy of its class probabilities; needs no true label.

    >>> entropy(np.array([0.0, 0.7]))
    array([-0. , -0.7])
    """
    return -np.asarray(entropy, dtype=np.float64)


ENTROPY_ATTACK = Attack(
    score=entropy, needs=(ENTROPY,), row="S1", cites="Salem et al. 2019, arXiv:1806.01246, section V-C (adversary 3)"
)
