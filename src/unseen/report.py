"""Report: every estimate with its conditions and provenance; a value, not a document."""

from collections.abc import Sequence
from typing import Any

import msgspec

from unseen.estimate import Estimate, Refused
from unseen.policy import Context, Policy

SCHEMA = "https://unseen.readthedocs.io/schemas/report-2.json"

LEAK = "leak"
NO_LEAK_FOUND = "no_leak_found"
INCONCLUSIVE = "inconclusive"
NOT_APPLICABLE = "not_applicable"
FAILED = "failed"
EXIT_CODES = {NO_LEAK_FOUND: 0, LEAK: 1, INCONCLUSIVE: 3, NOT_APPLICABLE: 3, FAILED: 3}

HELD = "held"
BROKEN = "broken"
PRESENT = "present"
NOT_SEEN = "not_seen"
DECLARED = "declared"

FACTOR_ROWS = {
    "F1": "overfitting",
    "F2": "small or duplicated training data",
    "F3": "poor separation of training and evaluation data",
    "F4": "model design and capacity",
    "F5": "detail of the outputs",
    "F6": "who may query, and how often",
}

IDENTIFIERS = {
    "OWASP Machine Learning Security Top Ten": "ML04:2023",
    "MITRE ATLAS": "AML.T0024.000",
    "NIST AI 100-2 E2025": "NISTAML.033",
}
UNSEEN_WEIGHTS = "attackers who see the weights, the gradients or the training"
NOT_TESTED = (
    "model inversion: reconstructing a record from the model",
    "attribute inference: learning a feature of a known person",
    UNSEEN_WEIGHTS,
    "attackers with better references, more queries or other methods than those listed",
)


class AttackResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one attack found. `state` is one of the five; `reason` says why it is not a measurement."""

    name: str
    row: str
    state: str
    access: Sequence[str]
    reason: str = ""
    estimates: list[Estimate] = []
    refused: list[Refused] = []
    tie_share: float | None = None
    flagged_members: int | None = None
    flagged_non_members: int | None = None


class SliceResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One slice, by the recommended attack; with under ten units on a side it is suppressed: no counts, no values."""

    by: str
    value: str
    suppressed: bool
    state: str
    estimates: list[Estimate] = []


class LimitResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of the owner's limits: "over", "within" or "undecided", and where it was closest."""

    limit: str
    verdict: str
    detail: str


class GateResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A check that must hold before a number may be believed: "held", "broken" or "not_applicable".

    `finding` is one sentence with what was found, `advice` what to do where the gate is broken.
    """

    name: str
    state: str
    meaning: str
    finding: str
    advice: str
    estimates: list[Estimate] = []
    counts: dict[str, int] = {}


class FactorResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A reason why the risk is what it is: "present", "not_seen", "declared" or "not_applicable".

    `row` is the risk factor's row (F1 to F6), `finding` one sentence, `controls` what would touch it.
    """

    name: str
    row: str
    state: str
    meaning: str
    finding: str
    controls: list[str]
    estimates: list[Estimate] = []
    counts: dict[str, int] = {}


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Three buckets of sentences; none outweighs another by a formula."""

    against_release: list[str]
    for_release: list[str]
    undecided: list[str]


class Risk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Likelihood as measured and harm as declared, side by side; never multiplied into one number.

    `likelihood` is "not measured", "not found", "low", "moderate" or "high"; `harm` is "not declared", "low",
    "moderate", "high" or "severe".
    """

    likelihood: str
    because: str
    harm: str
    reveals: str


class SensitiveColumn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column that looks sensitive, or was declared so: its `kind`, and `why` ("declared", "name" or "values")."""

    column: str
    kind: str
    why: str


class RocCurve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ROC curve of one attack at some rates, `(rates,)` each, with the band of a model that leaks nothing.

    `tpr` is read at the largest step that is at most `fpr`; `band_low` and `band_high` hold 95 % of leak-free models
    at each rate (exact, beta-binomial).
    """

    attack: str
    row: str
    fpr: list[float]
    tpr: list[float]
    band_low: list[float]
    band_high: list[float]


class Exposure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How exposed single units are by the recommended attack: counts by the exact p-value of each unit.

    `edges (bins + 1,)` are p-values, descending; `members` and `non_members (bins,)` are counts of units with a p-value
    in (edge[i + 1], edge[i]]. Bins with under ten units on a side are joined with the next. `ids` names the most
    exposed flagged members in the order of their names, at most `policy.name_ids` of them: no score, no rank.
    """

    attack: str
    edges: list[float]
    members: list[int]
    non_members: list[int]
    ids: list[str] = []


class ReferenceFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the references came about; `saved` were not asked for, because the verdict was settled.

    `error_share` is what looks with fewer references left of the report's error budget, 1 where there were none.
    `derived` says that they are not models of their own, but what a few fits say of records they had or had not.
    """

    asked: int
    finished: int
    failures: dict[str, int]
    inclusion_rate: float | None
    identical: bool = False
    saved: int = 0
    error_share: float = 1.0
    derived: bool = False


class TargetFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was audited, and how well it does: accuracies over the audited records."""

    kind: str
    classes: int
    access: list[str]
    member_accuracy: float | None
    non_member_accuracy: float | None
    saturated_answers: int
    queries: int


class Provenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What it takes to run the audit again: seed, plan, versions, digests of data and model; and when it ran.

    `recipe_digest` is of what the references were trained by, its code included; empty where there are none.
    """

    seed: int
    versions: dict[str, str]
    data_digest: str
    model_digest: str
    plan: dict[str, Any]
    started: str
    seconds: float
    recipe_digest: str = ""


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One audit. `family` is the number of tests under the one error budget of 5 %."""

    state: str
    reasons: list[str]
    recommended: str
    unit: str
    rule: str
    members: int
    non_members: int
    population: int
    family: int
    target: TargetFacts
    references: ReferenceFacts
    attacks: list[AttackResult]
    slices: list[SliceResult]
    limits: list[LimitResult]
    gates: list[GateResult]
    factors: list[FactorResult]
    evidence: Evidence
    risk: Risk
    sensitive: list[SensitiveColumn]
    curves: list[RocCurve]
    exposure: Exposure | None
    notes: list[str]
    policy: Policy
    context: Context
    provenance: Provenance
    not_tested: tuple[str, ...] = NOT_TESTED
    identifiers: dict[str, str] = msgspec.field(default_factory=lambda: dict(IDENTIFIERS))
    schema: str = SCHEMA

    @property
    def exit_code(self) -> int:
        """0 within policy, 1 over it, 3 inconclusive or failed."""
        return EXIT_CODES[self.state]


def to_json(report: Report) -> bytes:
    """Return the report as indented JSON, UTF-8."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def from_json(content: bytes) -> Report:
    """Return the report in `content`; unknown or missing fields are refused."""
    return msgspec.json.decode(content, type=Report)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a report, made from the records above."""
    return msgspec.json.schema(Report) | {"$id": SCHEMA, "title": "unseen report"}
