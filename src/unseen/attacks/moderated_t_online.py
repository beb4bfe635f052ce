"""Moderated t, online: LiRA's question, with variances that borrow strength from all records."""

import numpy as np

from unseen.attack import Attack
from unseen.moments.normal import with_both_means
from unseen.moments.prior import fit_prior, moderated_variance
from unseen.moments.sides import Side, sides
from unseen.moments.student import log_density
from unseen.signal import Bools, Floats
from unseen.signals import MARGIN, REF_MARGIN, REF_MEMBER


def moderated_t_online(margin: Floats, ref_margin: Floats, ref_member: Bools) -> Floats:
    """Score each record by the log ratio of two Student-t predictive densities, in over out.

    `margin (records,)`, `ref_margin` and `ref_member (references, records)`. Each side's variances share an
    empirical-Bayes prior, so few references neither trust a chance variance nor ignore a real one; the predictive
    density also pays for the uncertain mean. An empty side takes its mean from the other and the average gap.

    >>> ref = np.array([[2.0, 3.0, 2.0], [4.0, 3.5, 2.2], [0.0, 1.0, 0.0], [-2.0, 0.0, 0.5]])
    >>> seen = np.array([[True] * 3, [True] * 3, [False] * 3, [False] * 3])
    >>> bool((moderated_t_online(np.array([3.0, 3.0, 2.0]), ref, seen) > 0).all())
    True
    """
    inside, outside = with_both_means(*sides(ref_margin, ref_member))
    return _predictive(margin, inside) - _predictive(margin, outside)


def _predictive(margin: Floats, side: Side) -> Floats:
    prior = fit_prior(side)
    variance = moderated_variance(side, prior) * (1 + 1 / np.maximum(side.count, 1))
    return log_density(margin, prior.freedom + side.freedom, side.mean, variance)


MODERATED_T_ONLINE = Attack(
    score=moderated_t_online,
    needs=(MARGIN, REF_MARGIN, REF_MEMBER),
    row="S2",
    cites="Smyth 2004, Stat. Appl. Genet. Mol. Biol. 3(1), article 3, on the margins of Carlini et al. 2022; "
    "compare BaVarIA (Brännvall 2026, arXiv:2603.11799)",
)
