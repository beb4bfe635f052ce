"""Training: the references of an audit, from coins over the pool to what each of them answered."""

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from unseen.estimating import ERROR_BUDGET
from unseen.options import Options
from unseen.pool import Pool
from unseen.queries import Copies
from unseen.recipe import Recipe
from unseen.recipes.estimator import EstimatorRecipe
from unseen.reference import Engine, ReferenceFailure, ReferenceTask
from unseen.references.gather import Gathered
from unseen.references.inclusion import draw_inclusion, draw_seeds
from unseen.references.key import task_key
from unseen.references.processes import Processes, train_one
from unseen.references.store import ReferenceStore
from unseen.report import ReferenceFacts
from unseen.signal import Array, Ints
from unseen.signals.saturation import finite_bounds
from unseen.stopping import Settled, gather_until, ration
from unseen.targets.estimator import EstimatorTarget
from unseen.targets.regressor import RegressorTarget

MOSTLY = 0.6  # of the pool in one reference, above which the attacker knows much of the training set
REPEATS = 0.01  # of the spread of margins: engines that round otherwise differ by less
MOST_INCLUDED = 0.9  # of the pool in one reference, so that a record has references that never saw it


@dataclass(frozen=True)
class Trained:
    """The references of an audit, the rate of their coins, what to know of them, how many were not needed.

    `error_share` is the part of the error budget that is left.
    """

    gathered: Gathered
    rate: float | None
    notes: list[str] = field(default_factory=list)
    error_share: float = 1.0
    saved: int = 0


def train_references(
    recipe: Recipe | None,
    classes: Array,
    pool: Pool,
    copies: Copies,
    scale: float | None,
    options: Options,
    settled: Settled,
) -> Trained:
    """Return the references of this audit; there are none where nothing says how to train them.

    With `options.adaptive`, `settled(gathered, level)` is asked at several counts whether they are enough.
    """
    if options.references == 0 or recipe is None:
        return Trained(Gathered(None, None, np.zeros((0, len(pool)), dtype=bool), 0, 0, 0, {}), None)
    task, rate = reference_task(recipe, classes, pool, copies, scale, options)
    engine, said = engine_for(options.engine, pool)
    store = store_for(task, pool.unit_of, replace(options, engine=engine), rate)
    given = ration(options.references, adaptive=options.adaptive, seconds=options.seconds)
    told = partial(options.progress, "references")
    gathered, stopped = gather_until(task, engine, store, told, given, settled)
    notes = [*stopped.notes(), *said, *getattr(engine, "said", ()), *recipe_notes(task, gathered)]
    return Trained(gathered, rate, notes, stopped.level / ERROR_BUDGET, stopped.saved)


def reference_task(
    recipe: Recipe, classes: Array, pool: Pool, copies: Copies, scale: float | None, options: Options
) -> tuple[ReferenceTask, float]:
    """Return what an audit hands to its engine, and the rate of its coins: the share of the pool in each reference."""
    size = options.training_size or pool.copies["members"]
    rate = min(size / len(pool), MOST_INCLUDED)
    inclusion = draw_inclusion(options.seed, options.references, pool.units, rate)[:, pool.unit_of]
    seeds = draw_seeds(options.seed, options.references)
    task = ReferenceTask(recipe, classes, pool.features, pool.labels, pool.label_index, inclusion, seeds, scale)
    return (copies.widened(task, copies.asked(pool)) if copies.queries else task), rate


def engine_for(engine: Engine, pool: Pool) -> tuple[Engine, list[str]]:
    """Return the engine that may train on this pool, and what to say where it is not the one asked for.

    What a fit would have said without one record is not what it would have said without a person's several.
    """
    if not getattr(engine, "records_only", False) or pool.units == len(pool):
        return engine, []
    several = f"{len(pool)} records are of {pool.units} units, and free references know of single records only"
    return Processes(getattr(engine, "workers", None)), [f"references were trained, not had for nothing: {several}."]


def store_for(task: ReferenceTask, unit_of: Ints, options: Options, rate: float) -> ReferenceStore:
    """Return where the references of `task` are kept: under a key of all that they depend on."""
    key = task_key(task, unit_of, options.seed, rate, options.engine)
    return ReferenceStore(options.cache or options.folder, key)


def recipe_notes(task: ReferenceTask, gathered: Gathered) -> list[str]:
    """Return what a reader should know of a user's own recipe: that it does not repeat itself, or learns nothing.

    The first reference is trained once more from its own seed. A scikit-learn estimator is not asked: its seeds are
    set.
    """
    if (
        isinstance(task.recipe, EstimatorRecipe | EstimatorTarget | RegressorTarget)
        or gathered.margin is None
        or not gathered.used
    ):
        return []
    k = gathered.used[0]
    _, again = train_one(task, k, task.inclusion[k], task.seeds[k])
    if isinstance(again, ReferenceFailure) or again.margin is None:
        return ["the recipe failed when it was run once more with the seed of a reference that it had trained."]
    low, high = finite_bounds(gathered.margin, again.margin)
    before, after = (np.clip(one, low, high) for one in (gathered.margin[0], again.margin))
    off, spread = float(np.median(np.abs(before - after))), float(np.std(before))
    if task.scale is None and all(np.ptp(before[task.label_index == one]) == 0 for one in np.unique(task.label_index)):
        return ["the recipe's model gives every record the same answer: it has learned nothing."]
    if off > REPEATS * spread:
        differ = f"two trainings differ by {off / spread:.1%} of the spread of margins"
        return [f"the recipe is not deterministic under its own seed ({differ}): a run cannot be repeated exactly."]
    return []


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
