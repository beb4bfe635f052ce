"""The whole audit on one page: pool, answers, references, signals, attacks, estimates, report."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from unseen.attack import Attack
from unseen.case import Case
from unseen.curves import best_of_each_row, exposure, roc_curves
from unseen.errors import ModelError, PlanError, TargetFailed
from unseen.estimating import Questions
from unseen.factor import Factor
from unseen.features.rows import take_rows
from unseen.gate import Gate
from unseen.judgement import Judgement, judge
from unseen.manifest import Manifest
from unseen.measuring import Measured, measure, robustness
from unseen.options import Options
from unseen.outcome import Outcome
from unseen.policy import Context, Policy
from unseen.pool import Pool, assemble
from unseen.provenance import digest, provenance
from unseen.records import Records, as_records
from unseen.reference import ReferenceTask
from unseen.references.gather import Gathered, gather
from unseen.references.inclusion import draw_inclusion, draw_seeds
from unseen.references.processes import Processes
from unseen.references.store import ReferenceStore
from unseen.report import Provenance, ReferenceFacts, Report, TargetFacts
from unseen.runs import claim
from unseen.sensitive import check_declared, suggest
from unseen.signal import Floats, Signals
from unseen.slicing import CLASS, MOST_VALUES, Slice, by_loss_decile, by_value
from unseen.target import Answers, Target
from unseen.targets.capacity import count_parameters
from unseen.targets.estimator import EstimatorTarget
from unseen.targets.function import FunctionTarget
from unseen.trial import Trial
from unseen.weighing import weigh

MOSTLY = 0.6  # of the pool in one reference, above which the attacker knows much of the training set
MOST_INCLUDED = 0.9  # of the pool in one reference, so that a record has references that never saw it


def audit(  # noqa: PLR0913, PLR0917 - the one call that everybody makes
    model: Any,
    members: Records | tuple[Any, Any],
    non_members: Records | tuple[Any, Any],
    population: Records | tuple[Any, Any] | None = None,
    references: int = 16,
    context: Context | None = None,
    policy: Policy | None = None,
    seed: int = 0,
    *,
    classes: Sequence[Any] | None = None,
    attacks: Sequence[str | Attack] | None = None,
    gates: Sequence[Gate] = (),
    factors: Sequence[Factor] = (),
    slices: Sequence[str] = (),
    rule: str = "mean",
    copies: int = 12,
    training_size: int | None = None,
    manifest: Manifest | None = None,
    fprs: Sequence[float] | None = None,
    workers: int | None = None,
    folder: str | Path | None = None,
) -> Outcome:
    """Audit a fitted classifier: how well can an attacker tell its members from others like them?

    `members` and `non_members` are pairs (features, labels) or `unseen.Records` (with ids and, where the person and
    not the record is to be protected, groups); `population` holds further known non-members. `model` has scikit-learn's
    interface, or is a function from features to probabilities, with its `classes`. `references` models like it are
    retrained on random subsets, in `workers` processes; a function cannot be, and takes references=0. `attacks` are
    names of the catalogue, or `Attack` records of your own; all by default. `gates` and `factors` are `Gate` and
    `Factor` records of your own, beside those of the catalogues. `slices` names feature columns, `rule` ("mean" or
    "max") combines a person's records, `copies` is the number of perturbed copies a record for `noise-robustness`,
    `training_size` the size of the target's training set where it is not the number of members, `manifest` the ids or
    digests of what it was really trained on.
    With a `folder`, finished references are kept there, and a later run with the same data, estimator and seed uses
    them.

    Raises a subclass of `unseen.errors.UnseenError` whose message never quotes a record. What it does not show: see
    `report.not_tested` on the result.

    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(600, 3)), rng.integers(0, 2, 600)
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> model = DecisionTreeClassifier(random_state=0).fit(X[:300], y[:300])
    >>> audit(model, (X[:300], y[:300]), (X[300:], y[300:]), references=0, attacks=["gap"]).state
    'leak'
    """
    options = Options(
        references=references,
        seed=seed,
        attacks=attacks,
        gates=gates,
        factors=factors,
        slices=slices,
        rule=rule,
        copies=copies,
        training_size=training_size,
        manifest=manifest,
        policy=policy or Policy(),
        context=context or Context(),
        questions=Questions() if fprs is None else Questions(fprs=tuple(fprs)),
        folder=None if folder is None else Path(folder),
        engine=Processes(workers),
    )
    others = None if population is None else as_records(population, "population")
    return audit_records(
        as_target(model, classes),
        as_records(members, "members"),
        as_records(non_members, "non_members"),
        others,
        options,
    )


def as_target(model: Any, classes: Sequence[Any] | None = None) -> Target:
    """Return `model` as a target: an estimator, or a function with the classes of its probabilities."""
    if callable(model) and not hasattr(model, "predict"):
        if classes is None:
            raise PlanError("a function needs `classes`: the labels of its probabilities' columns, in order.")
        return FunctionTarget(model, np.asarray(classes))
    return EstimatorTarget(model)


def audit_records(
    target: Target, members: Records, non_members: Records, population: Records | None, options: Options
) -> Outcome:
    """Audit `target` on records: everything that `audit` does."""
    started, attacks = datetime.now(UTC), options.chosen()
    check_asked(target, members, [non_members, *([] if population is None else [population])], options)
    pool = assemble(members, non_members, population, target.classes, options.rule)
    listed = None if options.manifest is None else options.manifest.count(members, non_members)
    slices = column_slices(options.slices, members, non_members, pool)
    slices += sensitive_slices(options, members, non_members, pool)
    data = digest(pool.digests, pool.unit_of, pool.audited, pool.trial.member)
    recipe = target.fingerprint() if options.references and isinstance(target, EstimatorTarget) else ""
    answers = target.answer(pool.features)
    model = digest(answers.predicted, *_rounded(answers))
    claim(options.folder, data, model, options.seed, options.expected)
    references, rate = train_references(target, recipe, pool, options)
    wanted = {signal.name for attack in attacks for signal in attack.needs}
    measured = measure(pool, answers, references, sorted(wanted))
    measured, unanswered = (
        with_robustness(measured, target, pool, options) if "robustness" in wanted else (measured, set())
    )
    signals = measured.signals
    if "loss" in signals:
        slices = [*slices, *by_loss_decile(signals["loss"], pool.trial)]
    facts = reference_facts(references, rate, identical=same_as_target(signals))
    judgement = judge(signals, pool.trial, attacks, slices, options, facts, unanswered)
    case = Case(
        trial=pool.trial,
        signals=signals,
        attacks=attacks,
        results=judgement.attacks,
        scores=judgement.scores,
        p_values=judgement.p_values,
        recommended=judgement.recommended,
        target=target_facts(target, measured, pool.trial),
        references=facts,
        policy=options.policy,
        context=options.context,
        fprs=options.asked.fprs,
        seed=options.seed,
        features=take_rows(pool.features, pool.audited),
        label_index=pool.label_index[pool.audited],
        log_probs=None if answers.log_probs is None else answers.log_probs[pool.audited],
        training_size=options.training_size or pool.copies["members"],
        parameters=count_parameters(target.model) if isinstance(target, EstimatorTarget) else None,
        copies=pool.copies,
        manifest=listed,
    )
    report = make_report(
        case,
        judgement,
        options,
        pool.population.size,
        pool_notes(references, rate, options),
        provenance(options.seed, data, model, options.described, started),
    )
    return Outcome(
        report, pool.trial, judgement.scores, judgement.p_values, reused=references.reused, damaged=references.damaged
    )


def check_asked(target: Target, members: Records, others: Sequence[Records], options: Options) -> None:
    """Raise, before anything is computed, where what is asked cannot be done with what was handed in."""
    check_declared(members.features, options.context.sensitive)
    if options.training_size is not None and options.training_size < len(members):
        raise PlanError(
            f"training_size is {options.training_size}, and there are {len(members)} members: the training set cannot "
            "be smaller than what is known of it."
        )
    if isinstance(target, EstimatorTarget):
        for part in (members, *others):
            target.check_columns(part.features)
    elif options.references:
        raise PlanError("a function cannot be retrained: say references=0, or hand in an estimator.")


def _rounded(answers: Answers) -> list[Floats]:
    """Return the answers to three digits, so that another order of summation is not another model."""
    given = [array for array in (answers.log_probs, answers.decision) if array is not None]
    return [np.round(np.clip(array, -50, 50), 3) + 0.0 for array in given]


def train_references(target: Target, recipe: str, pool: Pool, options: Options) -> tuple[Gathered, float | None]:
    """Return the references of this audit and the rate of their coins; none where the target cannot be retrained."""
    if options.references == 0 or not isinstance(target, EstimatorTarget):
        return Gathered(None, None, np.zeros((0, len(pool)), dtype=bool), 0, 0, 0, {}), None
    size = options.training_size or pool.copies["members"]
    rate = min(size / len(pool), MOST_INCLUDED)
    inclusion = draw_inclusion(options.seed, options.references, pool.units, rate)[:, pool.unit_of]
    seeds = draw_seeds(options.seed, options.references)
    task = ReferenceTask(
        target, target.classes, pool.features, pool.labels, pool.label_index, inclusion, seeds
    )
    content = blake2b(digest_size=16)
    for part in (digest(pool.digests, pool.unit_of), recipe, str(options.seed), repr(rate)):
        content.update(part.encode())
    store = ReferenceStore(options.folder, content.hexdigest())

    return gather(task, options.engine, store, partial(options.progress, "references")), rate


def with_robustness(measured: Measured, target: Target, pool: Pool, options: Options) -> tuple[Measured, set[str]]:
    """Return what was measured with the robustness signal, and the signals that the target would not answer for.

    A model may refuse perturbed copies, as a strict encoder does; then the attacks that need the signal have failed.
    """
    measured = replace(measured, queries=measured.queries + options.copies * pool.audited.size)
    try:
        held = robustness(target, pool, options.copies, options.seed, partial(options.progress, "perturbed copies"))
    except (TargetFailed, ModelError):
        return measured, {"robustness"}
    return replace(measured, signals=Signals(**measured.signals, robustness=held)), set()


def same_as_target(signals: Signals) -> bool:
    """Say whether every reference gives every record exactly the target's margin: then none was retrained."""
    own = signals["margin"].astype(np.float32) if "margin" in signals else None
    return "ref_margin" in signals and bool((signals["ref_margin"] == own).all())


def record_members(trial: Trial) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which audited records are members, whatever the unit."""
    return trial.member if trial.unit_of is None else trial.member[trial.unit_of]


def column_slices(names: Sequence[str], members: Records, non_members: Records, pool: Pool) -> list[Slice]:
    """Return the slices by class and by each named column, over the audited records."""
    slices = by_value(CLASS, pool.labels[pool.audited], pool.trial)
    for name in names:
        values = np.concatenate([members.column(name), non_members.column(name)])
        slices += by_value(name, values[pool.given], pool.trial)
    return slices


def sensitive_slices(options: Options, members: Records, non_members: Records, pool: Pool) -> list[Slice]:
    """Return the slices by each declared sensitive column that has few enough values to be one."""
    slices = []
    for name in options.context.sensitive:
        if name in options.slices or not members.has(name):
            continue
        values = np.concatenate([members.column(name), non_members.column(name)])
        if np.unique(values.astype(str)).size <= MOST_VALUES:
            slices += by_value(name, values[pool.given], pool.trial)
    return slices


def target_facts(target: Target, measured: Measured, trial: Trial) -> TargetFacts:
    """Return what was audited and how well it does."""
    member = record_members(trial)
    kind = type(target.model).__name__ if isinstance(target, EstimatorTarget) else "function"
    return TargetFacts(
        kind=kind,
        classes=target.classes.size,
        access=sorted(target.access),
        member_accuracy=float(measured.correct[member].mean()),
        non_member_accuracy=float(measured.correct[~member].mean()),
        saturated_answers=measured.saturated_answers,
        queries=measured.queries,
    )


def reference_facts(references: Gathered, rate: float | None, *, identical: bool) -> ReferenceFacts:
    """Return how the references came about."""
    return ReferenceFacts(
        asked=references.asked,
        finished=references.finished,
        failures=references.failures,
        inclusion_rate=rate,
        identical=identical,
    )


def pool_notes(references: Gathered, rate: float | None, options: Options) -> list[str]:
    """Return what a reader should know about the data and the references before believing a number."""
    notes = []
    if rate == MOST_INCLUDED:
        notes.append(
            f"references are trained on {rate:.0%} of the pool, less than the target was: hand in a population, "
            "or more non-members."
        )
    if rate is not None and rate > MOSTLY:
        notes.append(
            f"each reference was trained on {rate:.0%} of the pool, so on about as much of the target's own data: this "
            "attacker knows much of it already. Audits with other numbers of non-members differ from this one."
        )
    if references.failures:
        failed = ", ".join(f"{count} x {name}" for name, count in references.failures.items())
        notes.append(f"{sum(references.failures.values())} of {references.asked} references failed ({failed}).")
    if options.references == 0:
        notes.append("no references were trained: the stronger attacks did not run.")
    return notes


def make_report(
    case: Case, judgement: Judgement, options: Options, population: int, notes: list[str], origin: Provenance
) -> Report:
    """Return the report: judgement, gates, factors, conditions and provenance in one value."""
    trial = case.trial
    weighed = weigh(case, judgement, options.gates, options.factors, options.progress)
    drawn = best_of_each_row(case.attacks, case.scores, case.recommended)
    exposed = case.p_values.get(case.recommended)
    return Report(
        state=weighed.state,
        reasons=weighed.reasons,
        recommended=judgement.recommended,
        unit=trial.unit,
        rule=trial.rule if trial.unit == "person" else "",
        members=trial.members,
        non_members=trial.non_members,
        population=population,
        family=judgement.family,
        target=case.target,
        references=case.references,
        attacks=judgement.attacks,
        slices=judgement.slices,
        limits=judgement.limits,
        gates=weighed.gates,
        factors=weighed.factors,
        evidence=weighed.evidence,
        risk=weighed.risk,
        sensitive=suggest(case.features, case.context.sensitive),
        curves=roc_curves(drawn, case.scores, trial.member),
        exposure=None if exposed is None else exposure(case.recommended, exposed, trial, options.policy),
        notes=notes,
        policy=options.policy,
        context=options.context,
        provenance=origin,
    )
