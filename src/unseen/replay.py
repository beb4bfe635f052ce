"""From a report back to its audit: the plan inside it, on the same files, with the same seed."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePath

from unseen.disk import write_whole
from unseen.errors import PlanError
from unseen.options import Progress, quiet
from unseen.outcome import Outcome
from unseen.plan import Plan, convert_plan
from unseen.planned import DEFAULT_FOLDER, plan_options, run_plan
from unseen.provenance import versions
from unseen.report import Report
from unseen.runs import PLAN, REPORT, Claim, read_run


def audit_report(
    path: str | Path,
    *,
    home: str | Path | None = None,
    folder: str | Path | None = None,
    trust: bool = False,
    progress: Progress = quiet,
) -> Outcome:
    """Run again the audit that a report holds; the new report has the same bytes but for `started` and `seconds`.

    Relative paths of its plan start at `home`: where the plan lay, told from where the report lies if it lies in the
    plan's own run folder. The run goes to `folder`, by default where the report lies. What the plan trusts must be
    trusted anew by `trust`: a report may come from somebody else. Raises `PlanError` where the report holds no plan
    that can run, `DataError` or `ModelError` where data or model are not those of the report; library versions that
    differ are told by `other_versions`. A manifest is read again, and not held against the report.
    """
    path = Path(path).resolve()
    path = path / REPORT if path.is_dir() else path
    report = read_run(path)
    plan = runnable(report, path)
    if plan.target is not None and (plan.target.trust or plan.target.trusted_types) and not trust:
        raise PlanError(f"the plan in {path.name} trusts its model file, which may run code: say --trust if you do.")
    if plan.target is not None and plan.target.url is not None and not trust:
        raise PlanError(
            f"the plan in {path.name} asks an endpoint, and may show it a key: say --trust if you trust it."
        )
    if plan.recipe is not None and not trust:
        raise PlanError(f"the plan in {path.name} runs the code of its recipe: say --trust if you trust it.")
    start = home_of(plan, path) if home is None else Path(home).resolve()
    place = path.parent if folder is None else Path(folder)
    origin = report.provenance
    expected = Claim(origin.data_digest, origin.model_digest, origin.seed, origin.recipe_digest)
    options = replace(plan_options(plan, start, place, progress), expected=expected)
    copy = path.parent / PLAN
    written = copy.read_bytes() if copy.is_file() else None
    outcome = run_plan(plan, start, options, trust=trust)
    outcome.save(place)
    if written is not None:
        write_whole(place / PLAN, written)
    return outcome


def runnable(report: Report, path: Path) -> Plan:
    """Return the plan inside a report; one made by a call from Python names no files, and is refused."""
    held = report.provenance.plan
    if not {"target", "answers"} & held.keys():
        raise PlanError(
            f"{path.name} was made by a call from Python and names no files, so it cannot run again by itself: make "
            "that call again, with the same seed."
        )
    return convert_plan(held, f"the plan in {path.name}")


def home_of(plan: Plan, path: Path) -> Path:
    """Return the folder that the plan lay in, from where its report lies: the run folder is home / plan.folder."""
    parts, place = PurePath(plan.folder or DEFAULT_FOLDER).parts, path.parent
    climbs = ".." in parts or PurePath(*parts).is_absolute()
    home = place.parents[len(parts) - 1] if parts and len(parts) <= len(place.parents) else place
    found = all((home / name).exists() for name in files_of(plan))
    if climbs or place.parts[len(place.parts) - len(parts) :] != parts or not found:
        raise PlanError(f"{path.name} does not lie in its plan's run folder: name the plan's own folder with --home.")
    return home


def files_of(plan: Plan) -> Iterator[str]:
    """Yield the files that a plan names."""
    if plan.answers is not None:
        yield plan.answers.table
    if plan.target is not None and plan.data is not None:
        named = plan.target.model, plan.data.members, plan.data.non_members, plan.data.population, plan.data.manifest
        yield from (name for name in named if name is not None)


def other_versions(path: str | Path) -> list[str]:
    """Return in one sentence each which libraries are not those that a report was made with."""
    report, here = read_run(Path(path)), versions()
    return [
        f"the report was made with {name} {then}, here is {here.get(name, 'none')}: last digits may differ."
        for name, then in report.provenance.versions.items()
        if here.get(name) != then
    ]
