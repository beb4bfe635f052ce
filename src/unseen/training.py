"""Training: the references of an audit, from coins over the pool to what each of them answered."""

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from scipy.stats import entropy

from unseen.errors import ModelError
from unseen.estimating import ERROR_BUDGET
from unseen.options import Options
from unseen.pool import Pool
from unseen.queries import Copies
from unseen.recipe import Recipe
from unseen.recipes.estimator import EstimatorRecipe
from unseen.reference import Engine, ReferenceFailure, ReferenceTask
from unseen.references.gather import Gathered
from unseen.references.inclusion import draw_inclusion, draw_seeds
from unseen.references.key import derivation, task_key
from unseen.references.processes import Processes, train_one
from unseen.references.store import ReferenceStore
from unseen.report import ReferenceFacts
from unseen.signal import Array, Ints
from unseen.signals.saturation import finite_bounds
from unseen.stopping import Settled, gather_until, ration
from unseen.targets.estimator import EstimatorTarget
from unseen.targets.regressor import RegressorTarget

MOSTLY = 0.6  # of the pool in one reference, above which the attacker knows much of the training set
REPEATS, MOST_DIFFERING = 0.01, 0.01  # share of records that move by such a share of the spread: rounding does less
LOOKED_AT = 16  # references, for whether they learn
LEARNED = 0.25  # of the way from naming the commonest class to being always right
SEEDED = {"sklearn", "xgboost", "lightgbm", "catboost", "imblearn"}
MOST_INCLUDED = 0.9  # of the pool in one reference, so that a record has references that never saw it


@dataclass(frozen=True)
class Answering:
    """How the target answers, and so must references: its `classes`, none in a regression, which has a `scale` instead.

    `scored` says that it gives probabilities or scores beside the label.
    """

    classes: Array = field(repr=False)
    scale: float | None = None
    scored: bool = False


@dataclass(frozen=True)
class Trained:
    """The references of an audit, the rate of their coins, what to know of them, how many were not needed.

    `error_share` is the part of the error budget that is left, `recipe_digest` the recipe's before it trained anything.
    """

    gathered: Gathered
    rate: float | None
    notes: list[str] = field(default_factory=list)
    error_share: float = 1.0
    saved: int = 0
    recipe_digest: str = ""


def train_references(
    recipe: Recipe | None, answering: Answering, pool: Pool, copies: Copies, options: Options, settled: Settled
) -> Trained:
    """Return the references of this audit; there are none where nothing says how to train them.

    With `options.adaptive`, `settled(gathered, level)` is asked at several counts whether they are enough. Raises
    `ModelError` where the recipe is not the one of the run that this one repeats.
    """
    if options.references == 0 or recipe is None:
        return Trained(Gathered(None, None, np.zeros((0, len(pool)), dtype=bool), 0, 0, 0, {}), None)
    task, rate = reference_task(recipe, answering, pool, copies, options)
    mark = recipe.fingerprint()
    if options.expected is not None and options.expected.recipe not in {"", mark}:
        raise ModelError(
            "the recipe is not that of the report: its code, a file that it imports, its settings or the version of a "
            "library have changed; restore them, or audit the plan anew."
        )
    engine, said = engine_for(options.engine, why_not_free(pool, copies))
    store = store_for(task, pool.unit_of, replace(options, engine=engine), rate, mark)
    given = ration(options.references, adaptive=options.adaptive, seconds=options.seconds)
    told = partial(options.progress, "references")
    derived = derivation(engine, task) is not None
    gathered, stopped = gather_until(
        task, engine, store, told, given, lambda found, level: settled(replace(found, derived=derived), level)
    )
    gathered = replace(gathered, derived=derived)
    notes = [*stopped.notes(), *said, *gathered.said, *recipe_notes(task, gathered, mark)]
    return Trained(gathered, rate, notes, stopped.level / ERROR_BUDGET, stopped.saved if stopped.reason else 0, mark)


def reference_task(
    recipe: Recipe, answering: Answering, pool: Pool, copies: Copies, options: Options
) -> tuple[ReferenceTask, float]:
    """Return what an audit hands to its engine, and the rate of its coins: the share of the pool in each reference."""
    size = options.training_size or pool.copies["members"]
    rate = min(size / len(pool), MOST_INCLUDED)
    inclusion = draw_inclusion(options.seed, options.references, pool.units, rate)[:, pool.unit_of]
    seeds = draw_seeds(options.seed, options.references)
    told = (answering.classes, pool.features, pool.labels, pool.label_index, inclusion, seeds, answering.scale)
    task = ReferenceTask(recipe, *told, scored=answering.scored)
    return (copies.widened(task, copies.asked(pool)) if copies.queries else task), rate


def engine_for(engine: Engine, why_not: str | None) -> tuple[Engine, list[str]]:
    """Return the engine that may train here, and what to say where it is not the one asked for.

    `why_not`, where it is not None, says in a clause why references cannot be had of one fit.
    """
    if why_not is None or not getattr(engine, "records_only", False):
        return engine, []
    return Processes(getattr(engine, "workers", None)), [f"references were trained, not had for nothing: {why_not}."]


def why_not_free(pool: Pool, copies: Copies) -> str | None:
    """Name what one fit cannot tell: its answers without a person's several records, or about a record's copies."""
    if pool.units != len(pool):
        return f"{len(pool)} records are of {pool.units} units, and free references know of single records only"
    if copies.queries:
        return "changed copies of records are asked about, and free references know of records only"
    return None


def store_for(task: ReferenceTask, unit_of: Ints, options: Options, rate: float, fingerprint: str) -> ReferenceStore:
    """Return where the references of `task` are kept: under a key of all that they depend on."""
    key = task_key(task, unit_of, options.seed, rate, options.engine, fingerprint)
    return ReferenceStore(options.cache or options.folder, key)


def recipe_notes(task: ReferenceTask, gathered: Gathered, fingerprint: str) -> list[str]:
    """Return what a reader should know of a recipe: that it does not repeat itself, changes itself, or learns nothing.

    The first reference is trained once more from its own seed. Estimators of libraries whose seeds are set are not
    asked. `fingerprint` is the recipe's before anything was trained.
    """
    writes = "the recipe writes to something that its code names, a global say: its references will not be found again."
    changed = [writes] if task.recipe.fingerprint() != fingerprint else []
    return [*changed, *_of_repeating(task, gathered), *_of_learning(task, gathered)]


def _of_learning(task: ReferenceTask, gathered: Gathered) -> list[str]:
    """Say it where references tell their own training records' classes no better than the frequencies do.

    By their loss, and by how often they give the true class most of the probability: a model that is sure of itself has
    a high loss for a few mistakes, and has learned.
    """
    if task.scale is not None or gathered.margin is None or not gathered.member.any(axis=1).all():
        return []
    each = [_little(task, gathered, row) for row in range(min(gathered.finished, LOOKED_AT))]
    found, without, right, commonest = (float(np.median(values)) for values in zip(*each, strict=True))
    if without - found > 1e-5 * without or right > commonest + LEARNED * (1 - commonest):  # a smaller gain is rounding
        return []
    what = "error" if gathered.loss is None else "loss"
    numbers = f"{what} {found:.3f}, where the classes' frequencies alone have {without:.3f}"
    return [f"the references have learned nothing or little of their own training records: {numbers}."]


def _little(task: ReferenceTask, gathered: Gathered, row: int) -> tuple[float, float, float, float]:
    """Return a reference's loss on its own training records, or its error, and that of the classes' frequencies.

    And the share of these records that it is right of, and the commonest class's share.
    """
    own, margin = gathered.member[row], np.asarray(gathered.margin)[row]
    shares = np.bincount(task.label_index[own]) / int(own.sum())
    right, commonest = float((margin[own] > 0).mean()), float(shares.max())
    if gathered.loss is None:
        return 1 - right, 1 - commonest, right, commonest
    return float(gathered.loss[row][own].mean()), float(entropy(shares)), right, commonest


def _of_repeating(task: ReferenceTask, gathered: Gathered) -> list[str]:
    """Train the first reference once more from its own seed, and say it where the two answer differently."""
    if _is_seeded(task.recipe) or gathered.margin is None:
        return []
    k = gathered.used[0]
    _, again = train_one(task, k, task.inclusion[k], task.seeds[k])
    if isinstance(again, ReferenceFailure) or again.margin is None:
        return ["the recipe failed when it was run once more with the seed of a reference that it had trained."]
    low, high = finite_bounds(gathered.margin, again.margin)
    before, after = (np.clip(one, low, high) for one in (gathered.margin[0], again.margin))
    differing = float((np.abs(before - after) > REPEATS * np.std(before)).mean())
    if differing > MOST_DIFFERING:
        differ = f"two trainings differ on {differing:.1%} of the records"
        return [f"the recipe is not deterministic under its own seed ({differ}): a run cannot be repeated exactly."]
    return []


def _is_seeded(recipe: Recipe) -> bool:
    """Say whether a recipe is an estimator, with all its parts, of a library that repeats itself under a seed."""
    if not isinstance(recipe, EstimatorRecipe | EstimatorTarget | RegressorTarget):
        return False
    parts = [recipe.model, *(part for _, part in sorted(recipe.model.get_params().items()) if hasattr(part, "fit"))]
    return all(type(part).__module__.partition(".")[0] in SEEDED for part in parts)


def reference_facts(trained: Trained, *, identical: bool = False) -> ReferenceFacts:
    """Return how the references came about."""
    return ReferenceFacts(
        asked=trained.gathered.asked,
        finished=trained.gathered.finished,
        failures=trained.gathered.failures,
        inclusion_rate=trained.rate,
        identical=identical,
        saved=trained.saved,
        error_share=trained.error_share,
        derived=trained.gathered.derived,
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
        if any("FloatingPointError" in name for name in references.failures):
            notes.append("FloatingPointError: a training whose numbers are none any more; lower the learning rate.")
        if any(" " not in name.partition(": ")[2] for name in references.failures):
            notes.append(
                "messages that may quote records are withheld: call the recipe on some of them to see its own."
            )
    if options.references == 0:
        notes.append("no references were trained: the stronger attacks did not run.")
    return notes
