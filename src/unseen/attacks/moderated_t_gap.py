"""Moderated t with a shrunk gap: what membership does to other records says what it does to this one."""

import numpy as np

from unseen.attack import Attack
from unseen.moments.gap import gap_moments, shrink_gap
from unseen.moments.prior import fit_prior, moderated_variance
from unseen.moments.sides import sides
from unseen.moments.student import log_density
from unseen.signal import Bools, Floats
from unseen.signals import MARGIN, REF_MARGIN, REF_MEMBER


def moderated_t_gap(margin: Floats, ref_margin: Floats, ref_member: Bools) -> Floats:
    """Score each record as `moderated_t_online` does, with its gap of means shrunk to the mean gap of all records.

    `margin (records,)`, `ref_margin` and `ref_member (references, records)`. The shrinkage weighs the spread of gaps
    over records against the noise of one gap, and keeps the record's pooled centre.

    >>> ref = np.array([[2.0, 3.0, 2.0], [4.0, 3.5, 2.2], [0.0, 1.0, 0.0], [-2.0, 0.0, 0.5]])
    >>> seen = np.array([[True] * 3, [True] * 3, [False] * 3, [False] * 3])
    >>> bool((moderated_t_gap(np.array([3.0, 3.0, 2.0]), ref, seen) > 0).all())
    True
    """
    inside, outside = sides(ref_margin, ref_member)
    prior1, prior0 = fit_prior(inside), fit_prior(outside)
    v1, v0 = moderated_variance(inside, prior1), moderated_variance(outside, prior0)
    expected, spread = gap_moments(inside, outside, v1, v0)
    means = shrink_gap(inside, outside, v1, v0, np.full(margin.size, expected), np.full(margin.size, spread))
    v1, v0 = v1 * (1 + 1 / np.maximum(inside.count, 1)), v0 * (1 + 1 / np.maximum(outside.count, 1))
    member = log_density(margin, prior1.freedom + inside.freedom, means.in_mean, v1)
    return member - log_density(margin, prior0.freedom + outside.freedom, means.out_mean, v0)


MODERATED_T_GAP = Attack(
    score=moderated_t_gap,
    needs=(MARGIN, REF_MARGIN, REF_MEMBER),
    row="S2",
    cites="Smyth 2004, Stat. Appl. Genet. Mol. Biol. 3(1), article 3; the gap's shrinkage is ours (docs/statistics.md)",
)
