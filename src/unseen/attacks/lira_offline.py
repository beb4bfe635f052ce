"""LiRA, offline: how surprisingly high is this margin, had the record never been trained on?"""

import numpy as np

from unseen.attack import Attack
from unseen.moments.normal import known_variance
from unseen.moments.sides import sides
from unseen.signal import Bools, Floats
from unseen.signals import MARGIN, REF_MARGIN, REF_MEMBER


def lira_offline(margin: Floats, ref_margin: Floats, ref_member: Bools) -> Floats:
    """Score each record by how many out standard deviations its margin lies above its out mean.

    The paper's score is the one-sided P[Z <= margin] of the out normal; this is its normal quantile, which ranks the
    same and cannot saturate at 1. (The released code's two-sided density also calls unusually *low* margins members.)
    In references are not used; a record without out references scores 0.

    >>> ref = np.array([[0.0], [2.0], [9.0]])
    >>> lira_offline(np.array([3.0]), ref, np.array([[False], [False], [True]]))
    array([2.])
    """
    _, outside = sides(ref_margin, ref_member)
    surprise = (margin - outside.mean) / np.sqrt(known_variance(outside))
    return np.where(outside.count > 0, surprise, 0.0)


LIRA_OFFLINE = Attack(
    score=lira_offline,
    needs=(MARGIN, REF_MARGIN, REF_MEMBER),
    row="S2",
    cites="Carlini et al. 2022, arXiv:2112.03570, section IV (offline, one-sided test, after algorithm 1)",
)
