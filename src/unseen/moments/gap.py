"""The mean gap between a record's in and out references, shrunk towards what other records show."""

from dataclasses import dataclass, field

import numpy as np

from unseen.moments.sides import Side
from unseen.signal import Floats

BINS = 60
FEWEST_IN_A_BIN = 20


@dataclass(frozen=True)
class ShrunkGap:
    """The posterior of each record's gap: `gap` and `variance`, and the in and out means it implies, `(records,)`."""

    gap: Floats = field(repr=False)
    variance: Floats = field(repr=False)
    in_mean: Floats = field(repr=False)
    out_mean: Floats = field(repr=False)


def centre_of(inside: Side, outside: Side) -> Floats:
    """Return each record's mean over all references, in and out, `(records,)`."""
    return (inside.count * inside.mean + outside.count * outside.mean) / (inside.count + outside.count)


def shrink_gap(inside: Side, outside: Side, v1: Floats, v0: Floats, expected: Floats, spread: Floats) -> ShrunkGap:
    """Return each gap's posterior under a normal prior with mean `expected` and variance `spread`, `(records,)`.

    The observed gap has variance v1/n1 + v0/n0; where a side is empty, the prior alone speaks. The pooled centre is
    kept: in mean c + (1 - f) g, out mean c - f g, with f the share of references that had the record.
    """
    both = (inside.count > 0) & (outside.count > 0)
    noise = v1 / np.maximum(inside.count, 1) + v0 / np.maximum(outside.count, 1)
    trust = np.where(both, spread / (spread + noise), 0.0)
    gap = trust * (inside.mean - outside.mean) + (1 - trust) * expected
    share = inside.count / (inside.count + outside.count)
    centre = centre_of(inside, outside)
    variance = np.where(both, trust * noise, spread)
    return ShrunkGap(gap, variance, centre + (1 - share) * gap, centre - share * gap)


def gap_moments(inside: Side, outside: Side, v1: Floats, v0: Floats) -> tuple[float, float]:
    """Return the mean gap over records, and its variance beyond the noise (0 where there is none)."""
    both = (inside.count > 0) & (outside.count > 0)
    if both.sum() < 2:
        return 0.0, 0.0
    gap = (inside.mean - outside.mean)[both]
    noise = v1[both] / inside.count[both] + v0[both] / outside.count[both]
    return float(gap.mean()), max(float(gap.var() - noise.mean()), 0.0)


class Trend:
    """A smooth dependence on each record's centre: equal-count bins, averaged with neighbours, joined by lines.

    Bin edges are quantiles of the centres, so equal centres share a bin and the order of records cannot matter.
    """

    def __init__(self, centre: Floats) -> None:
        bins = int(np.clip(centre.size // FEWEST_IN_A_BIN, 1, BINS))
        edges = np.quantile(centre, np.linspace(0, 1, bins + 1)[1:-1])
        place = np.searchsorted(edges, centre, side="right")
        _, self._place = np.unique(place, return_inverse=True)
        self._bins = int(self._place.max()) + 1
        self._centre = centre
        self._middle = self._sums(centre) / np.bincount(self._place)

    def _sums(self, value: Floats) -> Floats:
        return np.bincount(self._place, weights=value, minlength=self._bins).astype(np.float64)

    def ratio(self, numerator: Floats, denominator: Floats) -> Floats:
        """Return the sum of `numerator` over the sum of `denominator` around each record's centre, `(records,)`."""
        top, bottom = _smoothed(self._sums(numerator)), _smoothed(self._sums(denominator))
        known = bottom > 0
        if not known.any():
            return np.zeros(self._centre.size)
        return np.interp(self._centre, self._middle[known], top[known] / bottom[known])


def _smoothed(bins: Floats) -> Floats:
    padded = np.pad(bins, 1, mode="edge")
    return (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
