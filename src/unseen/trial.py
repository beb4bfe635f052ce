"""Trial: who is a member and who is not, how that was decided, and the unit protected."""

from dataclasses import dataclass, field

import numpy as np

from unseen.errors import DataError
from unseen.signal import Array, Bools, Floats, Ints

COMBINING_RULES = {"mean": np.add, "max": np.maximum}


@dataclass(frozen=True)
class Trial:
    """The only holder of membership: `member (units,)` boolean, one entry a protected unit.

    `unit` is "record" or "person"; with persons, `unit_of (records,)` maps each record to its person, and a person's
    score is the `rule` ("mean" or "max") of the records' scores.
    """

    member: Bools = field(repr=False)
    ids: Array = field(repr=False)
    unit: str = "record"
    unit_of: Ints | None = field(default=None, repr=False)
    rule: str = "mean"

    def __post_init__(self) -> None:
        if self.rule not in COMBINING_RULES:
            raise DataError(f"the rule for a person's records must be one of {sorted(COMBINING_RULES)}.")
        if self.members == 0 or self.non_members == 0:
            raise DataError(
                f"an audit needs members and non-members, got {self.members} and {self.non_members} {self.unit}s."
            )

    @property
    def members(self) -> int:
        """How many units are members."""
        return int(np.count_nonzero(self.member))

    @property
    def non_members(self) -> int:
        """How many units are not."""
        return int(self.member.size - self.members)

    def per_unit(self, values: Floats) -> Floats:
        """Combine one value a record into one a unit, by the trial's named rule.

        >>> trial = Trial(np.array([True, False]), np.array(["a", "b"]), "person", np.array([0, 1, 1]), "mean")
        >>> trial.per_unit(np.array([1.0, 2.0, 4.0]))
        array([1., 3.])
        """
        if self.unit_of is None:
            return values
        combined = np.full(self.member.size, -np.inf if self.rule == "max" else 0.0)
        COMBINING_RULES[self.rule].at(combined, self.unit_of, values)
        if self.rule == "mean":
            combined /= np.bincount(self.unit_of, minlength=self.member.size)
        return combined
