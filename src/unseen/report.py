"""Report: every estimate with its conditions and provenance; a value, not a document."""

from collections.abc import Sequence
from typing import Any

import msgspec

from unseen.estimate import Estimate, Refused
from unseen.policy import Context, Policy

SCHEMA = "https://unseen.readthedocs.io/schemas/report-1.json"

LEAK = "leak"
NO_LEAK_FOUND = "no_leak_found"
INCONCLUSIVE = "inconclusive"
NOT_APPLICABLE = "not_applicable"
FAILED = "failed"
EXIT_CODES = {NO_LEAK_FOUND: 0, LEAK: 1, INCONCLUSIVE: 3, NOT_APPLICABLE: 3, FAILED: 3}

NOT_TESTED = (
    "model inversion: reconstructing a record from the model",
    "attribute inference: learning a feature of a known person",
    "attackers who see the weights, the gradients or the training",
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


class ReferenceFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the references came about."""

    asked: int
    finished: int
    reused: int
    damaged: int
    failures: dict[str, int]
    inclusion_rate: float | None
    identical: bool = False


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
    """What it takes to run the audit again: seed, plan, versions, digests of data and model; and when it ran."""

    seed: int
    versions: dict[str, str]
    data_digest: str
    model_digest: str
    plan: dict[str, Any]
    started: str
    seconds: float


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
    notes: list[str]
    policy: Policy
    context: Context
    provenance: Provenance
    not_tested: tuple[str, ...] = NOT_TESTED
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
