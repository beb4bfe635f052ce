"""Moderated t, offline: how surprising is this margin, with variances that borrow strength from all records?"""

import numpy as np

from unseen.attack import Attack
from unseen.moments.prior import fit_prior, moderated_variance
from unseen.moments.sides import sides
from unseen.moments.student import log_tail
from unseen.signal import Bools, Floats
from unseen.signals import MARGIN, REF_MARGIN, REF_MEMBER


def moderated_t_offline(margin: Floats, ref_margin: Floats, ref_member: Bools) -> Floats:
    """Score each record by -log P[T > margin] under the Student-t predictive of its out references.

    One-sided; variances share an empirical-Bayes prior, and fewer out references give heavier tails. In references
    are not used; a record without out references scores log 2, as a margin at its own mean would.

    >>> ref = np.array([[0.0, 1.0, 0.0], [2.0, 2.0, 0.5], [9.0, 9.0, 9.0]])
    >>> seen = np.array([[False] * 3, [False] * 3, [True] * 3])
    >>> moderated_t_offline(np.array([3.0, 1.5, 0.0]), ref, seen).round(2)
    array([2.2 , 0.69, 0.58])
    """
    _, outside = sides(ref_margin, ref_member)
    prior = fit_prior(outside)
    spread = np.sqrt(moderated_variance(outside, prior) * (1 + 1 / np.maximum(outside.count, 1)))
    surprise = np.where(outside.count > 0, (margin - outside.mean) / spread, 0.0)
    return -log_tail(surprise, prior.freedom + outside.freedom)


MODERATED_T_OFFLINE = Attack(
    score=moderated_t_offline,
    needs=(MARGIN, REF_MARGIN, REF_MEMBER),
    row="S2",
    cites="Smyth 2004, Stat. Appl. Genet. Mol. Biol. 3(1), article 3, in the one-sided offline test of Carlini et al. "
    "2022, arXiv:2112.03570, section IV",
)
