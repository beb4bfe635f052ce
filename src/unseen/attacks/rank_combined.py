"""Rank-combined: the trended t and BASE see different things; add what both say."""

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from unseen.attack import Attack
from unseen.attacks.base import base
from unseen.attacks.moderated_t_trend import moderated_t_trend
from unseen.signal import Bools, Floats
from unseen.signals import LOSS, MARGIN, REF_LOSS, REF_MARGIN, REF_MEMBER


def rank_combined(margin: Floats, ref_margin: Floats, ref_member: Bools, loss: Floats, ref_loss: Floats) -> Floats:
    """Score each record by the sum of its normal scores (van der Waerden) in the trended t and in BASE.

    A normal score is the normal quantile of rank / (records + 1) among the audited records, ties at their middle
    rank; so the null is that of this batch. `learned` is this with two or three references.

    >>> ref, seen = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 0.2]]), np.array([[False] * 2, [True] * 2, [False] * 2])
    >>> rank_combined(np.array([0.0, 1.0]), ref, seen, np.array([0.7, 0.3]), -ref).round(2)
    array([-0.86,  0.86])
    """
    return normal_scores(moderated_t_trend(margin, ref_margin, ref_member)) + normal_scores(base(loss, ref_loss))


def normal_scores(values: Floats) -> Floats:
    """Return the normal quantile of each value's rank over one more than their number, `(records,)`."""
    return np.asarray(ndtri(rankdata(values) / (values.size + 1)))


RANK_COMBINED = Attack(
    score=rank_combined,
    needs=(MARGIN, REF_MARGIN, REF_MEMBER, LOSS, REF_LOSS),
    row="S2",
    cites="van der Waerden 1952 for the scores; the combination is ours, measured in docs/statistics.md (heuristic)",
)
