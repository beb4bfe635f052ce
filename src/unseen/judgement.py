"""Judgement: from signals and the trial to scores, estimates, slices, limits and the state of the whole."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from msgspec.structs import replace
from threadpoolctl import threadpool_limits

from unseen.access import Access
from unseen.attack import Attack
from unseen.errors import TooFewRecords, UndefinedScore
from unseen.estimate import Estimate
from unseen.estimating import ERROR_BUDGET, estimate, estimate_slice
from unseen.judging import Candidate, adjust, conclude, found_leak, judge_limits, state_of
from unseen.options import Options
from unseen.policy import Limit
from unseen.report import (
    FAILED,
    LEAK,
    NO_LEAK_FOUND,
    NOT_APPLICABLE,
    AttackResult,
    LimitResult,
    ReferenceFacts,
    SliceResult,
)
from unseen.scores import Scores
from unseen.signal import Array, Floats
from unseen.signals import SIGNALS
from unseen.slicing import Slice
from unseen.stats.records import record_p_values
from unseen.stats.roc import advantage, auc, tpr_at_fpr
from unseen.stats.tolerance import tpr_tolerance
from unseen.trial import Trial

SLICE_FPRS = (0.1, 0.01)
ACCESS_OF = {signal.name: signal.access for signal in SIGNALS}


@dataclass(frozen=True)
class Judgement:
    """What the scores say: results for the report, and per unit the scores and p-values of each attack."""

    state: str
    reasons: list[str]
    recommended: str
    family: int
    attacks: list[AttackResult]
    slices: list[SliceResult]
    limits: list[LimitResult]
    scores: dict[str, Floats] = field(repr=False)
    p_values: dict[str, Floats] = field(repr=False)


def judge(
    signals: Mapping[str, Array],
    trial: Trial,
    attacks: Sequence[Attack],
    slices: Sequence[Slice],
    options: Options,
    references: ReferenceFacts,
    unanswered: AbstractSet[str] = frozenset(),
) -> Judgement:
    """Run every attack that can run, estimate, correct for the number of questions, and judge by the policy if any.

    `unanswered` names signals that the target would not give: attacks that need them have failed.
    """
    results, scores = _run(signals, trial, attacks, options, references)
    results = [_unanswered(one, attack, unanswered) for one, attack in zip(results, attacks, strict=True)]
    recommended = next((attack.name for attack in attacks if attack.name in scores), "")
    cells = _slices(slices, trial, recommended, scores, options.error_share)
    found = [one.estimates for one in results] + [one.estimates for one in cells]
    groups, family = adjust(found, options.error_share)
    results = [_stated(one, group) for one, group in zip(results, groups[: len(results)], strict=True)]
    cells = [_stated_cell(one, group) for one, group in zip(cells, groups[len(results) :], strict=True)]
    p_values = {name: record_p_values(values, trial.member) for name, values in scores.items()}
    results = [_flagged(one, p_values, trial, options.policy.flag_fpr) for one in results]
    refused = [refusal for one in results for refusal in one.refused]
    named = {f"{one.by}={one.value}": one for one in slices if not one.suppressed(trial)}

    def candidates(limit: Limit) -> list[Candidate]:
        whole = [candidate(limit, name, values, trial.member) for name, values in scores.items()]
        parts = [
            candidate(limit, f"{recommended}, {name}", scores[recommended][one.units], trial.member[one.units])
            for name, one in (named.items() if limit.every_slice else ())
        ]
        return whole + parts

    limits = judge_limits(options.policy.limits, candidates, refused, options.error_share)
    state, reasons = conclude(results, cells, limits, references)
    return Judgement(state, reasons, recommended, family, results, cells, limits, scores, p_values)


def _run(
    signals: Mapping[str, Array],
    trial: Trial,
    attacks: Sequence[Attack],
    options: Options,
    references: ReferenceFacts,
) -> tuple[list[AttackResult], dict[str, Floats]]:
    results, scores = [], {}
    for done, attack in enumerate(attacks):
        options.progress("attacks", done, len(attacks))
        result, values = _attack(attack, signals, trial, options, references)
        results.append(result)
        if values is not None:
            scores[attack.name] = trial.per_unit(values.values)
    options.progress("attacks", len(attacks), len(attacks))
    return results, scores


def _attack(
    attack: Attack, signals: Mapping[str, Array], trial: Trial, options: Options, references: ReferenceFacts
) -> tuple[AttackResult, Scores | None]:
    access = sorted(attack.access)
    missing = attack.missing(signals)
    if missing:
        lacks = {need for name in missing for need in ACCESS_OF.get(name, frozenset())} - _granted(signals)
        if references.finished >= 2:
            lacks -= {Access.REFERENCES}
        elif references.asked and Access.REFERENCES in lacks:
            why = f"{references.asked - references.finished} of {references.asked} references failed"
            return AttackResult(attack.name, attack.row, FAILED, access, why), None
        why = f"needs {', '.join(sorted(lacks)) or ', '.join(missing)}"
        return AttackResult(attack.name, attack.row, NOT_APPLICABLE, access, why), None
    if attack.models and references.derived:
        why = "takes references for targets, and free ones are no models of their own"
        return AttackResult(attack.name, attack.row, NOT_APPLICABLE, access, why), None
    try:
        with threadpool_limits(1):  # a learner's threads cost more than they give where other processes are busy
            scores = attack(signals)
    except UndefinedScore as error:
        return AttackResult(attack.name, attack.row, FAILED, access, str(error)), None
    except Exception as error:  # noqa: BLE001 - whatever an attack raises, it is named and never passes
        return AttackResult(attack.name, attack.row, FAILED, access, f"raised {type(error).__name__}"), None
    estimates, refused = estimate(trial.per_unit(scores.values), trial.member, options.asked, attack.name)
    tied = Scores(attack.name, trial.per_unit(scores.values)).tie_share
    return AttackResult(attack.name, attack.row, LEAK, access, "", estimates, refused, tied), scores


def _unanswered(result: AttackResult, attack: Attack, unanswered: AbstractSet[str]) -> AttackResult:
    if not unanswered & {signal.name for signal in attack.needs}:
        return result
    return replace(result, state=FAILED, reason="the model raised on what it was asked")


def _granted(signals: Mapping[str, Array]) -> frozenset[Access]:
    return frozenset().union(*(ACCESS_OF.get(name, frozenset()) for name in signals))


def _stated(result: AttackResult, estimates: list[Estimate]) -> AttackResult:
    if result.state in {NOT_APPLICABLE, FAILED}:
        return result
    state, reason = state_of(estimates, result.refused)
    return replace(result, state=state, reason=reason, estimates=estimates)


def _flagged(result: AttackResult, p_values: Mapping[str, Floats], trial: Trial, fpr: float) -> AttackResult:
    if result.name not in p_values or fpr * (trial.non_members + 1) < 1:  # no rank among so few can be that rare
        return result
    flagged = p_values[result.name] <= fpr
    inside = int((flagged & trial.member).sum())
    return replace(result, flagged_members=inside, flagged_non_members=int(flagged.sum()) - inside)


def _slices(
    slices: Sequence[Slice], trial: Trial, recommended: str, scores: Mapping[str, Floats], share: float
) -> list[SliceResult]:
    if not recommended:
        return []
    shown = [one for one in slices if not one.suppressed(trial)]
    confidence = 1 - share * ERROR_BUDGET / max((1 + len(SLICE_FPRS)) * len(shown), 1)
    return [_cell(one, trial, recommended, scores[recommended], confidence) for one in slices]


def _cell(one: Slice, trial: Trial, attack: str, scores: Floats, confidence: float) -> SliceResult:
    if one.suppressed(trial):
        return SliceResult(one.by, one.value, suppressed=True, state=NOT_APPLICABLE)
    inside, name = one.units, f"{one.by}={one.value}"
    estimates = estimate_slice(scores[inside], trial.member[inside], SLICE_FPRS, confidence, attack, name)
    return SliceResult(one.by, one.value, suppressed=False, state=NO_LEAK_FOUND, estimates=estimates)


def _stated_cell(one: SliceResult, estimates: list[Estimate]) -> SliceResult:
    state = LEAK if found_leak(estimates) else one.state
    return replace(one, estimates=estimates, state=state)


def candidate(limit: Limit, where: str, scores: Floats, member: Array) -> Candidate:
    """Return the number that a limit speaks of, of one attack or slice, with its bounds at any confidence."""

    def bounds(confidence: float) -> tuple[float, float]:
        if limit.fpr is None:
            one = (auc if limit.metric == "auc" else advantage)(scores, member, confidence)
            return one.low, one.high
        low, high = tpr_tolerance(scores, member, limit.fpr, confidence)
        return (low, high) if limit.prior is None else (_ppv(low, limit), _ppv(high, limit))

    return Candidate(where, _estimate(limit, scores, member), bounds)


def _ppv(tpr: float, limit: Limit) -> float:
    prior, fpr = limit.prior or 0.0, limit.fpr or 0.0
    return prior * tpr / (prior * tpr + (1 - prior) * fpr)


def _estimate(limit: Limit, scores: Floats, member: Array) -> Estimate | None:
    if limit.fpr is None:
        return (auc if limit.metric == "auc" else advantage)(scores, member)
    try:
        rate = tpr_at_fpr(scores, member, limit.fpr)
    except TooFewRecords:
        return None
    value = rate.value if limit.prior is None else _ppv(rate.value, limit)
    return replace(rate, quantity=limit.metric, value=value)
