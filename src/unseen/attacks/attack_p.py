"""Attack P: how rare is a loss this low among the population's records?"""

import numpy as np

from unseen.attack import Attack
from unseen.signal import Floats
from unseen.signals import LOSS, POPULATION_LOSS


def attack_p(loss: Floats, population_loss: Floats) -> Floats:
    """Score each record by the share of population records whose loss, on the same target, is at least its own.

    For one target this ranks as the loss does, in steps of one over the population's size; one minus it is close to
    a p-value.

    >>> attack_p(np.array([0.0, 2.0]), np.array([1.0, 3.0]))
    array([1. , 0.5])
    """
    population = np.sort(population_loss)
    return 1.0 - np.searchsorted(population, loss, side="left") / population.size


ATTACK_P = Attack(
    score=attack_p, needs=(LOSS, POPULATION_LOSS), row="S1", cites="Ye et al. 2022, arXiv:2111.09679 (Attack P)"
)
