"""Moderated t with trended priors: records as hard as this one say what to expect of it."""

import numpy as np

from unseen.attack import Attack
from unseen.moments.gap import Trend, centre_of, shrink_gap
from unseen.moments.prior import fit_prior, moderated_variance
from unseen.moments.sides import Side, sides
from unseen.moments.student import log_density
from unseen.signal import Bools, Floats
from unseen.signals import MARGIN, REF_MARGIN, REF_MEMBER


def moderated_t_trend(margin: Floats, ref_margin: Floats, ref_member: Bools) -> Floats:
    """Score each record by a ratio of Student-t predictives whose priors depend on the record's centre.

    `margin (records,)`, `ref_margin` and `ref_member (references, records)`. Hard records gain more by being trained
    on, so each side's variance, the mean gap and the spread of gaps are taken from records with a similar mean margin.
    The strongest single score here with few references; from two up.

    >>> ref = np.array([[2.0, 3.0, 2.0], [4.0, 3.5, 2.2], [0.0, 1.0, 0.0], [-2.0, 0.0, 0.5]])
    >>> seen = np.array([[True] * 3, [True] * 3, [False] * 3, [False] * 3])
    >>> bool((moderated_t_trend(np.array([3.0, 3.0, 2.0]), ref, seen) > 0).all())
    True
    """
    inside, outside = sides(ref_margin, ref_member)
    trend = Trend(centre_of(inside, outside))
    f1, v1 = _trended_variance(inside, trend)
    f0, v0 = _trended_variance(outside, trend)
    expected, spread = _trended_gap(inside, outside, v1, v0, trend)
    means = shrink_gap(inside, outside, v1, v0, expected, spread)
    references = inside.count + outside.count
    share = inside.count / references
    p1 = v1 * (1 + 1 / references) + (1 - share) ** 2 * means.variance
    p0 = v0 * (1 + 1 / references) + share**2 * means.variance
    return log_density(margin, f1, means.in_mean, p1) - log_density(margin, f0, means.out_mean, p0)


def _trended_variance(side: Side, trend: Trend) -> tuple[Floats, Floats]:
    prior = fit_prior(side)
    centre = np.maximum(trend.ratio(side.squares, side.freedom), 1e-4 * side.pooled_variance)
    return prior.freedom + side.freedom, moderated_variance(side, prior, centre)


def _trended_gap(inside: Side, outside: Side, v1: Floats, v0: Floats, trend: Trend) -> tuple[Floats, Floats]:
    both = (inside.count > 0) & (outside.count > 0)
    gap = np.where(both, inside.mean - outside.mean, 0.0)
    noise = v1 / np.maximum(inside.count, 1) + v0 / np.maximum(outside.count, 1)
    weight = np.where(both, 1 / noise, 0.0)
    expected = trend.ratio(gap * weight, weight)
    beyond = np.where(both, (gap - expected) ** 2 - noise, 0.0)
    least = 1e-3 * float(noise.mean())
    return expected, np.maximum(trend.ratio(beyond, both.astype(np.float64)), least)


MODERATED_T_TREND = Attack(
    score=moderated_t_trend,
    needs=(MARGIN, REF_MARGIN, REF_MEMBER),
    row="S2",
    cites="Smyth 2004, Stat. Appl. Genet. Mol. Biol. 3(1), article 3, after limma-trend (Law et al. 2014, "
    "doi:10.1186/gb-2014-15-2-r29) with binned means for its spline; the gap's trend is ours (docs/statistics.md)",
)
