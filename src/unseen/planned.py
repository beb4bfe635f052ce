"""From a plan on disk to an audit: files become records, settings become options."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from unseen.answers import read_answers
from unseen.auditing import as_target, audit_records
from unseen.disk import write_whole
from unseen.errors import DataError, MissingExtra, PlanError, did_you_mean
from unseen.estimating import Questions
from unseen.features.files import read_table
from unseen.manifest import read_manifest
from unseen.options import Options, Progress, quiet
from unseen.outcome import Outcome
from unseen.plan import DataPlan, Plan, TargetPlan, read_plan
from unseen.records import Records
from unseen.references.processes import Processes
from unseen.runs import PLAN
from unseen.tables import audit_answers
from unseen.targets.files import load_model

DEFAULT_FOLDER = "unseen-run"


def audit_plan(
    path: str | Path, *, folder: str | Path | None = None, trust: bool = False, progress: Progress = quiet
) -> Outcome:
    """Run the audit that a plan describes and leave its run folder; relative paths start at the plan's own folder.

    `folder` overrides the plan's, `trust` allows a pickled model as `target.trust` does. Raises `UnseenError`.
    """
    path = Path(path)
    plan = read_plan(path)
    home = path.resolve().parent
    place = Path(folder) if folder is not None else home / (plan.folder or DEFAULT_FOLDER)
    options = plan_options(plan, place, progress)
    outcome = run_plan(plan, home, options, trust=trust)
    outcome.save(place)
    write_whole(place / PLAN, path.read_bytes())
    return outcome


def plan_options(plan: Plan, folder: Path, progress: Progress) -> Options:
    """Return the options that a plan asks for."""
    return Options(
        references=plan.references.count,
        seed=plan.seed,
        attacks=plan.attacks.only,
        skip=plan.attacks.skip,
        slices=plan.slices.columns,
        rule=plan.data.rule if plan.data else plan.answers.rule if plan.answers else "mean",
        copies=plan.attacks.copies,
        training_size=plan.data.training_size if plan.data else None,
        policy=plan.policy,
        context=plan.context,
        questions=Questions(fprs=plan.statistics.fprs, priors=plan.statistics.priors),
        folder=folder,
        engine=Processes(plan.references.workers or None),
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
    if plan.target is None or plan.data is None:
        raise PlanError("a plan needs [target] and [data], or [answers] alone.")
    model = load_model(home / plan.target.model, plan.target.trusted_types, trust=trust or plan.target.trust)
    frame = as_frame(model, plan.target)
    slices = plan.slices.columns
    members = read_records(home / plan.data.members, "data.members", plan.data, frame, slices)
    non_members = read_records(home / plan.data.non_members, "data.non_members", plan.data, frame, slices)
    population = None
    if plan.data.population is not None:
        population = read_records(home / plan.data.population, "data.population", plan.data, frame)
    if plan.data.manifest is not None:
        options = replace(options, manifest=read_manifest(home / plan.data.manifest, plan.data.id))
    return audit_records(as_target(model), members, non_members, population, options)


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
    from importlib.util import find_spec  # asks whether an optional dependency is there, without importing it

    return find_spec("pandas") is not None and find_spec("pyarrow") is not None
