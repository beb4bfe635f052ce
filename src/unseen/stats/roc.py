"""The ROC curve by steps with tie blocks, and what is read off it. Never interpolated, never flipped."""

from dataclasses import dataclass, field

import numpy as np
from scipy.stats import hypergeom, mannwhitneyu, rankdata

from unseen.errors import DataError, TooFewRecords
from unseen.estimate import Estimate, Interval
from unseen.signal import Bools, Floats
from unseen.stats.exceedance import exceedance_p_value
from unseen.stats.intervals import auc_interval, clopper_pearson, dkw_margin
from unseen.stats.power import FEWEST_EXPECTED, records_needed

WORTH_CHECKING = 0.05  # above this no test of a report is near its budget
MOST_SKEWNESS = 0.05  # of a rank sum, for the normal approximation to hold in the tail


@dataclass(frozen=True)
class Curve:
    """The steps of a ROC curve, one a distinct score from the highest down: `fpr`, `tpr`, `threshold (steps + 1,)`."""

    fpr: Floats = field(repr=False)
    tpr: Floats = field(repr=False)
    threshold: Floats = field(repr=False)


def curve(scores: Floats, member: Bools) -> Curve:
    """Return the ROC curve of `scores (units,)`; equal scores move together, so row order cannot matter.

    A unit is called a member where its score is at least the threshold; the first step calls nobody one.

    >>> curve(np.array([2.0, 1.0, 1.0, 0.0]), np.array([True, True, False, False])).tpr
    array([0. , 0.5, 1. , 1. ])
    """
    scores, member = _checked(scores, member)
    values, block = np.unique(-scores, return_inverse=True)
    tp = np.concatenate([[0], np.cumsum(np.bincount(block, weights=member, minlength=values.size))])
    fp = np.concatenate([[0], np.cumsum(np.bincount(block, weights=~member, minlength=values.size))])
    return Curve(fp / fp[-1], tp / tp[-1], np.concatenate([[np.inf], -values]))


def auc(scores: Floats, member: Bools, confidence: float = 0.95) -> Estimate:
    """Return the area under the ROC curve, P[member's score > non-member's] + P[equal] / 2, with DeLong's interval.

    `scores (units,)`, higher means member; `member (units,)` boolean. `p_value` is the one-sided Mann-Whitney test
    (exact for small untied samples, hypergeometric for two-valued scores, by permutation where ties make the rank sum
    lopsided, else normal with ties and continuity).

    >>> auc(np.array([3.0, 2.0, 1.0, 0.0]), np.array([True, True, False, False])).value
    1.0
    """
    scores, member = _checked(scores, member)
    interval, method = auc_interval(scores, member, confidence)
    return Estimate(
        quantity="auc",
        value=interval.value,
        low=interval.low,
        high=interval.high,
        confidence=confidence,
        method=method,
        counts=_counts(member),
        condition="members and non-members drawn alike",
        p_value=_rank_p_value(scores, member),
    )


def _rank_p_value(scores: Floats, member: Bools) -> float:
    values = np.unique(scores)
    if values.size == 1:
        return 1.0
    if values.size == 2:  # the count of members at the upper value is hypergeometric, exactly
        upper = scores == values[1]
        return float(hypergeom.sf(int((upper & member).sum()) - 1, scores.size, int(upper.sum()), int(member.sum())))
    p_value = float(mannwhitneyu(scores[member], scores[~member], alternative="greater").pvalue)
    return permutation_p_value(scores, member) if p_value < WORTH_CHECKING and _lopsided(scores, member) else p_value


def _lopsided(scores: Floats, member: Bools) -> bool:
    """Say whether ties make the rank sum too skewed, or too coarse, for the normal approximation's far tail."""
    ranks, drawn, units = rankdata(scores), int(member.sum()), scores.size
    centred = ranks - ranks.mean()
    spread = drawn * (units - drawn) / (units * (units - 1)) * float((centred**2).sum())
    if units > 2 and spread > 0:
        third = drawn * (units - drawn) * (units - 2 * drawn) / (units * (units - 1) * (units - 2))
        if third * float((centred**3).sum()) / spread**1.5 > MOST_SKEWNESS:
            return True
    return bool(np.unique(scores, return_counts=True)[1].max() > units / 2)


def permutation_p_value(scores: Floats, member: Bools, draws: int = 40_000) -> float:
    """Return the one-sided permutation p-value of the rank sum, (1 + draws as large) / (1 + draws), ties included.

    Members are dealt anew among the tie blocks (multivariate hypergeometric); valid for any number of draws. The
    generator's seed is fixed, so that a report repeats itself.
    """
    ranks, block = np.unique(rankdata(scores), return_inverse=True)
    sizes, drawn = np.bincount(block), int(member.sum())
    observed = float(ranks @ np.bincount(block[member], minlength=ranks.size))
    rng, least = np.random.default_rng(0), observed - 1e-9 * abs(observed)
    step = max(1, min(draws, 4_000_000 // ranks.size))
    large = 0
    for start in range(0, draws, step):
        dealt = rng.multivariate_hypergeometric(sizes, drawn, size=min(step, draws - start), method="marginals")
        large += int((dealt @ ranks >= least).sum())
    return (1 + large) / (1 + draws)


def tpr_at_fpr(scores: Floats, member: Bools, fpr: float, confidence: float = 0.95) -> Estimate:
    """Return the true-positive rate at a false-positive rate of at most `fpr`, both in [0, 1].

    The threshold is an order statistic of the non-members: a unit is called a member if it scores above the
    (k + 1)-th largest of n0 of them, k = floor(fpr n0). The TPR's interval is exact given that threshold, and
    `achieved_fpr` has its own. `p_value` is exact under exchangeability (see `exceedance_p_value`). Raises
    `TooFewRecords` where fewer than ten false positives are expected.
    """
    scores, member = _checked(scores, member)
    if not 0 < fpr < 1:
        raise DataError(f"fpr must be in (0, 1), got {fpr}.")
    non_members = int((~member).sum())
    if non_members * fpr < FEWEST_EXPECTED * (1 - 1e-9):
        needed = records_needed(fpr)
        raise TooFewRecords(f"a TPR at an FPR of {fpr:g} needs {needed} non-members, got {non_members}.", needed)
    allowed = int(np.floor(fpr * non_members * (1 + 1e-12)))
    above = scores > threshold_for(scores[~member], allowed)
    tp, fp = int((above & member).sum()), int((above & ~member).sum())
    rate = clopper_pearson(tp, int(member.sum()), confidence)
    return Estimate(
        quantity="tpr",
        value=rate.value,
        low=rate.low,
        high=rate.high,
        confidence=confidence,
        method="Clopper-Pearson given the threshold; exceedance test",
        counts=_counts(member) | {"true_positives": tp, "false_positives": fp, "allowed": allowed},
        condition="threshold set on the non-members of this trial",
        fpr=fpr,
        achieved_fpr=clopper_pearson(fp, non_members, confidence),
        p_value=exceedance_p_value(tp, int(member.sum()), allowed, non_members),
    )


def threshold_for(non_member_scores: Floats, allowed: int) -> float:
    """Return the (allowed + 1)-th largest non-member score: strictly above it lie at most `allowed` non-members."""
    place = non_member_scores.size - allowed - 1
    return float(np.partition(non_member_scores, place)[place])


def advantage(scores: Floats, member: Bools, confidence: float = 0.95) -> Estimate:
    """Return the largest TPR - FPR over all thresholds, with an interval that holds for every threshold at once.

    The Dvoretzky-Kiefer-Wolfowitz bands of both score distributions (Massart 1990) pay for choosing the best
    threshold after the fact; so the interval is wide, and the value itself leans upwards in small samples.
    """
    scores, member = _checked(scores, member)
    steps = curve(scores, member)
    value = float((steps.tpr - steps.fpr).max())
    tail = (1 - confidence) / 4
    margin = dkw_margin(int(member.sum()), tail) + dkw_margin(int((~member).sum()), tail)
    return Estimate(
        quantity="advantage",
        value=value,
        low=max(value - margin, 0.0),
        high=min(value + margin, 1.0),
        confidence=confidence,
        method="Dvoretzky-Kiefer-Wolfowitz, all thresholds at once",
        counts=_counts(member),
        condition="best threshold, chosen after the fact",
    )


def ppv(rate: Estimate, prior: float) -> Estimate:
    """Return the share of true members among those called members, if a share `prior` of those asked about are.

    From `rate`, an estimate of `tpr_at_fpr`: prior TPR / (prior TPR + (1 - prior) FPR). The interval takes the worst
    ends of both, each at half the error, so it covers at least at its stated rate. With no unit called a member it is
    undefined, and `DataError` says so.
    """
    if rate.quantity != "tpr" or not 0 < prior < 1:
        raise DataError(f"a PPV needs an estimate of the TPR and a prior in (0, 1), got {rate.quantity}, {prior}.")
    if rate.counts["true_positives"] + rate.counts["false_positives"] == 0:
        raise DataError("a PPV is undefined where no unit is called a member.")
    c, wide = rate.counts, 1 - (1 - rate.confidence) / 2
    tpr = clopper_pearson(c["true_positives"], c["members"], wide)
    fpr = clopper_pearson(c["false_positives"], c["non_members"], wide)
    return Estimate(
        quantity="ppv",
        value=_bayes(tpr.value, fpr.value, prior),
        low=_bayes(tpr.low, fpr.high, prior),
        high=_bayes(tpr.high, fpr.low, prior),
        confidence=rate.confidence,
        method="Bayes' rule on Clopper-Pearson ends, half the error each",
        counts=rate.counts,
        condition=f"a share {prior:g} of the records asked about are members",
        attack=rate.attack,
        slice=rate.slice,
        fpr=rate.fpr,
        prior=prior,
        achieved_fpr=Interval(fpr.value, fpr.low, fpr.high),
    )


def _bayes(tpr: float, fpr: float, prior: float) -> float:
    called = prior * tpr + (1 - prior) * fpr
    return prior * tpr / called if called else 0.0  # the lower end: all that were called are false positives


def _counts(member: Bools) -> dict[str, int]:
    return {"members": int(member.sum()), "non_members": int((~member).sum())}


def _checked(scores: Floats, member: Bools) -> tuple[Floats, Bools]:
    scores, member = np.asarray(scores, dtype=np.float64), np.asarray(member)
    if scores.ndim != 1 or scores.shape != member.shape:
        raise DataError(f"scores and member must be one value a unit each, got {scores.shape} and {member.shape}.")
    if member.dtype != np.bool_:
        raise DataError(f"member must be boolean, got {member.dtype}.")
    if not np.isfinite(scores).all():
        raise DataError(f"scores must be finite, got {int((~np.isfinite(scores)).sum())} that are not.")
    if member.all() or not member.any():
        raise DataError("one side is empty: both members and non-members are needed.")
    return scores, member
