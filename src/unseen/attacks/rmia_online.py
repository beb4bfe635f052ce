"""RMIA, online: against how much of the population does this record's likelihood ratio win?"""

import numpy as np

from unseen.attack import Attack
from unseen.moments.likelihood import mean_likelihood, win_share
from unseen.signal import Floats
from unseen.signals import LOSS, POPULATION_LOSS, REF_LOSS, REF_POPULATION_LOSS


def rmia_online(
    loss: Floats, ref_loss: Floats, population_loss: Floats, ref_population_loss: Floats, gamma: float = 1.0
) -> Floats:
    """Score each record by the share of population records z with [p(x|t) / p(x)] / [p(z|t) / p(z)] > gamma.

    `loss (records,)`, `ref_loss (references, records)`, and the same for the population; p(x) is the mean over all
    references. One sort instead of a matrix of records by population: the same number to the last bit.

    >>> rmia_online(np.array([0.0]), np.array([[1.0]]), np.array([0.5, 0.5]), np.array([[0.5, 3.0]]))
    array([0.5])
    """
    record = np.exp(-loss) / mean_likelihood(ref_loss)
    population = np.exp(-population_loss) / mean_likelihood(ref_population_loss)
    return win_share(record, population, gamma)


RMIA_ONLINE = Attack(
    score=rmia_online,
    needs=(LOSS, REF_LOSS, POPULATION_LOSS, REF_POPULATION_LOSS),
    row="S2",
    cites="Zarifzadeh et al. 2024, arXiv:2312.03262 (pairwise likelihood ratio and its score, online)",
)
