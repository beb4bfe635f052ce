"""Imitation: how surprisingly high is this margin for models that learned from the target's answers elsewhere?"""

import numpy as np

from unseen.attack import Attack
from unseen.attacks.moderated_t_offline import moderated_t_offline
from unseen.signal import Floats
from unseen.signals import IMITATION_MARGIN, MARGIN


def imitation(margin: Floats, imitation_margin: Floats) -> Floats:
    """Score each record by -log P[T > margin] under the Student-t predictive of models distilled from the target.

    `margin (records,)`, `imitation_margin (imitations, records)`, of at least two. They were taught the target's
    probabilities on records that are not audited: what the target knows in general they know too, what it knows of one
    member they do not. One-sided, with moderated variances, where the released code of the paper takes two-sided
    normal densities. IMIA (2025) imitates models that had the record as well, which is not done here.

    >>> taught = np.array([[0.0, 1.0, 0.0], [2.0, 2.0, 0.5]])
    >>> imitation(np.array([3.0, 1.5, 0.25]), taught).round(2)
    array([2.2 , 0.69, 0.69])
    """
    return moderated_t_offline(margin, imitation_margin, np.zeros(imitation_margin.shape, dtype=np.bool_))


IMITATION = Attack(
    score=imitation,
    needs=(MARGIN, IMITATION_MARGIN),
    row="S2",
    cites="Galichin et al. 2024, GLiRA (guided likelihood ratio attack, offline), with the variances of Smyth 2004",
)
