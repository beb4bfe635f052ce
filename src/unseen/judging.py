"""Judging: one error budget over all tests, the owner's limits, and the state of each attack and of the whole."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from unseen.estimate import Estimate, Refused
from unseen.estimating import ERROR_BUDGET
from unseen.policy import Limit
from unseen.report import (
    FAILED,
    INCONCLUSIVE,
    LEAK,
    NO_LEAK_FOUND,
    NOT_APPLICABLE,
    AttackResult,
    LimitResult,
    ReferenceFacts,
    SliceResult,
)
from unseen.stats.multiplicity import holm
from unseen.stats.power import detectable_auc, detectable_tpr

HOPELESS = 0.95  # a test that finds only a larger AUC than this has not looked
FEWEST_JUDGED = 10  # units a side, below which no interval decides a limit

Bounds = Callable[[float], tuple[float, float]]


@dataclass(frozen=True)
class Candidate:
    """A number that a limit speaks of: as estimated (None where it cannot be), and its bounds at a confidence."""

    where: str
    estimate: Estimate | None
    bounds: Bounds


def adjust(groups: Sequence[list[Estimate]], share: float = 1.0) -> tuple[list[list[Estimate]], int]:
    """Return the estimates with Holm-adjusted p-values and detectable leaks, and the number of tests in the family.

    Where earlier looks spent some of the budget and `share` of it is left, p-values are adjusted for that too: divided
    by it, so that 5 % is the threshold still.
    """
    tested = [one.p_value for group in groups for one in group if one.p_value is not None]
    adjusted = iter(np.minimum(holm(np.array(tested)) / share, 1.0).tolist())
    level = ERROR_BUDGET * share / max(len(tested), 1)
    return [[_judged(one, adjusted, level) for one in group] for group in groups], len(tested)


def _judged(one: Estimate, adjusted: Iterator[float], level: float) -> Estimate:
    if one.p_value is None:
        return one
    return replace(one, adjusted_p=next(adjusted), detectable=_detectable(one, level))


def _detectable(one: Estimate, level: float) -> float | None:
    c = one.counts
    if one.quantity == "auc":
        return detectable_auc(c["members"], c["non_members"], level)
    return detectable_tpr(c["members"], c["allowed"], c["non_members"], level)


def found_leak(estimates: Iterable[Estimate]) -> bool:
    """Say whether a test found a leak within the report's error budget."""
    return any(one.adjusted_p is not None and one.adjusted_p <= ERROR_BUDGET for one in estimates)


def state_of(estimates: list[Estimate], refused: list[Refused]) -> tuple[str, str]:
    """Return the state of one measured attack, and the reason where it is inconclusive."""
    if found_leak(estimates):
        return LEAK, ""
    if not any(one.quantity == "tpr" for one in estimates):
        needed = min((one.non_members_needed for one in refused if one.quantity == "tpr"), default=0)
        return INCONCLUSIVE, f"no false-positive rate that was asked for can be resolved; {needed} non-members would do"
    fewest = min((min(one.counts["members"], one.counts["non_members"]) for one in estimates), default=0)
    if fewest < FEWEST_JUDGED:
        return INCONCLUSIVE, f"{fewest} units on a side are too few to look with; {FEWEST_JUDGED} are the least"
    reach = [one.detectable for one in estimates if one.quantity == "auc" and one.detectable is not None]
    if reach and min(reach) >= HOPELESS:
        return INCONCLUSIVE, f"so few units that only a leak with an AUC of {min(reach):.3f} would have been found"
    return NO_LEAK_FOUND, ""


def judge_limits(
    limits: Sequence[Limit],
    candidates: Callable[[Limit], list[Candidate]],
    refused: Sequence[Refused],
    share: float = 1.0,
) -> list[LimitResult]:
    """Return each limit's verdict.

    "over" where some lower bound lies above the limit, at a confidence shared out over every comparison of the policy
    (Bonferroni, `share` of 5 % in all); "within" where every upper bound lies at or below it (an intersection-union
    test, which needs no correction); "undecided" otherwise, or where nothing could be measured.
    """
    sought = [(limit, candidates(limit)) for limit in limits]
    comparisons = max(sum(len(found) for _, found in sought), 1)
    confidence = 1 - 2 * ERROR_BUDGET * share / comparisons  # two-sided, of which the lower tail is used
    return [_judge_limit(limit, found, confidence, refused) for limit, found in sought]


def _judge_limit(limit: Limit, sought: list[Candidate], confidence: float, refused: Sequence[Refused]) -> LimitResult:
    found = [(one, one.estimate) for one in sought if one.estimate is not None]
    if not found:
        needed = [one.non_members_needed for one in refused if one.fpr == limit.fpr and one.quantity == "tpr"]
        why = f"{max(needed)} non-members are needed" if needed else "no attack that measures it could run"
        return LimitResult(str(limit), "undecided", f"not measured: {why}")
    if min(estimate.counts[side] for _, estimate in found for side in ("members", "non_members")) < FEWEST_JUDGED:
        return LimitResult(str(limit), "undecided", f"fewer than {FEWEST_JUDGED} units on a side decide nothing")
    lows = [one.bounds(max(confidence, 0.5))[0] for one, _ in found]
    worst = int(np.argmax(lows))
    if lows[worst] > limit.at_most:
        return LimitResult(str(limit), "over", _closest(*found[worst]))
    highs = [one.bounds(0.95)[1] for one, _ in found]
    worst = int(np.argmax(highs))
    if highs[worst] > limit.at_most:
        shared = f"; shared out over {len(sought)} numbers or more, the largest lower bound is {max(lows):.4g}"
        return LimitResult(str(limit), "undecided", _closest(*found[worst]) + (shared if len(sought) > 1 else ""))
    if missing := len(sought) - len(found):
        why = f"{missing} of the {len(sought)} numbers that it speaks of cannot be measured with these counts"
        return LimitResult(str(limit), "undecided", why)
    return LimitResult(str(limit), "within", _closest(*found[worst]))


def _closest(one: Candidate, estimate: Estimate) -> str:
    low, high = one.bounds(0.95)
    bounds = f"bounds [{low:.4g}, {high:.4g}] at 95 %{_meant(estimate)}"
    return f"{one.where}: {estimate.quantity} {estimate.value:.4g}, {bounds}"


def _meant(estimate: Estimate) -> str:
    return "" if estimate.fpr is None else f" for a true false-positive rate of {100 * estimate.fpr:.4g} %"


def conclude(
    attacks: Sequence[AttackResult],
    slices: Sequence[SliceResult],
    limits: Sequence[LimitResult],
    references: ReferenceFacts,
) -> tuple[str, list[str]]:
    """Return the state of the whole audit and why; what could not look can never make it better."""
    doubts = _failures(attacks)
    if references.identical:
        doubts.append("every reference answers exactly as the target does: it was not retrained, or learns nothing")
    if 2 * references.finished < references.asked:
        why = "; ".join(f"{count} x {name.rstrip('.')}" for name, count in list(references.failures.items())[:2])
        doubts.append(f"only {references.finished} of {references.asked} references could be trained ({why})")
    measured = [one for one in attacks if one.state not in {FAILED, NOT_APPLICABLE}]
    if not measured:
        return FAILED if doubts else INCONCLUSIVE, doubts or ["no attack could run with the access given"]
    if limits:
        return _by_policy(limits, doubts)
    if leak := _leaks(attacks, slices):
        return LEAK, [leak, *doubts]
    doubts += [f"{one.name}: {one.reason}" for one in measured if one.state == INCONCLUSIVE][:1]
    return (
        (INCONCLUSIVE, doubts) if doubts else (NO_LEAK_FOUND, ["no test found a leak; see what each would have found"])
    )


def _failures(attacks: Sequence[AttackResult]) -> list[str]:
    failed: dict[str, list[str]] = {}
    for one in attacks:
        if one.state == FAILED:
            failed.setdefault(one.reason, []).append(one.name)
    return [
        f"{names[0]} failed: {reason}" if len(names) == 1 else f"{len(names)} attacks failed: {reason}"
        for reason, names in failed.items()
    ]


def _leaks(attacks: Sequence[AttackResult], slices: Sequence[SliceResult]) -> str:
    found = [one.name for one in attacks if one.state == LEAK]
    where = [f"{one.by} {one.value}" for one in slices if one.state == LEAK]
    if not found + where:
        return ""
    named = ", ".join((found or where)[:3])
    cells = sum(not one.suppressed for one in slices)
    more = ", ..." if len(found or where) > 3 else ""
    return (
        f"{len(found)} of {_measured(attacks)} attacks and {len(where)} of {cells} slices measured are above "
        f"chance, at one error budget of 5 % for all of them ({named}{more})"
    )


def _measured(attacks: Sequence[AttackResult]) -> int:
    return sum(bool(one.estimates) for one in attacks)


def _by_policy(limits: Sequence[LimitResult], doubts: list[str]) -> tuple[str, list[str]]:
    over = [f"over the limit, {one.limit}: {one.detail}" for one in limits if one.verdict == "over"]
    if over:
        return LEAK, over
    undecided = [f"undecided, {one.limit}: {one.detail}" for one in limits if one.verdict == "undecided"]
    if undecided or doubts:
        return INCONCLUSIVE, undecided + doubts
    return NO_LEAK_FOUND, [f"within the policy: {one.limit}" for one in limits]
