"""Attack R: how rare is a loss this low among models that never saw the record?"""

import numpy as np

from unseen.attack import Attack
from unseen.signal import Bools, Floats
from unseen.signals import LOSS, REF_LOSS, REF_MEMBER


def attack_r(loss: Floats, ref_loss: Floats, ref_member: Bools) -> Floats:
    """Score each record by the share of its out references `(references, records)` whose loss is at least its own.

    In steps of one over the number of out references, so with few references most records tie. A record without any
    out reference scores 1/2.

    >>> attack_r(np.array([1.0]), np.array([[2.0], [0.5], [0.1]]), np.array([[False], [False], [True]]))
    array([0.5])
    """
    count = ref_member.shape[0] - ref_member.sum(axis=0)
    above = ((ref_loss >= loss) & ~ref_member).sum(axis=0)
    return np.where(count > 0, above / np.maximum(count, 1), 0.5)


ATTACK_R = Attack(
    score=attack_r,
    needs=(LOSS, REF_LOSS, REF_MEMBER),
    row="S2",
    cites="Ye et al. 2022, arXiv:2111.09679 (Attack R)",
)
