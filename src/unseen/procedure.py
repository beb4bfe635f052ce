"""Procedure: what several models of one training procedure give away; a value, not a document."""

from typing import Any

import msgspec

from unseen.policy import Context, Policy
from unseen.report import EXIT_CODES, GateResult, LimitResult, Provenance

PROCEDURE_SCHEMA = "https://unseen.readthedocs.io/schemas/procedure-1.json"


class Spread(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One number of one attack over the targets: each target's `values (targets,)`, their mean and how they spread.

    `low` and `high` bound the mean over further targets (Student's t over the targets, 95 %); None with one target.
    `above_chance` counts targets in which a test found a leak, at one error budget for all tests of all targets.
    """

    quantity: str
    fpr: float | None
    values: list[float]
    mean: float
    low: float | None
    high: float | None
    standard_deviation: float | None


class AttackSpread(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One attack over all targets; `reason` says why it did not run, where it did not."""

    name: str
    row: str
    spreads: list[Spread]
    above_chance: int = 0
    reason: str = ""


class Repeats(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often the same units are flagged by the recommended attack, at `fpr` of each target's own non-members.

    `trained (targets + 1,)` counts units by how many targets were trained on them; `flagged (targets + 1,)` counts
    units by how many of those targets flagged them; `false (targets + 1,)` by how many of the others did.
    """

    attack: str
    fpr: float
    trained: list[int]
    flagged: list[int]
    false: list[int]


class Procedure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The audit of a training procedure: `targets` models on halves drawn by coins, each attacked by the others."""

    state: str
    reasons: list[str]
    recommended: str
    unit: str
    units: int
    targets: int
    references: int
    failures: dict[str, int]
    family: int
    attacks: list[AttackSpread]
    repeats: Repeats | None
    limits: list[LimitResult]
    gates: list[GateResult]
    notes: list[str]
    policy: Policy
    context: Context
    provenance: Provenance
    schema: str = PROCEDURE_SCHEMA

    @property
    def exit_code(self) -> int:
        """0 within policy, 1 over it, 3 inconclusive or failed."""
        return EXIT_CODES[self.state]


def procedure_json(procedure: Procedure) -> bytes:
    """Return the procedure's report as indented JSON, UTF-8."""
    return msgspec.json.format(msgspec.json.encode(procedure), indent=2) + b"\n"


def procedure_schema() -> dict[str, Any]:
    """Return the JSON Schema of a procedure's report."""
    return msgspec.json.schema(Procedure) | {"$id": PROCEDURE_SCHEMA, "title": "unseen procedure report"}
