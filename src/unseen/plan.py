"""Plan: one audit as a file says it; unknown keys are refused, defaults are visible."""

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from unseen.errors import PlanError, did_you_mean
from unseen.policy import DEFAULT_FPRS, DEFAULT_PRIORS, Context, Policy
from unseen.trial import COMBINING_RULES

Controls = tuple[dict[str, Any], ...]


class TargetPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`[target]`: the model file, and what is trusted of it; `frame` is "auto", "polars", "pandas" or "numpy".

    For PyTorch weights (.safetensors, .pt, .pth), `module` names the function that makes the module ("file:name", from
    the plan's own folder), `classes` the labels of its outputs (none: a regressor), `shape` one record's, if not flat.

    With a `url` it is that endpoint which is asked, in its `protocol`; `model` then only says how models like it are
    trained. `api_key` says where the key is, "env:NAME" or "file:PATH", never the key. `controls` are what the endpoint
    is known to do to its answers: references' answers are treated the same. `behind_policy` says that a deployed policy
    stands in front of it, for the report. docs/endpoints.md explains the rest.
    """

    model: str | None = None
    trust: bool = False
    trusted_types: tuple[str, ...] = ()
    frame: str = "auto"
    module: str | None = None
    classes: tuple[int | str | bool, ...] | None = None
    shape: tuple[int, ...] | None = None
    url: str | None = None
    protocol: str | None = None
    api_key: str | None = None
    header: str = "Authorization"
    insecure: bool = False
    answers: str = "auto"
    controls: Controls = ()
    behind_policy: bool = False
    records_per_request: int = 100
    requests_per_second: float = 5.0
    timeout_seconds: float = 30.0
    input: str | None = None
    output: str | None = None
    records_at: str = "/instances"
    answers_at: str = "/predictions"
    answer_at: str = ""
    model_name: str | None = None
    prompt: str = ""

    def __post_init__(self) -> None:
        if self.model is None and self.url is None:
            raise PlanError("target needs a model (a file) or a url (an endpoint).")
        of_endpoint = self.protocol is not None or self.api_key is not None or self.controls or self.behind_policy
        if self.url is None and of_endpoint:
            raise PlanError(
                "target.protocol, api_key, controls and behind_policy are of an endpoint: name its target.url."
            )
        if self.url is not None and self.protocol not in PROTOCOLS:
            raise PlanError(f"target.protocol must be one of {list(PROTOCOLS)}, got {self.protocol!r}.")
        if self.answers not in ANSWERS:
            raise PlanError(f"target.answers must be one of {list(ANSWERS)}, got {self.answers!r}.")
        if self.records_per_request < 1 or self.requests_per_second <= 0 or self.timeout_seconds <= 0:
            raise PlanError(
                "target.records_per_request must be 1 or more, requests_per_second and timeout_seconds above 0."
            )


class ThroughPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`[through]`: the same model behind a deployed policy, asked beside `[target]` about the same records.

    What is None is as in `[target]`; the key never is, since it would be shown to another server.
    """

    url: str
    protocol: str | None = None
    api_key: str | None = None
    header: str = "Authorization"
    insecure: bool = False
    answers: str = "auto"
    controls: Controls = ()
    records_per_request: int | None = None
    requests_per_second: float | None = None
    timeout_seconds: float | None = None


class DataPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`[data]`: the tables of members, non-members and, if any, the population, and the names of their columns.

    `manifest` is a file that lists what the model was trained on: ids, or the hash list of `unseen manifest`.
    """

    members: str
    non_members: str
    label: str
    population: str | None = None
    id: str | None = None
    group: str | None = None
    drop: tuple[str, ...] = ()
    rule: str = "mean"
    training_size: int | None = None
    manifest: str | None = None


class AnswersPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`[answers]`: instead of a model and its data, a table of answers (see `unseen.audit_table`)."""

    table: str
    id: str = "id"
    member: str = "member"
    label: str = "label"
    group: str | None = None
    rule: str = "mean"


class RecipePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`[recipe]`: how models like the target are trained, where the model itself cannot say.

    `use` names it ("file:name", from the plan's own folder): a function `train(features, labels, seed)` or a
    `TorchRecipe`. Loading it runs the code of that file: `trust` says that it may. `targets` is for the audit of the
    procedure itself (`unseen audit --recipe`).
    """

    use: str
    trust: bool = False
    targets: int = 8


class ReferencesPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`[references]`: how many models like the target are trained, and in how many processes (0: one a core).

    `engine` is "auto", "processes", "stacked", "free" or "cluster", which takes the `address` of a Ray cluster (none: a
    local one). `cache` is a folder that several runs may share, `max_time` ("90s", "10m", "2h") the time after which no
    more are trained; `adaptive` stops as soon as the policy is surely broken.
    """

    count: int = 16
    workers: int = 0
    engine: str = "auto"
    address: str | None = None
    cache: str | None = None
    max_time: str | None = None
    adaptive: bool = False


class AttacksPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`[attacks]`: only some, or all but some; perturbed copies a record for noise-robustness; the shape of images."""

    only: tuple[str, ...] | None = None
    skip: tuple[str, ...] = ()
    copies: int = 12
    image: tuple[int, ...] | None = None


class SlicesPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`[slices]`: feature columns whose values divide the records into slices."""

    columns: tuple[str, ...] = ()


class StatisticsPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`[statistics]`: the false-positive rates and priors that every attack is measured at."""

    fprs: tuple[float, ...] = DEFAULT_FPRS
    priors: tuple[float, ...] = DEFAULT_PRIORS


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One audit: either `[target]` and `[data]`, or `[answers]`; `seed` fixes everything that is drawn."""

    target: TargetPlan | None = None
    data: DataPlan | None = None
    answers: AnswersPlan | None = None
    recipe: RecipePlan | None = None
    through: ThroughPlan | None = None
    references: ReferencesPlan = ReferencesPlan()
    attacks: AttacksPlan = AttacksPlan()
    slices: SlicesPlan = SlicesPlan()
    statistics: StatisticsPlan = StatisticsPlan()
    policy: Policy = Policy()
    context: Context = Context()
    seed: int = 0
    folder: str | None = None

    def __post_init__(self) -> None:
        whole = self.data is not None and (self.target is not None or self.recipe is not None)
        if whole == (self.answers is not None) or (self.target is not None and self.data is None):
            raise PlanError("a plan needs [target] and [data], or [answers] alone; [recipe] and [data] for --recipe.")
        if self.through is not None and self.target is None:
            raise PlanError("[through] is the model of [target] behind a policy: the plan needs [target] too.")
        for section in (self.data, self.answers):
            if section is not None and section.rule not in COMBINING_RULES:
                raise PlanError(f"rule must be one of {sorted(COMBINING_RULES)}, got {section.rule!r}.")
        if self.target is not None and self.target.frame not in FRAMES:
            raise PlanError(f"target.frame must be one of {list(FRAMES)}, got {self.target.frame!r}.")
        for name, values in (("fprs", self.statistics.fprs), ("priors", self.statistics.priors)):
            if not values or not all(0 < value < 1 for value in values):
                raise PlanError(f"statistics.{name} must be in (0, 1), and some, got {list(values)}.")
        if self.references.workers < 0:
            raise PlanError(f"references.workers must be 0 (one a core) or more, got {self.references.workers}.")


PROTOCOLS = ("open-inference-v2", "mlflow", "kserve-v1", "json", "openai")
ANSWERS = ("auto", "probabilities", "labels", "values")
FRAMES = ("auto", "polars", "pandas", "numpy")


def read_plan(path: Path) -> Plan:
    """Return the plan in a TOML file; every fault is one sentence that names the key."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise PlanError(f"there is no plan {path}; `unseen init` writes one.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"{path} could not be read as text ({type(error).__name__}).") from None
    if not text.strip():
        raise PlanError(f"{path} is empty; `unseen init` writes a plan.")
    return parse_plan(text, path.name)


def parse_plan(text: str, name: str = "plan") -> Plan:
    """Return the plan in a TOML text."""
    try:
        return convert_plan(tomllib.loads(text), name)
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"{name} is not TOML: {error}.") from None


def convert_plan(content: dict[str, Any], name: str = "plan") -> Plan:
    """Return the plan in a mapping."""
    try:
        return msgspec.convert(content, Plan, strict=True)
    except msgspec.ValidationError as error:
        raise PlanError(f"{name}: {_explained(str(error))}") from None


def _explained(message: str) -> str:
    """Turn msgspec's message into one sentence, with the near key where one is misspelt."""
    unknown = re.match(r"Object contains unknown field `(.+?)`(?: - at `\$\.?(.*?)`)?$", message)
    if unknown is None:
        wrong, _, key = message.partition(" - at `$.")
        key = key.rstrip("`")
        if key == "references.max_time":
            return f'{key}: a time is text, such as "10s", "10m" or "2h".'
        return f"{key}: {wrong[:1].lower()}{wrong[1:]}." if key else f"{message}."
    key, place = unknown.group(1), (unknown.group(2) or "").split("[")[0]
    return f"unknown key {key!r}{f' in [{place}]' if place else ''}{did_you_mean(key, _keys(place)) or '.'}"


def _keys(place: str) -> list[str]:
    sections = {
        "": Plan,
        "target": TargetPlan,
        "data": DataPlan,
        "answers": AnswersPlan,
        "recipe": RecipePlan,
        "through": ThroughPlan,
        "references": ReferencesPlan,
        "attacks": AttacksPlan,
        "slices": SlicesPlan,
        "statistics": StatisticsPlan,
        "policy": Policy,
        "context": Context,
    }
    kind = sections.get(place)
    return list(kind.__struct_fields__) if kind else ["metric", "at_most", "fpr", "prior", "every_slice"]
