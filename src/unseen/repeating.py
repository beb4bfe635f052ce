"""The audit of a training procedure: targets on halves drawn by coins, each attacked with the others' answers."""

import math
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs
from scipy.stats import binom
from scipy.stats import t as student

from unseen.case import Case
from unseen.errors import DataError, PlanError, TargetFailed
from unseen.estimate import Estimate, Refused
from unseen.estimating import Questions
from unseen.features.digest import row_digests
from unseen.features.near import near_copies
from unseen.features.rows import take_rows
from unseen.gates.self_null import SELF_NULL
from unseen.judgement import Judgement, candidate, judge
from unseen.judging import Candidate, adjust, found_leak, judge_limits
from unseen.models import as_engine, as_recipe
from unseen.options import Options
from unseen.policy import Context, Limit, Policy
from unseen.pool import by_content, label_indexes, label_tenths
from unseen.procedure import AttackSpread, Procedure, Repeats, Spread
from unseen.provenance import digest, provenance
from unseen.recipe import Recipe
from unseen.records import Records, as_records
from unseen.reference import Engine, ReferenceTask
from unseen.references.gather import Gathered, gather
from unseen.references.inclusion import draw_inclusion, draw_seeds
from unseen.references.signals_of import named
from unseen.repeated import Repeated
from unseen.report import (
    BROKEN,
    FAILED,
    HELD,
    INCONCLUSIVE,
    LEAK,
    NO_LEAK_FOUND,
    GateResult,
    LimitResult,
    Provenance,
    ReferenceFacts,
    TargetFacts,
)
from unseen.runs import claim
from unseen.signal import Array, Bools, Ints, Signals
from unseen.signals.residual import residual_scale
from unseen.signals.saturation import finite_bounds
from unseen.target import Target
from unseen.training import engine_for, recipe_notes, store_for
from unseen.trial import Trial

HALF = 0.5
FEWEST_TARGETS = 2
MOST_TRIED = 4  # models, before it is said that none can be trained


@dataclass(frozen=True)
class _Whole:
    """Every record in canonical order, and the unit that each belongs to."""

    features: Any = field(repr=False)
    labels: Array = field(repr=False)
    label_index: Ints = field(repr=False)
    digests: Ints = field(repr=False)
    unit_of: Ints = field(repr=False)
    ids: Array = field(repr=False)
    unit: str = "record"
    rule: str = "mean"

    def trial(self, member: Bools) -> Trial:
        """Return the trial of one target: `member (units,)` says which units it was trained on."""
        if self.ids.size == self.unit_of.size:
            return Trial(member, self.ids, self.unit, None, self.rule)
        return Trial(member, self.ids, self.unit, self.unit_of, self.rule)


def audit_recipe(  # noqa: PLR0913 - the settings of an audit, as `audit` has them
    recipe: Any,
    records: Records | tuple[Any, Any],
    targets: int = 8,
    references: int = 16,
    context: Context | None = None,
    policy: Policy | None = None,
    seed: int = 0,
    *,
    classes: Sequence[Any] | None = None,
    attacks: Sequence[Any] | None = None,
    rule: str = "mean",
    fprs: Sequence[float] | None = None,
    engine: str | Engine = "auto",
    workers: int | None = None,
    folder: str | Path | None = None,
) -> Repeated:
    """Audit a training procedure: how much do its models give away, and does it depend on the luck of one training?

    `recipe` is a function `train(features, labels, seed) -> model`, a `TorchRecipe` or a scikit-learn estimator;
    `records` are all that it may be trained on. `targets` models are trained on halves drawn by independent coins, unit
    by unit, and each is attacked with `references` models of the same procedure: the other targets, and as many more
    as it takes. A target's own row is never among its references. The coins are independent, not balanced: else the
    number of references that had a record would give its membership away.

    Attacks see margins and losses; those that need more (the whole answer, perturbed copies, a population) do not run.
    Raises a subclass of `unseen.errors.UnseenError`.

    >>> from sklearn.tree import DecisionTreeClassifier
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(600, 3)), rng.integers(0, 2, 600)
    >>> audit_recipe(DecisionTreeClassifier(), (X, y), targets=2, references=3).report.state
    'leak'
    """
    options = Options(
        references=references,
        seed=seed,
        attacks=attacks,
        rule=rule,
        policy=policy or Policy(),
        context=context or Context(),
        questions=Questions() if fprs is None else Questions(fprs=tuple(fprs)),
        folder=None if folder is None else Path(folder),
        recipe=as_recipe(recipe, classes),
        engine=as_engine(engine, workers),
    )
    return repeat(as_records(records, "records"), targets, options)


def repeat(records: Records, targets: int, options: Options) -> Repeated:
    """Audit the procedure `options.recipe` on `records`: everything that `audit_recipe` does."""
    started, recipe = datetime.now(UTC), options.recipe
    if recipe is None:
        raise PlanError("the audit of a procedure needs a recipe: train(features, labels, seed) -> model.")
    if targets < FEWEST_TARGETS or options.references < targets - 1:
        raise PlanError(
            f"targets must be at least {FEWEST_TARGETS}, and references at least targets - 1 (every other target is "
            f"one), got {targets} and {options.references}; in a plan these are recipe.targets and references.count."
        )
    if options.adaptive or options.seconds < math.inf:
        raise PlanError("adaptive and max_time are for the audit of one model: leave them out, or lower the counts.")
    models, mark = options.references + 1, recipe.fingerprint()
    digests = row_digests(records.features, records.labels)
    coins_of, seeds = partial(draw_inclusion, options.seed, models), draw_seeds(options.seed, models)
    whole = _whole(records, digests, options.rule)
    coins = coins_of(whole.ids.size, HALF)
    first = _first(recipe, whole, coins, seeds)  # says which classes there are, and that it trains at all
    whole = replace(whole, label_index=_index(whole.labels, first.classes))
    scale = None
    if not first.classes.size:
        value = first.answer(whole.features).value
        scale = residual_scale(whole.labels.astype(np.float64) - np.asarray(value))
    data = digest(whole.digests, whole.unit_of)
    claim(options.folder, data, mark, options.seed)
    inclusion = coins[:, whole.unit_of]
    task = ReferenceTask(
        recipe, first.classes, whole.features, whole.labels, whole.label_index, inclusion, seeds, scale
    )
    engine, said = engine_for(options.engine, "every target must be a model of its own")
    store = store_for(task, whole.unit_of, replace(options, engine=engine), HALF, mark)
    gathered = gather(task, engine, store, partial(options.progress, "models"))
    trained = [k for k in gathered.used if k < targets]
    if len(trained) < FEWEST_TARGETS or gathered.margin is None:
        raise TargetFailed(f"only {len(trained)} of {targets} targets could be trained: {gathered.failures}.")
    facts = _facts(gathered)
    judged = [_judge(whole, coins, gathered, k, facts, options) for k in trained]
    described = options.described | {"recipe": {"targets": targets}}
    origin = provenance(options.seed, data, mark, described, started, mark)
    notes = [*said, *gathered.said, *recipe_notes(task, gathered, mark)]
    return _concluded(whole, judged, gathered, facts, notes, options, origin)


def _first(recipe: Recipe, whole: _Whole, coins: Bools, seeds: Sequence[int]) -> Target:
    """Return the first model that can be trained; raises `TargetFailed` where none of the first few can."""
    failed: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as where the models are trained
        for k in range(min(len(seeds), MOST_TRIED)):
            try:
                return recipe.refit(*_rows(whole, coins[k]), seeds[k])
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's training raises
                failed.append(named("fit", error).error)
    why = failed[0].rstrip(".")
    raise TargetFailed(
        f"none of the first {len(failed)} models could be trained: {why}. Messages that may quote records are "
        "withheld: call the recipe on half of them to see its own."
    )


def _whole(records: Records, digests: Ints, rule: str) -> _Whole:
    """Return all records in the order of their content, copies and a person's records being one unit."""
    ids = np.arange(len(records)).astype(str) if records.ids is None else records.ids.astype(str)
    if np.unique(ids).size != ids.size:
        raise DataError(f"{ids.size - np.unique(ids).size} ids are used more than once; an id names one record.")
    groups = records.groups
    if groups is None:
        groups = near_copies(records.features, digests, np.unique(records.labels, return_inverse=True)[1])
    order = np.lexsort((ids, digests))
    unit_of = by_content(np.unique(groups[order], return_inverse=True)[1])
    first = np.unique(unit_of, return_index=True)[1]
    names = (ids if records.groups is None else groups)[order][first]
    none = np.zeros(order.size, dtype=np.intp)
    unit = "record" if records.groups is None else "person"
    features, labels = take_rows(records.features, order), records.labels[order]
    combined = rule if records.groups is not None else "mean"
    return _Whole(features, labels, none, digests[order], unit_of, names, unit, combined)


def _rows(whole: _Whole, units: Bools) -> tuple[Any, Array]:
    rows = np.flatnonzero(units[whole.unit_of])
    return take_rows(whole.features, rows), whole.labels[rows]


def _index(labels: Array, classes: Array) -> Ints:
    return label_indexes(labels, classes) if classes.size else label_tenths(labels)


def _facts(gathered: Gathered) -> ReferenceFacts:
    """Return how the references of one target came about: every model but itself."""
    return ReferenceFacts(gathered.asked - 1, gathered.finished - 1, gathered.failures, HALF)


@dataclass(frozen=True)
class _Judged:
    """One target: the trial of its coins, what was concluded, and what the self-null gate says of it."""

    trial: Trial = field(repr=False)
    judgement: Judgement = field(repr=False)
    null: GateResult


def _judge(whole: _Whole, coins: Bools, gathered: Gathered, k: int, facts: ReferenceFacts, options: Options) -> _Judged:
    """Attack target `k` with all other models: its own row of coins is the trial, and no reference."""
    row = gathered.used.index(k)
    signals = _signals(whole, gathered, row)
    trial, attacks = whole.trial(coins[k]), options.chosen()
    judgement = judge(signals, trial, attacks, [], options, facts)
    case = Case(
        trial=trial,
        signals=signals,
        attacks=attacks,
        results=judgement.attacks,
        scores=judgement.scores,
        p_values=judgement.p_values,
        recommended=judgement.recommended,
        target=TargetFacts("recipe", 0, [], None, None, 0, 0),
        references=facts,
        fprs=options.asked.fprs,
        seed=options.seed + k,
    )
    return _Judged(trial, judgement, SELF_NULL(case))


def _signals(whole: _Whole, gathered: Gathered, row: int) -> Signals:
    others = np.arange(gathered.finished) != row
    arrays: dict[str, Array] = {"label": whole.label_index, "ref_member": gathered.member[others]}
    for name, values in (("margin", gathered.margin), ("loss", gathered.loss)):
        if values is not None:
            low, high = finite_bounds(values)
            arrays[name] = np.clip(values[row].astype(np.float64), low, high)
            arrays[f"ref_{name}"] = np.clip(values[others], low, high)
    return Signals(**arrays)


def _concluded(
    whole: _Whole,
    judged: Sequence[_Judged],
    gathered: Gathered,
    facts: ReferenceFacts,
    notes: list[str],
    options: Options,
    origin: Provenance,
) -> Repeated:
    first = judged[0].judgement
    flat = [one.estimates for target in judged for one in target.judgement.attacks]
    groups, family = adjust(flat)
    width = len(first.attacks)
    by_target = [groups[place : place + width] for place in range(0, len(groups), width)]
    attacks = [_spread(first, number, [target[number] for target in by_target]) for number in range(width)]
    limits = judge_limits(options.policy.limits, partial(_candidates, judged), _refused(judged))
    gates = [_self_null(judged)]
    state, reasons = _state(attacks, limits, gates, len(judged))
    report = Procedure(
        state=state,
        reasons=reasons,
        recommended=first.recommended,
        unit=whole.unit,
        units=int(whole.ids.size),
        targets=len(judged),
        references=facts.finished,
        failures=gathered.failures,
        family=family,
        attacks=attacks,
        repeats=_repeats(judged, options.policy.flag_fpr),
        limits=limits,
        gates=gates,
        notes=notes,
        policy=options.policy,
        context=options.context,
        provenance=origin,
    )
    return Repeated(
        report, whole.ids, *_counts(judged, options.policy.flag_fpr), gathered.reused, gathered.damaged_files
    )


def _spread(first: Judgement, number: int, estimates: Sequence[list[Estimate]]) -> AttackSpread:
    """Return one attack over the targets, from the estimates of each, `(targets,)` lists in the same order."""
    result = first.attacks[number]
    if not all(estimates):
        return AttackSpread(result.name, result.row, [], 0, result.reason or result.state)
    shown = [one for one in estimates[0] if one.quantity in {"auc", "tpr"}]
    spreads = [_over_targets(one, estimates) for one in shown]
    return AttackSpread(result.name, result.row, spreads, sum(found_leak(one) for one in estimates))


def _over_targets(like: Estimate, estimates: Sequence[list[Estimate]]) -> Spread:
    found = [e.value for target in estimates for e in target if (e.quantity, e.fpr) == (like.quantity, like.fpr)]
    values = np.array(found)
    if values.size < FEWEST_TARGETS:
        return Spread(like.quantity, like.fpr, found, float(values.mean()), None, None, None)
    deviation = float(values.std(ddof=1))
    half = float(student.ppf(0.975, values.size - 1)) * deviation / values.size**0.5
    mean = float(values.mean())
    return Spread(like.quantity, like.fpr, found, mean, max(mean - half, 0.0), min(mean + half, 1.0), deviation)


def _candidates(judged: Sequence[_Judged], limit: Limit) -> list[Candidate]:
    return [
        candidate(limit, f"{name}, target {number + 1}", scores, one.trial.member)
        for number, one in enumerate(judged)
        for name, scores in one.judgement.scores.items()
    ]


def _refused(judged: Sequence[_Judged]) -> list[Refused]:
    return [refusal for target in judged for one in target.judgement.attacks for refusal in one.refused]


def _self_null(judged: Sequence[_Judged]) -> GateResult:
    """Return one result for all targets: broken where more than one target's is, since a flaw of design shows in all.

    A gate that holds is broken by chance once in 200; two of eight are, 7 times in 10,000. Of many targets it takes as
    many as chance would break in at most one audit of 1,000.
    """
    counts = Counter(one.null.state for one in judged)
    ordered = sorted((one.null for one in judged), key=lambda null: null.state == BROKEN)
    shown = ordered[-1] if counts[BROKEN] > binom.isf(1e-3, len(judged), 1 / 200) else ordered[0]
    words = f"{counts[HELD]} of {len(judged)} targets hold; {shown.finding}"
    return structs.replace(shown, finding=words)


def _state(
    attacks: Sequence[AttackSpread], limits: Sequence[LimitResult], gates: Sequence[GateResult], targets: int
) -> tuple[str, list[str]]:
    ran = [one for one in attacks if one.spreads]
    if not ran:
        return FAILED, ["no attack could run on what the models answered"]
    found = [one for one in ran if one.above_chance]
    most = max(found, key=lambda one: one.above_chance, default=None)
    verdicts = [f"{one.verdict}: {one.limit}: {one.detail}" for one in limits]
    if any(one.verdict == "over" for one in limits):
        state, reasons = LEAK, [text for text in verdicts if text.startswith("over")]
    elif limits:
        undecided = any(one.verdict == "undecided" for one in limits)
        state, reasons = (INCONCLUSIVE if undecided else NO_LEAK_FOUND), verdicts
    elif most is not None:
        counted = f"{len(found)} of {len(ran)} attacks are above chance, {most.name} on {most.above_chance}"
        state, reasons = LEAK, [f"{counted} of {targets} targets, at one error budget of 5 % for all their tests"]
    else:
        state, reasons = NO_LEAK_FOUND, ["no test of any target found a leak; see what each would have found"]
    broken = [f"gate {one.name}: {one.finding}" for one in gates if one.state == BROKEN]
    return (INCONCLUSIVE, broken + reasons) if broken else (state, reasons)


def _flags(judged: Sequence[_Judged], fpr: float) -> tuple[Bools, Bools] | None:
    """Return which units each target was trained on, and which it flags, `(targets, units)`; None without scores."""
    name = judged[0].judgement.recommended
    if not name or any(name not in one.judgement.p_values for one in judged):
        return None
    trained = np.stack([one.trial.member for one in judged])
    return trained, np.stack([one.judgement.p_values[name] <= fpr for one in judged])


def _counts(judged: Sequence[_Judged], fpr: float) -> tuple[Ints, Ints, Ints]:
    """Return per unit how many targets were trained on it, how many of those flag it, and how many of the others."""
    flags = _flags(judged, fpr)
    trained = np.stack([one.trial.member for one in judged])
    flagged = np.zeros_like(trained) if flags is None else flags[1]
    return trained.sum(axis=0), (trained & flagged).sum(axis=0), (~trained & flagged).sum(axis=0)


def _repeats(judged: Sequence[_Judged], fpr: float) -> Repeats | None:
    if _flags(judged, fpr) is None:
        return None
    told = [np.bincount(one, minlength=len(judged) + 1).tolist() for one in _counts(judged, fpr)]
    return Repeats(judged[0].judgement.recommended, fpr, *told)
