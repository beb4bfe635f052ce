"""Differences with intervals: of two AUCs on the same units, of two rates, of two means."""

import numpy as np
from scipy.special import ndtri, stdtrit
from scipy.stats import rankdata

from unseen.errors import DataError
from unseen.estimate import Estimate, Interval
from unseen.signal import Bools, Floats
from unseen.stats.intervals import FEWEST_FOR_DELONG


def auc_difference(scores: Floats, other: Floats, member: Bools, confidence: float = 0.95) -> Estimate:
    """Return AUC of `scores` minus AUC of `other` over the same units, with DeLong's paired interval.

    Both `(units,)`, higher means member; `member (units,)` boolean. The covariance of the two AUCs comes from their
    placements (DeLong et al. 1988; by ranks, Sun and Xu 2014, doi:10.1109/LSP.2014.2337313), the reach from Student's t
    for the smaller side. Where both order all units alike, the bound is exact: none of m disjoint pairs was ordered
    differently. Where the placements do not vary for another reason, or a side has under ten units, it is Hoeffding's.

    >>> member = np.array([True, True, False, False])
    >>> auc_difference(np.array([3.0, 2.0, 1.0, 0.0]), np.array([3.0, 0.0, 1.0, 2.0]), member).value
    0.5
    """
    scores, other, member = _checked(scores, other, member)
    above, below = (a - b for a, b in zip(_placements(scores, member), _placements(other, member), strict=True))
    interval, method = _paired(float(above.mean()), above, below, confidence, alike=_order_alike(scores, other))
    return Estimate(
        quantity="auc_difference",
        value=interval.value,
        low=interval.low,
        high=interval.high,
        confidence=confidence,
        method=method,
        counts={"members": above.size, "non_members": below.size},
        condition="both scores on the same units; members and non-members drawn alike",
    )


def _placements(scores: Floats, member: Bools) -> tuple[Floats, Floats]:
    """Return each member's share of non-members below it, each non-member's share of members above it; ties half."""
    inside, outside = scores[member], scores[~member]
    pooled = rankdata(np.concatenate([inside, outside]))
    above = (pooled[: inside.size] - rankdata(inside)) / outside.size
    return above, 1 - (pooled[inside.size :] - rankdata(outside)) / inside.size


def _order_alike(scores: Floats, other: Floats) -> bool:
    return bool((rankdata(scores) == rankdata(other)).all())


def _paired(value: float, above: Floats, below: Floats, confidence: float, *, alike: bool) -> tuple[Interval, str]:
    pairs, tail = min(above.size, below.size), (1 - confidence) / 2
    if alike:  # the difference is at most the share of pairs that the two order differently
        edge = float(1 - (2 * tail) ** (1 / pairs))
        return Interval(0.0, -edge, edge), "disjoint pairs, exact"
    if pairs >= FEWEST_FOR_DELONG:
        variance = above.var(ddof=1) / above.size + below.var(ddof=1) / below.size
        if variance > 0:
            half = float(stdtrit(pairs - 1, 1 - tail) * np.sqrt(variance))
            return _within(value, half), "DeLong, paired"
    return _within(value, float(np.sqrt(2 * np.log(1 / tail) / pairs))), "disjoint pairs, Hoeffding"


def _within(value: float, half: float) -> Interval:
    return Interval(value, max(value - half, -1.0), min(value + half, 1.0))


def rate_difference(
    quantity: str, part: float, whole: int, other_part: float, other_whole: int, confidence: float = 0.95
) -> Estimate:
    """Return part / whole minus other_part / other_whole of two independent groups, with Newcombe's interval.

    From the two Wilson intervals (Newcombe 1998, Statistics in Medicine 17:873, method 10). A part may be a sum of
    shares in [0, 1], one a unit: its variance is at most that of a count, so the interval is then too wide.

    >>> str(rate_difference("gap", 56, 70, 48, 80))
    'gap 0.2 [0.05243, 0.3339] at 95 %'
    """
    a, b = _wilson(part, whole, confidence), _wilson(other_part, other_whole, confidence)
    value = a.value - b.value
    return Estimate(
        quantity=quantity,
        value=value,
        low=value - float(np.hypot(a.value - a.low, b.high - b.value)),
        high=value + float(np.hypot(a.high - a.value, b.value - b.low)),
        confidence=confidence,
        method="Newcombe, from Wilson intervals",
        counts={"units": whole, "other_units": other_whole},
    )


def _wilson(part: float, whole: int, confidence: float) -> Interval:
    if not 0 <= part <= whole or whole == 0:
        raise DataError(f"a rate needs a part in [0, whole] and a whole above 0, got {part:g} of {whole}.")
    p, z = part / whole, float(ndtri((1 + confidence) / 2))
    centre = (p + z**2 / (2 * whole)) / (1 + z**2 / whole)
    half = z * np.sqrt(p * (1 - p) / whole + z**2 / (4 * whole**2)) / (1 + z**2 / whole)
    return Interval(p, max(float(centre - half), 0.0), min(float(centre + half), 1.0))


def mean_difference(quantity: str, values: Floats, other: Floats, confidence: float = 0.95) -> Estimate | None:
    """Return the mean of `values (units,)` minus that of `other (units,)`, two groups, with Welch's interval.

    None where a side has under two units or neither side varies: then nothing says how far it could be off.

    >>> mean_difference("gap", np.array([1.0, 1.0]), np.array([0.0, 0.0])) is None
    True
    """
    if min(values.size, other.size) < 2:
        return None
    a, b = values.var(ddof=1) / values.size, other.var(ddof=1) / other.size
    if a + b == 0:
        return None
    freedom = (a + b) ** 2 / (a**2 / (values.size - 1) + b**2 / (other.size - 1))
    value, half = float(values.mean() - other.mean()), float(stdtrit(freedom, (1 + confidence) / 2) * np.sqrt(a + b))
    return Estimate(
        quantity=quantity,
        value=value,
        low=value - half,
        high=value + half,
        confidence=confidence,
        method="Welch",
        counts={"units": values.size, "other_units": other.size},
    )


def _checked(scores: Floats, other: Floats, member: Bools) -> tuple[Floats, Floats, Bools]:
    scores, other, member = np.asarray(scores, np.float64), np.asarray(other, np.float64), np.asarray(member)
    if scores.ndim != 1 or not scores.shape == other.shape == member.shape:
        raise DataError(
            "scores, other and member must be one value a unit each, "
            f"got {scores.shape}, {other.shape} and {member.shape}."
        )
    if member.dtype != np.bool_:
        raise DataError(f"member must be boolean, got {member.dtype}.")
    if bad := int((~np.isfinite(scores)).sum() + (~np.isfinite(other)).sum()):
        raise DataError(f"scores must be finite, got {bad} that are not.")
    if member.all() or not member.any():
        raise DataError("one side is empty: both members and non-members are needed.")
    return scores, other, member
