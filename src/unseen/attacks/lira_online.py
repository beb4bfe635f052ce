"""LiRA, online: is this margin more like models that had the record, or like models that had not?"""

from unseen.attack import Attack
from unseen.moments.normal import known_variance, log_ratio, with_both_means
from unseen.moments.sides import sides
from unseen.signal import Bools, Floats
from unseen.signals import MARGIN, REF_MARGIN, REF_MEMBER


def lira_online(margin: Floats, ref_margin: Floats, ref_member: Bools) -> Floats:
    """Score each record by log N(margin; in) - log N(margin; out), one mean and variance a record and side.

    `margin (records,)`, `ref_margin` and `ref_member (references, records)`. Means, and population variances, as in
    the paper. A side with fewer than two references takes the variance of all records; an empty side takes its mean
    from the other and the average gap. The paper uses 64 references and more: with fewer, see `lira_online_shared`
    and the moderated t.

    >>> import numpy as np
    >>> ref = np.array([[2.0], [4.0], [0.0], [-2.0]])
    >>> lira_online(np.array([3.0]), ref, np.array([[True], [True], [False], [False]])).round(2)
    array([8.])
    """
    inside, outside = with_both_means(*sides(ref_margin, ref_member))
    return log_ratio(margin, inside.mean, known_variance(inside), outside.mean, known_variance(outside))


LIRA_ONLINE = Attack(
    score=lira_online,
    needs=(MARGIN, REF_MARGIN, REF_MEMBER),
    row="S2",
    cites="Carlini et al. 2022, arXiv:2112.03570, section IV-C, algorithm 1",
)
