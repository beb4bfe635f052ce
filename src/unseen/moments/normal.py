"""Normal likelihoods of a margin on either side, with one rule for records that have too few references."""

from dataclasses import replace

import numpy as np

from unseen.moments.sides import Side
from unseen.signal import Floats

LEAST_SHARE = 1e-4  # of the pooled variance: a record whose few references agree by chance is not infinitely certain


def known_variance(side: Side) -> Floats:
    """Return each record's population variance `(records,)`, the pooled one where it has fewer than two references."""
    pooled = side.pooled_variance
    own = np.where(side.count > 1, side.squares / np.maximum(side.count, 1), pooled)
    return np.maximum(own, LEAST_SHARE * pooled)


def with_both_means(inside: Side, outside: Side) -> tuple[Side, Side]:
    """Return both sides with a mean for every record: an empty side's is the other's, moved by the average gap."""
    both = (inside.count > 0) & (outside.count > 0)
    gap = float((inside.mean - outside.mean)[both].mean()) if both.any() else 0.0
    return (
        replace(inside, mean=np.where(inside.count > 0, inside.mean, outside.mean + gap)),
        replace(outside, mean=np.where(outside.count > 0, outside.mean, inside.mean - gap)),
    )


def log_ratio(value: Floats, m1: Floats, v1: Floats, m0: Floats, v0: Floats) -> Floats:
    """Return log N(value; m1, v1) - log N(value; m0, v0), each argument `(records,)`."""
    return ((value - m0) ** 2 / v0 - (value - m1) ** 2 / v1 + np.log(v0 / v1)) / 2
