"""The whole audit on one page: pool, answers, references, signals, attacks, estimates, report."""

import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from unseen.access import Access
from unseen.attack import Attack
from unseen.case import Case
from unseen.curves import best_of_each_row, exposure, roc_curves
from unseen.deeper import deeper
from unseen.errors import ModelError, PlanError, TargetFailed
from unseen.estimating import Questions
from unseen.factor import Factor
from unseen.features.rows import take_rows
from unseen.gate import Gate
from unseen.judgement import Judgement, judge
from unseen.manifest import Manifest
from unseen.measuring import Measured, measure, robustness, unit_of_residuals
from unseen.models import as_engine, as_recipe, as_target, kind_of, recipe_of
from unseen.options import Options
from unseen.outcome import Outcome
from unseen.policy import Context, Policy
from unseen.pool import Pool, assemble
from unseen.provenance import digest, provenance
from unseen.queries import image_copies
from unseen.recipe import Recipe
from unseen.records import Records, as_records
from unseen.reference import Engine
from unseen.references.gather import Gathered
from unseen.report import NOT_TESTED, UNSEEN_WEIGHTS, Provenance, Report, TargetFacts
from unseen.runs import claim
from unseen.sensitive import check_declared, suggest
from unseen.signal import Array, Floats, Signals
from unseen.slicing import CLASS, LABEL_TENTH, MOST_VALUES, Slice, by_loss_decile, by_value
from unseen.stopping import settled
from unseen.target import Answers, Target
from unseen.targets.capacity import count_parameters
from unseen.targets.http import HttpTarget
from unseen.training import Answering, Trained, pool_notes, reference_facts, train_references
from unseen.trial import Trial
from unseen.weighing import weigh


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
    image: Sequence[int] | None = None,
    trajectory: Array | None = None,
    training_size: int | None = None,
    manifest: Manifest | None = None,
    fprs: Sequence[float] | None = None,
    recipe: Any = None,
    engine: str | Engine = "auto",
    adaptive: bool = False,
    max_seconds: float = math.inf,
    cache: str | Path | None = None,
    workers: int | None = None,
    folder: str | Path | None = None,
) -> Outcome:
    """Audit a fitted classifier: how well can an attacker tell its members from others like them?

    `members` and `non_members` are pairs (features, labels) or `unseen.Records` (with ids and, where the person and
    not the record is to be protected, groups); `population` holds further known non-members. `model` has scikit-learn's
    interface, is a PyTorch module (with its `classes`, or none: a regressor), or a function from features to
    probabilities, with its `classes`. `references` models like it are trained on random subsets, by its own settings or
    by `recipe`: a function `train(features, labels, seed) -> model` of any framework, or a `TorchRecipe`; without one a
    module or a function takes references=0. `engine` trains them: "auto", "processes", "stacked", "free" or "cluster",
    in `workers` processes (docs/engines.md). `attacks` are
    names of the catalogue, or `Attack` records of your own; all by default. `gates` and `factors` are `Gate` and
    `Factor` records of your own, beside those of the catalogues. `slices` names feature columns, `rule` ("mean" or
    "max") combines a person's records, `copies` is the number of perturbed copies a record for `noise-robustness`,
    `training_size` the size of the target's training set where it is not the number of members, `manifest` the ids or
    digests of what it was really trained on.
    With a `folder`, finished references are kept there, or in `cache`, which other runs may share, and a later run with
    the same data, recipe and seed uses them. `adaptive` trains no more references once the verdict is settled (at the
    same error budget), `max_seconds` none after that time.

    Raises a subclass of `unseen.errors.UnseenError` whose message never quotes a record. What it does not show: see
    `report.not_tested` on the result.

    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(600, 3)), rng.integers(0, 2, 600)
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> model = DecisionTreeClassifier(random_state=0).fit(X[:300], y[:300])
    >>> audit(model, (X[:300], y[:300]), (X[300:], y[300:]), references=0, attacks=["gap"]).state
    'leak'
    """
    target = as_target(model, getattr(recipe, "classes", None) if classes is None else classes)
    options = Options(
        references=references,
        seed=seed,
        attacks=attacks,
        gates=gates,
        factors=factors,
        slices=slices,
        rule=rule,
        copies=copies,
        image=None if image is None else tuple(image),
        trajectory=None if trajectory is None else np.asarray(trajectory),
        training_size=training_size,
        manifest=manifest,
        policy=policy or Policy(),
        context=context or Context(),
        questions=Questions() if fprs is None else Questions(fprs=tuple(fprs)),
        folder=None if folder is None else Path(folder),
        cache=None if cache is None else Path(cache),
        adaptive=adaptive,
        seconds=max_seconds,
        recipe=None if recipe is None else as_recipe(recipe, target.classes),
        engine=as_engine(engine, workers),
    )
    others = None if population is None else as_records(population, "population")
    return audit_records(
        target,
        as_records(members, "members"),
        as_records(non_members, "non_members"),
        others,
        options,
    )


def audit_records(
    target: Target, members: Records, non_members: Records, population: Records | None, options: Options
) -> Outcome:
    """Audit `target` on records: everything that `audit` does."""
    started, attacks = datetime.now(UTC), options.chosen()
    check_asked(target, members, [non_members, *([] if population is None else [population])], options)
    pool = assemble(members, non_members, population, target.classes, options.rule)
    listed = None if options.manifest is None else options.manifest.count(members, non_members)
    slices = column_slices(options.slices, members, non_members, pool, target.classes)
    slices += sensitive_slices(options, members, non_members, pool)
    data = digest(pool.digests, pool.unit_of, pool.audited, pool.trial.member)
    recipe = recipe_of(options.recipe, target)
    copies = image_copies(options.image, pool)
    answers = target.answer(copies.asked(pool).features if copies.queries else pool.features)
    model = digest(answers.predicted, *_rounded(answers))
    claim(options.folder, data, model, options.seed, options.expected)
    wanted = {signal.name for attack in attacks for signal in attack.needs}
    alone, unanswered = without_references(target, recipe, pool, answers, options, wanted)

    def look(gathered: Gathered, level: float) -> str | None:
        known = Signals(**measure(pool, answers, gathered, sorted(wanted), copies).signals, **alone)
        cells = slices + tail_slices(known, pool.trial)
        return settled(known, pool.trial, attacks, cells, options, reference_facts(Trained(gathered, None)), level)

    scored = answers.log_probs is not None or answers.decision is not None
    answering = Answering(target.classes, unit_of_residuals(answers, pool), scored)
    trained = train_references(recipe, answering, pool, copies, options, look)
    references, options = trained.gathered, replace(options, error_share=trained.error_share)
    measured = measure(pool, answers, references, sorted(wanted), copies)
    if asks_again(target, wanted):
        measured = replace(measured, queries=measured.queries + options.copies * pool.audited.size)
    signals = Signals(**measured.signals, **alone)
    slices += tail_slices(signals, pool.trial)
    facts = reference_facts(trained, identical=same_as_target(signals))
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
        parameters=count_parameters(target.model) if hasattr(target, "model") else None,
        copies=pool.copies,
        manifest=listed,
    )
    report = make_report(
        case,
        judgement,
        options,
        pool.population.size,
        pool_notes(references, trained.rate, options)
        + trained.notes
        + target_notes(target, measured, pool)
        + told(target),
        provenance(options.seed, data, model, options.described, started, trained.recipe_digest),
    )
    return Outcome(
        report,
        pool.trial,
        judgement.scores,
        judgement.p_values,
        reused=references.reused,
        damaged=references.damaged_files,
    )


def check_asked(target: Target, members: Records, others: Sequence[Records], options: Options) -> None:
    """Raise, before anything is computed, where what is asked cannot be done with what was handed in."""
    check_declared(members.features, options.context.sensitive)
    if options.training_size is not None and options.training_size < len(members):
        raise PlanError(
            f"training_size is {options.training_size}, and there are {len(members)} members: the training set cannot "
            "be smaller than what is known of it."
        )
    check = getattr(target, "check_columns", None)
    if check is not None:
        for part in (members, *others):
            check(part.features)
    if options.references and recipe_of(options.recipe, target) is None:
        raise PlanError(
            f"{kind_of(target)} cannot be retrained by itself: say references=0, or hand in a recipe, "
            "train(features, labels, seed) -> model."
        )


def _rounded(answers: Answers) -> list[Floats]:
    """Return the answers to three digits, so that another order of summation is not another model."""
    given = [array for array in (answers.log_probs, answers.decision) if array is not None]
    rounded = [np.round(np.clip(array, -50, 50), 3) + 0.0 for array in given]
    return rounded if answers.value is None else [*rounded, answers.value.astype(np.float32)]


def asks_again(target: Target, wanted: AbstractSet[str]) -> bool:
    """Say whether the target is asked about perturbed copies too."""
    return "robustness" in wanted and target.classes.size > 0


def without_references(
    target: Target, recipe: Recipe | None, pool: Pool, answers: Answers, options: Options, wanted: set[str]
) -> tuple[dict[str, Array], set[str]]:
    """Return the signals that take more than one answer a record and no references, and those that were refused.

    A model may refuse perturbed copies, as a strict encoder does; then the attacks that need the signal have failed. Of
    an endpoint nobody knows why it refused, a guard's step or a fault on the way: the audit stops, and goes on later.
    """
    more = deeper(target, recipe, pool, answers, options, wanted)
    if not asks_again(target, wanted):
        return more, set()
    try:
        held = robustness(target, pool, options.copies, options.seed, partial(options.progress, "perturbed copies"))
    except (TargetFailed, ModelError):
        if isinstance(target, HttpTarget):
            raise
        return more, {"robustness"}
    return more | {"robustness": held}, set()


def same_as_target(signals: Signals) -> bool:
    """Say whether every reference gives every record exactly the target's margin: then none was retrained."""
    own = signals["margin"].astype(np.float32) if "margin" in signals else None
    return "ref_margin" in signals and bool((signals["ref_margin"] == own).all())


def record_members(trial: Trial) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which audited records are members, whatever the unit."""
    return trial.member if trial.unit_of is None else trial.member[trial.unit_of]


def column_slices(
    names: Sequence[str], members: Records, non_members: Records, pool: Pool, classes: Array
) -> list[Slice]:
    """Return the slices of the audited records by class (or tenth of a regression's labels) and named column."""
    if classes.size:
        slices = by_value(CLASS, pool.labels[pool.audited], pool.trial)
    else:
        slices = by_value(LABEL_TENTH, pool.label_index[pool.audited] + 1, pool.trial)
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


def tail_slices(signals: Signals, trial: Trial) -> list[Slice]:
    """Return the slices by decile of loss, where losses are known."""
    return by_loss_decile(signals["loss"], trial) if "loss" in signals else []


def target_facts(target: Target, measured: Measured, trial: Trial) -> TargetFacts:
    """Return what was audited and how well it does."""
    member, correct = record_members(trial), measured.signals.get("correct")
    return TargetFacts(
        kind=kind_of(target),
        classes=target.classes.size,
        access=sorted(target.access),
        member_accuracy=None if correct is None else float(correct[member].mean()),
        non_member_accuracy=None if correct is None else float(correct[~member].mean()),
        saturated_answers=measured.saturated_answers,
        queries=measured.queries,
    )


def target_notes(target: Target, measured: Measured, pool: Pool) -> list[str]:
    """Return what in the target itself looks like a mistake of who handed it in."""
    member, correct = record_members(pool.trial), measured.signals.get("correct")
    if not target.classes.size and np.array_equal(np.unique(pool.labels.astype(np.float64)), [0, 1]):
        logit = "Where that value is a logit, say classes=[0, 1] (in a plan, [target] classes)."
        return [f"the labels are 0 and 1 and the model gives one value: it was audited as a regression. {logit}"]
    if not target.classes.size or correct is None or not member.any():
        return []
    right = float(correct[member].mean())
    commonest = float(np.bincount(pool.label_index[pool.audited][member]).max() / member.sum())
    if right > commonest:
        return []
    instead = f"naming their commonest class for all would be of {commonest:.1%}"
    return [f"the target is right of {right:.1%} of its members, and {instead}: was this model trained on them?"]


def told(target: Target) -> list[str]:
    """Return what the target itself has to say of how it was asked."""
    own: Any = target
    return list(own.told()) if hasattr(own, "told") else []


def looked_inside(case: Case) -> bool:
    """Say whether an attack that gave scores saw the weights, the gradients or the training."""
    deep = {Access.WEIGHTS, Access.TRAINING_LOG}
    return any(deep & attack.access for attack in case.attacks if attack.name in case.scores)


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
        not_tested=tuple(line for line in NOT_TESTED if line != UNSEEN_WEIGHTS or not looked_inside(case)),
    )
