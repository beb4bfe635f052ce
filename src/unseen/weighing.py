"""Weighing: gates, factors, the three buckets of evidence, likelihood beside harm; after the attacks are judged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from unseen.case import Case
from unseen.estimate import Estimate
from unseen.factor import Factor
from unseen.factors import FACTORS
from unseen.gate import Gate
from unseen.gates import GATES
from unseen.judgement import Judgement
from unseen.options import Progress, quiet
from unseen.plugins import installed_factors, installed_gates
from unseen.report import (
    BROKEN,
    FAILED,
    INCONCLUSIVE,
    LEAK,
    NO_LEAK_FOUND,
    PRESENT,
    Evidence,
    FactorResult,
    GateResult,
    Risk,
)
from unseen.stats.tolerance import tpr_tolerance

T = TypeVar("T")
LIKELY, SOME = 10.0, 2.0  # how many times likelier a call is for a member than for another


@dataclass(frozen=True)
class Weighed:
    """The state of the whole once gates have been asked, and what stands beside it."""

    state: str
    reasons: list[str]
    gates: list[GateResult]
    factors: list[FactorResult]
    evidence: Evidence
    risk: Risk


def weigh(
    case: Case,
    judgement: Judgement,
    own_gates: Sequence[Gate] = (),
    own_factors: Sequence[Factor] = (),
    progress: Progress = quiet,
) -> Weighed:
    """Ask every gate and every factor, those of the catalogue and the caller's own, and conclude.

    A broken gate makes whatever was measured inconclusive.
    """
    gates = _asked("gates", (*GATES, *installed_gates(), *own_gates), case, progress)
    factors = _asked("factors", (*FACTORS, *installed_factors(), *own_factors), case, progress)
    state, reasons = gated(judgement.state, judgement.reasons, gates)
    return Weighed(state, reasons, gates, factors, evidence(judgement, gates, factors), risk(case, state))


def _asked(what: str, all_of_them: Sequence[Callable[[Case], T]], case: Case, progress: Progress) -> list[T]:
    answers = []
    for done, one in enumerate(all_of_them):
        progress(what, done, len(all_of_them))
        answers.append(one(case))
    progress(what, len(all_of_them), len(all_of_them))
    return answers


def gated(state: str, reasons: list[str], gates: Sequence[GateResult]) -> tuple[str, list[str]]:
    """Return the state and its reasons after the gates: a broken one comes first and decides."""
    broken = [f"gate {one.name}: {one.finding}" for one in gates if one.state == BROKEN]
    if not broken or state == FAILED:
        return state, reasons + broken
    measured = [f"what the attacks measured, and may not be believed: {reason}" for reason in reasons]
    return INCONCLUSIVE, broken + (measured if state in {LEAK, NO_LEAK_FOUND} else reasons)


def evidence(judgement: Judgement, gates: Sequence[GateResult], factors: Sequence[FactorResult]) -> Evidence:
    """Sort what was found into evidence against release, for release, and undecided.

    With a broken gate, whatever the attacks measured is undecided.
    """
    against, for_release, undecided = list[str](), list[str](), list[str]()
    believed = not any(one.state == BROKEN for one in gates)
    leaking, quiet_ones = (against, for_release) if believed else (undecided, undecided)
    for limit in judgement.limits:
        bucket = {"over": leaking, "within": quiet_ones}.get(limit.verdict, undecided)
        bucket.append(f"limit {limit.limit}: {limit.verdict} ({limit.detail})")
    leaks = [one.name for one in judgement.attacks if one.state == LEAK]
    silent = [one for one in judgement.attacks if one.state == NO_LEAK_FOUND]
    if leaks:
        leaking.append(f"{len(leaks)} attacks tell members from others ({', '.join(leaks[:3])}{_more(leaks)})")
    if cells := [f"{one.by} {one.value}" for one in judgement.slices if one.state == LEAK]:
        leaking.append(f"{len(cells)} slices are above chance ({', '.join(cells[:3])}{_more(cells)})")
    if silent:
        reach = [e.detectable for one in silent for e in one.estimates if e.quantity == "auc" and e.detectable]
        found = f"; an AUC of {max(reach):.3f} would have been found by each" if reach and believed else ""
        quiet_ones.append(f"{len(silent)} attacks found nothing{found}")
    against += [f"{one.name}: {one.finding}" for one in factors if one.state == PRESENT]
    undecided += [f"gate {one.name}: {one.finding}" for one in gates if one.state == BROKEN]
    undecided += [f"{one.name}: {one.reason}" for one in judgement.attacks if one.state in {FAILED, INCONCLUSIVE}]
    held = [one.name for one in gates if one.state == "held"]
    if held:
        for_release.append(f"checks of the audit itself that hold: {', '.join(held)}")
    return Evidence(against, for_release, undecided)


def _more(names: Sequence[str]) -> str:
    return ", ..." if len(names) > 3 else ""


def risk(case: Case, state: str) -> Risk:
    """Return the measured likelihood beside the declared harm.

    Likelihood goes by the likelihood ratio TPR / FPR of the attacks that found a leak, at the lower bound that pays for
    the threshold too: how many times likelier an attacker points at a member than at another. From 10 "high", from 2
    "moderate".
    """
    harm, reveals = case.context.severity or "not declared", case.context.reveals
    if state in {FAILED, INCONCLUSIVE}:
        return Risk("not measured", "this audit does not settle it", harm, reveals)
    rates = [e for one in case.results if one.state == LEAK for e in one.estimates if _calls(e)]
    if not rates:
        found = any(one.state == LEAK for one in case.results)
        why = "some attacks are above chance, at no rate that was asked for" if found else "no attack is above chance"
        return Risk("low" if found else "not found", why, harm, reveals)
    ratios = [tpr_tolerance(case.scores[e.attack], case.member, e.fpr or 1, 0.95)[0] / (e.fpr or 1) for e in rates]
    ratio, worst = max(zip(ratios, rates, strict=True), key=lambda pair: pair[0])
    level = "high" if ratio >= LIKELY else "moderate" if ratio >= SOME else "low"
    why = (
        f"at least {ratio:.2g} times likelier to point at a member than at another "
        f"({worst.attack}, at a false-positive rate of {100 * (worst.fpr or 0):.4g} %)"
    )
    return Risk(level, why, harm, reveals)


def _calls(one: Estimate) -> bool:
    return one.quantity == "tpr" and one.adjusted_p is not None and one.adjusted_p <= 0.05
