"""The confidence attack: members are answered with more certainty, whatever the class."""

import numpy as np

from unseen.attack import Attack
from unseen.signal import Floats
from unseen.signals import CONFIDENCE


def confidence(confidence: Floats) -> Floats:
    """Score each record by its largest class probability; needs no true label.

    >>> confidence(np.array([0.6, 0.9]))
    array([0.6, 0.9])
    """
    return np.asarray(confidence, dtype=np.float64)


CONFIDENCE_ATTACK = Attack(
    score=confidence,
    needs=(CONFIDENCE,),
    row="S1",
    cites="Salem et al. 2019, arXiv:1806.01246, section V-B (adversary 3)",
)
