"""Two audits side by side: a model asked directly and through a deployed policy, about the same records."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from unseen.access import Access
from unseen.attacks import catalogue
from unseen.auditing import audit_records
from unseen.comparing import compare
from unseen.comparison import Comparison, comparison_to_json
from unseen.disk import write_whole
from unseen.errors import FolderError, PlanError
from unseen.features.rows import take_rows
from unseen.options import Progress, quiet
from unseen.outcome import Outcome
from unseen.plan import Plan, TargetPlan, ThroughPlan, read_plan
from unseen.planned import DEFAULT_FOLDER, materials, plan_options
from unseen.records import Records
from unseen.renderers.side_by_side import rendered_sides
from unseen.runs import PLAN
from unseen.sides import COMPARISON, DIRECT, PAGES, THROUGH
from unseen.target import Target
from unseen.targets.asking import KeyRefused

REFERENCES = "references"
INHERITED = ("protocol", "records_per_request", "requests_per_second", "timeout_seconds")


@dataclass(frozen=True)
class SideBySide:
    """The model audited directly, the same through the policy, what the policy changes, and the page that shows it."""

    direct: Outcome
    through: Outcome
    comparison: Comparison
    page: Path


def audit_plan_through(
    path: str | Path,
    url: str | None = None,
    *,
    key: str | None = None,
    folder: str | Path | None = None,
    trust: bool = False,
    progress: Progress = quiet,
) -> SideBySide:
    """Run a plan's audit twice, on `[target]` and through `[through]`, with the same records, attacks and seeds.

    `url` names the policy's address, or another than the plan's, and `key` where its key is, "env:NAME" or "file:PATH"
    from the working folder. One record is asked through the policy before anything else is. The run folder holds a run
    each, `direct` and `through`, and `comparison.json`, `.html` and `.md`; references without controls are trained once
    for both. Raises `UnseenError`.
    """
    path = Path(path)
    plan, home = read_plan(path), path.resolve().parent
    place = Path(folder) if folder is not None else home / (plan.folder or DEFAULT_FOLDER)
    check_place(place)
    plans = {DIRECT: direct_plan(plan), THROUGH: through_plan(plan, url, seen_from(home, key))}
    sides = {}
    for name, part in plans.items():
        options = plan_options(part, home, place / name, progress)
        sides[name] = materials(part, home, replace(options, cache=options.cache or place), trust=trust)
    ask_first(plans[THROUGH].target, *sides[THROUGH][:2])
    outcomes = {}
    for name, side in sides.items():
        outcomes[name] = audit_records(*side)
        outcomes[name].save(place / name)
    comparison = compare(outcomes[DIRECT], outcomes[THROUGH])
    write_whole(place / COMPARISON, comparison_to_json(comparison))
    for name, file in PAGES.items():
        reports = outcomes[DIRECT].report, outcomes[THROUGH].report
        write_whole(place / file, rendered_sides(*reports, comparison, name))
    write_whole(place / PLAN, path.read_bytes())
    return SideBySide(outcomes[DIRECT], outcomes[THROUGH], comparison, place / PAGES["html"])


def seen_from(home: Path, key: str | None) -> str | None:
    """Return where a key is as a plan in `home` says it: paths on a command line start at the working folder."""
    kind, _, name = (key or "").partition(":")
    return f"file:{os.path.relpath(name, home)}" if kind == "file" and name else key


def ask_first(said: TargetPlan | None, target: Target, members: Records) -> None:
    """Ask about one record, which is not asked twice; raise `PlanError` where the key is refused, or none is named."""
    try:
        target.answer(take_rows(members.features, np.arange(1)))
    except KeyRefused:
        place = None if said is None else said.api_key
        why = f"refused the key at {place} (HTTP 401)" if place else "wants a key (HTTP 401), and none is named"
        raise PlanError(
            f'the policy {why}: write [through] with api_key = "env:NAME" or "file:PATH" into the plan, or say '
            "--through-key file:PATH (or env:NAME); nothing was asked directly."
        ) from None


def check_place(place: Path) -> None:
    """Raise `FolderError` where the run folder holds anything but such a pair of runs."""
    ours = {DIRECT, THROUGH, REFERENCES, COMPARISON, *PAGES.values(), PLAN}
    if place.exists() and (not place.is_dir() or any(child.name not in ours for child in place.iterdir())):
        raise FolderError(f"{place} exists and holds something that is not this pair of runs; name a new folder.")


def direct_plan(plan: Plan) -> Plan:
    """Return the plan of the audit without the policy."""
    return _part(plan, plan.target, DIRECT)


def through_plan(plan: Plan, url: str | None = None, key: str | None = None) -> Plan:
    """Return the plan of the audit through the policy: the target is the policy's address; the key is its own.

    >>> target = TargetPlan(url="http://model/invocations", protocol="mlflow", api_key="env:MODEL")
    >>> from unseen.plan import DataPlan
    >>> found = through_plan(Plan(target=target, data=DataPlan("a.csv", "b.csv", "y")), "http://gateway/invocations")
    >>> found.target.url, found.target.protocol, found.target.api_key
    ('http://gateway/invocations', 'mlflow', None)
    """
    said = plan.through
    if plan.target is None:
        raise PlanError("an audit through a policy needs [target]: the model without it.")
    if url is not None:
        said = ThroughPlan(url) if said is None else msgspec.structs.replace(said, url=url)
    if said is None:
        raise PlanError("an audit through a policy needs its address: [through] url, or --through URL.")
    given = msgspec.structs.asdict(said) | {"behind_policy": True, "api_key": key or said.api_key}
    changes = {name: value for name, value in given.items() if name not in INHERITED or value is not None}
    if plan.target.protocol is None and said.protocol is None:
        raise PlanError('an audit through a policy needs the protocol it speaks: [through] protocol, such as "mlflow".')
    return _part(plan, msgspec.structs.replace(plan.target, **changes), THROUGH)


def _part(plan: Plan, target: TargetPlan | None, name: str) -> Plan:
    """Return the plan of one side; attacks that see labels only run on both, whatever the plan leaves out."""
    inside, label_only = f"{plan.folder or DEFAULT_FOLDER}/{name}", label_only_attacks()
    only, skip = plan.attacks.only, tuple(one for one in plan.attacks.skip if one not in label_only)
    asked = msgspec.structs.replace(
        plan.attacks, skip=skip, only=None if only is None else tuple(dict.fromkeys((*only, *label_only)))
    )
    return msgspec.structs.replace(plan, target=target, through=None, folder=inside, attacks=asked)


def label_only_attacks() -> list[str]:
    """Return the names of the attacks that see labels alone, which no policy takes away.

    >>> label_only_attacks()
    ['noise-robustness', 'gap']
    """
    return [name for name, attack in catalogue().items() if attack.access <= {Access.LABELS, Access.QUERIES}]
