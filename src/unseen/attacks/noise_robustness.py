"""Noise robustness: a model holds on to its label around records it was trained on."""

import numpy as np

from unseen.attack import Attack
from unseen.signal import Floats
from unseen.signals import ROBUSTNESS


def noise_robustness(robustness: Floats) -> Floats:
    """Score each record by the share of its perturbed copies that are still given the true class.

    Sees labels only, and costs as many queries a record as there are copies.

    >>> noise_robustness(np.array([0.25, 1.0]))
    array([0.25, 1.  ])
    """
    return np.asarray(robustness, dtype=np.float64)


NOISE_ROBUSTNESS = Attack(
    score=noise_robustness,
    needs=(ROBUSTNESS,),
    row="S4",
    cites="Choquette-Choo et al. 2021, arXiv:2007.14321v2, section 4.4 (robustness to random noise)",
)
