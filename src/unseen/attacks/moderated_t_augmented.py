"""Moderated t over changed copies: the trended t, asked of the record's mirror images and shifts as well."""

import numpy as np

from unseen.attack import Attack
from unseen.attacks.moderated_t_trend import moderated_t_trend
from unseen.signal import Bools, Floats
from unseen.signals import QUERY_MARGIN, REF_MEMBER, REF_QUERY_MARGIN


def moderated_t_augmented(query_margin: Floats, ref_query_margin: Floats, ref_member: Bools) -> Floats:
    """Score each record by the mean over its copies of the score of `moderated_t_trend`.

    `query_margin (records, queries)`, `ref_query_margin (references, records, queries)`. The strongest score here for
    models that were trained on such copies; of others, the copies say less than the record alone.

    >>> ref = np.array([[2.0, 3.0, 2.0], [4.0, 3.5, 2.2], [0.0, 1.0, 0.0], [-2.0, 0.0, 0.5]])
    >>> seen = np.array([[True] * 3, [True] * 3, [False] * 3, [False] * 3])
    >>> copies = np.array([[3.0, 3.1], [3.0, 2.9], [2.0, 2.0]])
    >>> bool((moderated_t_augmented(copies, np.stack([ref, ref], axis=2), seen) > 0).all())
    True
    """
    copies = range(query_margin.shape[1])
    each = (moderated_t_trend(query_margin[:, one], ref_query_margin[:, :, one], ref_member) for one in copies)
    return np.sum(list(each), axis=0) / query_margin.shape[1]


MODERATED_T_AUGMENTED = Attack(
    score=moderated_t_augmented,
    needs=(QUERY_MARGIN, REF_QUERY_MARGIN, REF_MEMBER),
    row="S4",
    cites="the trended t of docs/statistics.md, averaged over queries as the code of Carlini et al. 2022, "
    "arXiv:2112.03570, section VI-C, averages (heuristic)",
)
