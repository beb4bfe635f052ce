"""Comparison: what changed from one run to the next; a value, not a document."""

from typing import Any

import msgspec

from unseen.estimate import Estimate

COMPARISON_SCHEMA = "https://unseen.readthedocs.io/schemas/comparison-1.json"

REGRESSION = "regression"
NO_REGRESSION_FOUND = "no_regression_found"
UNDECIDED = "inconclusive"
COMPARISON_EXIT_CODES = {NO_REGRESSION_FOUND: 0, REGRESSION: 1, UNDECIDED: 3}


class Side(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of the two runs, as its report says."""

    state: str
    members: int
    non_members: int
    references: int
    seed: int
    data_digest: str
    model_digest: str
    version: str
    started: str


class Difference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far one number of one attack rose: `after` minus `before`, over the units that were compared.

    `rise` holds the value, a two-sided interval of its own, `p_value` (one-sided, of "the rise is at most what the
    policy allows"), `adjusted_p` (Holm, over the whole comparison) and `detectable`, the smallest rise that would have
    been found with 80 % power. `simultaneous_low` bounds all rises of the comparison from below at once, at 95 %.
    """

    attack: str
    quantity: str
    fpr: float | None
    before: float
    after: float
    rise: Estimate
    simultaneous_low: float
    regressed: bool


class Comparison(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two runs held against each other.

    `state` is "regression", "no_regression_found" or "inconclusive"; `worsen_at_most` is the newer run's policy;
    `pairing` says over which units, and whether unit by unit; `not_compared` says what was left out, and why.
    """

    state: str
    reasons: list[str]
    worsen_at_most: float
    unit: str
    paired: bool
    pairing: str
    family: int
    differences: list[Difference]
    not_compared: dict[str, str]
    notes: list[str]
    older: Side
    newer: Side
    schema: str = COMPARISON_SCHEMA

    @property
    def exit_code(self) -> int:
        """0 no regression found, 1 a regression past the policy, 3 inconclusive."""
        return COMPARISON_EXIT_CODES[self.state]


def comparison_to_json(comparison: Comparison) -> bytes:
    """Return the comparison as indented JSON, UTF-8."""
    return msgspec.json.format(msgspec.json.encode(comparison), indent=2) + b"\n"


def comparison_from_json(content: bytes) -> Comparison:
    """Return the comparison in `content`; unknown or missing fields are refused."""
    return msgspec.json.decode(content, type=Comparison)


def comparison_json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a comparison, made from the records above."""
    return msgspec.json.schema(Comparison) | {"$id": COMPARISON_SCHEMA, "title": "unseen comparison"}
