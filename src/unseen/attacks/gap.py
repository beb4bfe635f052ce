"""The gap attack: a record that the model gets right is called a member."""

import numpy as np

from unseen.attack import Attack
from unseen.signal import Floats
from unseen.signals import CORRECT


def gap(correct: Floats) -> Floats:
    """Score 1 where the predicted class is the true one, else 0.

    Its accuracy with equal sides is 1/2 + (train accuracy - test accuracy) / 2: the generalisation gap, and the
    least that any label-only attacker gets. Two values only, so its ROC has a single step.

    >>> gap(np.array([1.0, 0.0]))
    array([1., 0.])
    """
    return np.asarray(correct, dtype=np.float64)


GAP = Attack(score=gap, needs=(CORRECT,), row="S3", cites="Choquette-Choo et al. 2021, arXiv:2007.14321v2, section 4.1")
