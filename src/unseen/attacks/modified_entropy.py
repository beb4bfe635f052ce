"""The modified-entropy attack: entropy that knows the true class, with a threshold for each class."""

import numpy as np
from scipy.stats import rankdata

from unseen.attack import Attack
from unseen.signal import Floats, Ints
from unseen.signals import LABEL, MODIFIED_ENTROPY


def modified_entropy(modified_entropy: Floats, label: Ints) -> Floats:
    """Score each record by its place within its class: the share of the class's records with more modified entropy.

    Per-class thresholds at one quantile are one threshold on these shares. The shares are taken over the audited
    records themselves, members and not, so the null is that of this batch. Ties share their middle place.

    >>> modified_entropy(np.array([0.1, 0.2, 5.0, 9.0]), np.array([0, 0, 1, 1]))
    array([0.75, 0.25, 0.75, 0.25])
    """
    shares = np.empty(label.size)
    for value in np.unique(label):
        in_class = label == value
        shares[in_class] = (rankdata(-modified_entropy[in_class]) - 0.5) / in_class.sum()
    return shares


MODIFIED_ENTROPY_ATTACK = Attack(
    score=modified_entropy,
    needs=(MODIFIED_ENTROPY, LABEL),
    row="S1",
    cites="Song and Mittal 2021, arXiv:2003.10595 (modified prediction entropy)",
)
