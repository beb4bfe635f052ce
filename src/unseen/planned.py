"""From a plan on disk to an audit: files become records, settings become options."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from unseen.answers import read_answers
from unseen.auditing import audit_records
from unseen.disk import write_whole
from unseen.errors import DataError, MissingExtra, PlanError, did_you_mean
from unseen.estimating import Questions
from unseen.features.files import read_table
from unseen.manifest import read_manifest
from unseen.models import as_engine, as_recipe, as_target, recipe_of
from unseen.options import Options, Progress, quiet
from unseen.outcome import Outcome
from unseen.plan import DataPlan, Plan, TargetPlan, read_plan
from unseen.recipe import Recipe
from unseen.recipes.hardened import HardenedRecipe
from unseen.records import Records, joined
from unseen.repeated import Repeated
from unseen.repeating import repeat
from unseen.runs import PLAN, reserve
from unseen.signal import Array
from unseen.stopping import seconds_of
from unseen.tables import audit_answers
from unseen.target import Target
from unseen.targets.files import WEIGHTS, load_model
from unseen.targets.http import HttpTarget, Surroundings
from unseen.targets.modules import find

DEFAULT_FOLDER = "unseen-run"
DEFAULT_PROCEDURE_FOLDER = "unseen-procedure"


def audit_plan(
    path: str | Path, *, folder: str | Path | None = None, trust: bool = False, progress: Progress = quiet
) -> Outcome:
    """Run the audit that a plan describes and leave its run folder; relative paths start at the plan's own folder.

    `folder` overrides the plan's, `trust` allows a pickled model as `target.trust` does. Raises `UnseenError`.
    """
    path = Path(path)
    plan = read_plan(path)
    if plan.through is not None:
        raise PlanError(f"{path.name} has [through], which makes two audits: call audit_plan_through.")
    home = path.resolve().parent
    place = Path(folder) if folder is not None else home / (plan.folder or DEFAULT_FOLDER)
    options = plan_options(plan, home, place, progress)
    outcome = run_plan(plan, home, options, trust=trust)
    outcome.save(place)
    write_whole(place / PLAN, path.read_bytes())
    return outcome


def audit_plan_recipe(
    path: str | Path, *, folder: str | Path | None = None, trust: bool = False, progress: Progress = quiet
) -> Repeated:
    """Audit the training procedure that a plan's [recipe] names, on the records of both its tables together.

    Otherwise as `audit_plan`; leaves `procedure.json` and `records.parquet` in the run folder.
    """
    path = Path(path)
    plan, home = read_plan(path), path.resolve().parent
    if plan.recipe is None or plan.data is None:
        raise PlanError("the audit of a procedure needs [recipe] and [data] in the plan.")
    place = Path(folder) if folder is not None else home / (plan.folder or DEFAULT_PROCEDURE_FOLDER)
    options = plan_options(plan, home, place, progress)
    classes = None if plan.target is None or plan.target.classes is None else np.asarray(plan.target.classes)
    recipe = load_recipe(plan, home, classes, trust=trust)
    frame = as_frame(None, plan.target or TargetPlan(model="none", frame="numpy"))
    parts = [read_records(home / name, what, plan.data, frame) for what, name in _tables(plan.data)]
    outcome = repeat(joined(parts), plan.recipe.targets, replace(options, recipe=recipe))
    outcome.save(place)
    write_whole(place / PLAN, path.read_bytes())
    return outcome


def _tables(data: DataPlan) -> Iterator[tuple[str, str]]:
    named = (("data.members", data.members), ("data.non_members", data.non_members))
    yield from named if data.population is None else (*named, ("data.population", data.population))


def plan_options(plan: Plan, home: Path, folder: Path, progress: Progress) -> Options:
    """Return the options that a plan asks for; its relative paths start at `home`."""
    return Options(
        references=plan.references.count,
        seed=plan.seed,
        attacks=plan.attacks.only,
        skip=plan.attacks.skip,
        slices=plan.slices.columns,
        rule=plan.data.rule if plan.data else plan.answers.rule if plan.answers else "mean",
        copies=plan.attacks.copies,
        image=plan.attacks.image,
        training_size=plan.data.training_size if plan.data else None,
        policy=plan.policy,
        context=plan.context,
        questions=Questions(fprs=plan.statistics.fprs, priors=plan.statistics.priors),
        folder=folder,
        adaptive=plan.references.adaptive,
        seconds=seconds_of(plan.references.max_time) if plan.references.max_time else math.inf,
        cache=None if plan.references.cache is None else home / plan.references.cache,
        engine=as_engine(plan.references.engine, plan.references.workers or None, plan.references.address),
        progress=progress,
        plan=msgspec.to_builtins(plan),
    )


def run_plan(plan: Plan, home: Path, options: Options, *, trust: bool) -> Outcome:
    """Return the outcome of a plan whose relative paths start at `home`."""
    if plan.answers is not None:
        answers = read_answers(home / plan.answers.table)
        return audit_answers(
            answers,
            options,
            id=plan.answers.id,
            member=plan.answers.member,
            label=plan.answers.label,
            group=plan.answers.group,
        )
    target, members, non_members, population, options = materials(plan, home, options, trust=trust)
    return audit_records(target, members, non_members, population, options)


def materials(
    plan: Plan, home: Path, options: Options, *, trust: bool
) -> tuple[Target, Records, Records, Records | None, Options]:
    """Return what a plan names: target, members, non-members, population, and options with its recipe and manifest."""
    if plan.target is None or plan.data is None:
        raise PlanError("a plan needs [target] and [data], or [answers] alone; without [target], say --recipe.")
    model = None if plan.target.model is None else load_target(plan.target, home, trust=trust)
    target = as_target(model) if plan.target.url is None else endpoint(plan.target, model, home, options)
    recipe = load_recipe(plan, home, target.classes, trust=trust)
    options = replace(options, recipe=recipe if plan.target.url is None else behind(plan.target, recipe, model))
    if plan.data.manifest is not None:
        options = replace(options, manifest=read_manifest(home / plan.data.manifest, plan.data.id))
    frame, slices = as_frame(model, plan.target), plan.slices.columns
    members = read_records(home / plan.data.members, "data.members", plan.data, frame, slices)
    non_members = read_records(home / plan.data.non_members, "data.non_members", plan.data, frame, slices)
    if plan.data.population is None:
        return target, members, non_members, None, options
    population = read_records(home / plan.data.population, "data.population", plan.data, frame)
    return target, members, non_members, population, options


def load_target(target: TargetPlan, home: Path, *, trust: bool) -> Any:
    """Return the model of a plan: an estimator from its file, or a PyTorch target from weights and a module."""
    trust, path = trust or target.trust, home / (target.model or "")
    if path.suffix.lower() not in WEIGHTS:
        return load_model(path, target.trusted_types, trust=trust)
    if target.module is None:
        raise PlanError(f'{path.name} holds weights: say which module they are of, target.module = "file:name".')
    factory = find(target.module, home, trust=trust, section="target")
    if not _has("torch"):
        raise MissingExtra("a PyTorch model", "PyTorch", "torch")
    from unseen.targets.torch_files import load_torch  # only who hands in weights has it

    classes = None if target.classes is None else np.asarray(target.classes)
    return load_torch(path, factory, classes, shape=target.shape)


def endpoint(target: TargetPlan, model: Any, home: Path, options: Options) -> Target:
    """Return the endpoint of a plan; its classes are the plan's, else those of its model file, if any."""
    reserve(options.folder)
    known = np.empty(0) if model is None else as_target(model).classes
    classes = known if target.classes is None else np.asarray(target.classes)
    return HttpTarget(target, classes, Surroundings(home, options.folder, options.seed, options.progress))


def behind(target: TargetPlan, recipe: Recipe | None, model: Any) -> Recipe | None:
    """Return how models like the one behind an endpoint are trained, and answer through what the plan knows of it."""
    own = recipe if recipe is not None or model is None else recipe_of(None, as_target(model))
    return HardenedRecipe(own, target.controls) if own is not None and target.controls else own


def load_recipe(plan: Plan, home: Path, classes: Array | None, *, trust: bool) -> Recipe | None:
    """Return the recipe that a plan names, for models of these `classes`; None where it names none."""
    if plan.recipe is None:
        return None
    found = find(plan.recipe.use, home, trust=trust or plan.recipe.trust, section="recipe")
    return as_recipe(found, classes, home)


def read_records(
    path: Path, what: str, data: DataPlan, frame: Callable[[pl.DataFrame], Any], slices: Sequence[str] = ()
) -> Records:
    """Return the records in a table: label, id and group columns taken out, the rest being features."""
    table = read_table(path, what)
    for role, name in (("label", data.label), ("id", data.id), ("group", data.group)):
        if name is not None and name not in table.columns:
            raise DataError(
                f"{what}: {path.name} has no {role} column {name!r}{did_you_mean(name, table.columns) or '.'}"
            )
        if name is not None and table[name].null_count():
            raise DataError(f"{what}: {table[name].null_count()} rows of {path.name} have no {role} ({name!r}).")
    absent = [name for name in slices if name not in table.columns]
    if absent:
        raise DataError(
            f"{what}: {path.name} has no column {absent[0]!r} to slice by{did_you_mean(absent[0], table.columns)}"
        )
    columns = {name: table[name].to_numpy() for name in slices}
    if needed := {data.label, data.id, data.group} & set(data.drop):
        raise PlanError(f"data.drop names {sorted(map(str, needed))}, which the plan needs as label, id or group.")
    unknown = [name for name in data.drop if name not in table.columns]
    if unknown:
        raise DataError(
            f"{what}: {path.name} has no column {unknown[0]!r} to drop{did_you_mean(unknown[0], table.columns) or '.'}"
        )
    apart = {data.label, data.id, data.group, *data.drop} - {None}
    features = table.drop([name for name in table.columns if name in apart])
    if features.width == 0:
        raise DataError(f"{what}: {path.name} has no feature columns left.")
    ids = None if data.id is None else table[data.id].cast(pl.String).to_numpy().astype(str)
    groups = None if data.group is None else table[data.group].cast(pl.String).to_numpy().astype(str)
    return Records(frame(features), table[data.label].to_numpy(), ids, groups, columns)


def as_frame(model: Any, target: TargetPlan) -> Callable[[pl.DataFrame], Any]:
    """Return how to hand a table to the model: as the plan says, or "auto": by name if it was fitted on names.

    A model fitted on named columns gets a pandas frame where pandas is installed, else polars; another gets an array.
    """
    kind = target.frame
    if kind == "auto" and target.url is not None and getattr(model, "feature_names_in_", None) is None:
        kind = "polars"  # an endpoint is told the columns' names where its protocol has a place for them
    if kind == "auto":
        kind = "numpy" if getattr(model, "feature_names_in_", None) is None else "pandas" if _has_pandas() else "polars"
    if kind == "polars":
        return lambda table: table
    if kind == "numpy":
        return lambda table: np.asarray(table.to_numpy())
    if not _has_pandas():
        raise MissingExtra('target.frame = "pandas"', "pandas with pyarrow", "pandas")
    return lambda table: table.to_pandas()


def _has_pandas() -> bool:
    return _has("pandas") and _has("pyarrow")


def _has(package: str) -> bool:
    return find_spec(package) is not None  # asks whether an optional dependency is there, without importing it
