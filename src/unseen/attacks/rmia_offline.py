"""RMIA, offline: the same contest, when no reference has seen the record."""

import numpy as np

from unseen.attack import Attack
from unseen.moments.likelihood import mean_out_likelihood, win_share
from unseen.signal import Bools, Floats
from unseen.signals import (
    LOSS,
    POPULATION_LOSS,
    REF_LOSS,
    REF_MEMBER,
    REF_POPULATION_LOSS,
    REF_POPULATION_MEMBER,
)


def rmia_offline(
    loss: Floats,
    ref_loss: Floats,
    ref_member: Bools,
    population_loss: Floats,
    ref_population_loss: Floats,
    ref_population_member: Bools,
    a: float = 0.3,
    gamma: float = 1.0,
) -> Floats:
    """Score each record as `rmia_online` does, with p(x) = ((1 + a) mean over out references + (1 - a)) / 2.

    `a` in [0, 1] says how much training on a record changes its likelihood; the default is the authors' for CIFAR-10,
    and it is never tuned on the audited records. A record without out references uses all of them.

    >>> out, p = np.array([[False]]), np.log([[2.0]])
    >>> rmia_offline(np.array([0.0]), p, out, np.array([0.7]), p, out)
    array([1.])
    """
    record = np.exp(-loss) / (((1 + a) * mean_out_likelihood(ref_loss, ref_member) + (1 - a)) / 2)
    mean_population = mean_out_likelihood(ref_population_loss, ref_population_member)
    population = np.exp(-population_loss) / (((1 + a) * mean_population + (1 - a)) / 2)
    return win_share(record, population, gamma)


RMIA_OFFLINE = Attack(
    score=rmia_offline,
    needs=(LOSS, REF_LOSS, REF_MEMBER, POPULATION_LOSS, REF_POPULATION_LOSS, REF_POPULATION_MEMBER),
    row="S2",
    cites="Zarifzadeh et al. 2024, arXiv:2312.03262 (offline approximation of p(x) with a)",
)
