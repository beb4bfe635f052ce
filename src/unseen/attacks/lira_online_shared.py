"""LiRA, online, with one variance a side for all records: steadier with few references."""

import numpy as np

from unseen.attack import Attack
from unseen.moments.normal import log_ratio, with_both_means
from unseen.moments.sides import sides
from unseen.signal import Bools, Floats
from unseen.signals import MARGIN, REF_MARGIN, REF_MEMBER


def lira_online_shared(margin: Floats, ref_margin: Floats, ref_member: Bools) -> Floats:
    """Score each record as `lira_online` does, with the variance within records pooled over all records.

    The paper's "fixed variance" for few references. Its released code takes the spread over records and references
    together; this is the spread within records, which is what the two hypotheses differ by.

    >>> ref = np.array([[1.0], [3.0], [-1.0], [1.0]])
    >>> lira_online_shared(np.array([2.0]), ref, np.array([[True], [True], [False], [False]])).round(2)
    array([1.])
    """
    inside, outside = with_both_means(*sides(ref_margin, ref_member))
    v1 = np.full(margin.size, inside.pooled_variance)
    v0 = np.full(margin.size, outside.pooled_variance)
    return log_ratio(margin, inside.mean, v1, outside.mean, v0)


LIRA_ONLINE_SHARED = Attack(
    score=lira_online_shared,
    needs=(MARGIN, REF_MARGIN, REF_MEMBER),
    row="S2",
    cites="Carlini et al. 2022, arXiv:2112.03570, section VI-B and figure 17, pooled within records",
)
