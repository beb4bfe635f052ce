"""LiRA over changed copies: the same question of the record's mirror images and shifts."""

import numpy as np

from unseen.attack import Attack
from unseen.attacks.lira_online_shared import lira_online_shared
from unseen.signal import Bools, Floats
from unseen.signals import QUERY_MARGIN, REF_MEMBER, REF_QUERY_MARGIN


def lira_augmented(query_margin: Floats, ref_query_margin: Floats, ref_member: Bools) -> Floats:
    """Score each record by the mean over its copies of the score of `lira_online_shared`.

    `query_margin (records, queries)`, `ref_query_margin (references, records, queries)`. The mean of univariate scores,
    as the released code has it; the paper's text fits one multivariate normal, which takes more references than
    copies. One variance a copy and side for all records, the paper's choice for few references. For models that were
    trained on such copies: of others, the copies are strangers, and say less than the record alone.

    >>> ref = np.array([[1.0], [3.0], [-1.0], [1.0]])
    >>> seen = np.array([[True], [True], [False], [False]])
    >>> lira_augmented(np.array([[2.0, 2.0]]), np.stack([ref, ref], axis=2), seen).round(2)
    array([1.])
    """
    copies = range(query_margin.shape[1])
    each = (lira_online_shared(query_margin[:, one], ref_query_margin[:, :, one], ref_member) for one in copies)
    return np.sum(list(each), axis=0) / query_margin.shape[1]


LIRA_AUGMENTED = Attack(
    score=lira_augmented,
    needs=(QUERY_MARGIN, REF_QUERY_MARGIN, REF_MEMBER),
    row="S4",
    cites="Carlini et al. 2022, arXiv:2112.03570, section VI-C (several queries), as the mean of the released code",
)
