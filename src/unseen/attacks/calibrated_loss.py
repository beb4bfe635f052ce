"""Difficulty calibration: how much lower is the loss than models that never saw the record have it?"""

import numpy as np

from unseen.attack import Attack
from unseen.moments.sides import sides
from unseen.signal import Bools, Floats
from unseen.signals import LOSS, REF_LOSS, REF_MEMBER


def calibrated_loss(loss: Floats, ref_loss: Floats, ref_member: Bools) -> Floats:
    """Score each record by the mean loss of its out references `(references, records)` minus its own loss.

    A record without any out reference is calibrated by its in references, shifted by the mean gap of the others.

    >>> calibrated_loss(np.array([1.0]), np.array([[2.0], [4.0], [0.1]]), np.array([[False], [False], [True]]))
    array([2.])
    """
    inside, outside = sides(ref_loss, ref_member)
    both = (inside.count > 0) & (outside.count > 0)
    gap = float((outside.mean - inside.mean)[both].mean()) if both.any() else 0.0
    return np.where(outside.count > 0, outside.mean, outside.mean + gap) - loss


CALIBRATED_LOSS = Attack(
    score=calibrated_loss,
    needs=(LOSS, REF_LOSS, REF_MEMBER),
    row="S2",
    cites="Watson et al. 2022, arXiv:2111.08440 (difficulty calibration)",
)
