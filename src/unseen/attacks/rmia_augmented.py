"""RMIA over changed copies: against how much of the population do most of the copies win?"""

import numpy as np

from unseen.attack import Attack
from unseen.moments.likelihood import mean_likelihood, win_share
from unseen.signal import Floats
from unseen.signals import POPULATION_LOSS, QUERY_LOSS, REF_POPULATION_LOSS, REF_QUERY_LOSS


def rmia_augmented(
    query_loss: Floats,
    ref_query_loss: Floats,
    population_loss: Floats,
    ref_population_loss: Floats,
    gamma: float = 1.0,
) -> Floats:
    """Score each record by the share of population records that more than half of its copies beat, as in `rmia_online`.

    `query_loss (records, queries)`, `ref_query_loss (references, records, queries)`. A majority wins against z just
    where the middle ratio does (the lower one of an even number), so one sort gives all votes. For models that were
    trained on such copies: of others, the copies are strangers, and say less than the record alone.

    >>> ref = np.array([[[0.7, 0.7, 0.7]]])
    >>> rmia_augmented(np.array([[0.0, 0.1, 3.0]]), ref, np.array([0.7, 0.0]), np.array([[0.7, 0.7]]))
    array([0.5])
    """
    records, queries = query_loss.shape
    mean = mean_likelihood(ref_query_loss.reshape(-1, records * queries)).reshape(records, queries)
    ratio = np.sort(np.exp(-query_loss) / mean, axis=1)
    population = np.exp(-population_loss) / mean_likelihood(ref_population_loss)
    return win_share(ratio[:, (queries - 1) // 2], population, gamma)


RMIA_AUGMENTED = Attack(
    score=rmia_augmented,
    needs=(QUERY_LOSS, REF_QUERY_LOSS, POPULATION_LOSS, REF_POPULATION_LOSS),
    row="S4",
    cites="Zarifzadeh et al. 2024, arXiv:2312.03262 (pairwise likelihood ratio, online); the majority over queries as "
    "recalled, not checked in the text",
)
