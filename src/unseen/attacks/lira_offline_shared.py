"""LiRA, offline, with one out variance for all records."""

import numpy as np

from unseen.attack import Attack
from unseen.moments.sides import sides
from unseen.signal import Bools, Floats
from unseen.signals import MARGIN, REF_MARGIN, REF_MEMBER


def lira_offline_shared(margin: Floats, ref_margin: Floats, ref_member: Bools) -> Floats:
    """Score each record by its margin above its out mean, in the standard deviation shared by all records.

    In references are not used; a record without out references scores 0.

    >>> ref = np.array([[0.0], [2.0], [9.0]])
    >>> lira_offline_shared(np.array([3.0]), ref, np.array([[False], [False], [True]])).round(3)
    array([1.414])
    """
    _, outside = sides(ref_margin, ref_member)
    surprise = (margin - outside.mean) / np.sqrt(outside.pooled_variance)
    return np.where(outside.count > 0, surprise, 0.0)


LIRA_OFFLINE_SHARED = Attack(
    score=lira_offline_shared,
    needs=(MARGIN, REF_MARGIN, REF_MEMBER),
    row="S2",
    cites="Carlini et al. 2022, arXiv:2112.03570, section IV (offline) and VI-B with figure 17 (one variance "
    "for all examples), pooled within records",
)
