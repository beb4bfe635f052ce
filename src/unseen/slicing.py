"""Slices: the same question for each class, each decile of loss and each named group."""

from dataclasses import dataclass, field

import numpy as np
from scipy.stats import rankdata

from unseen.errors import DataError
from unseen.signal import Array, Bools, Floats
from unseen.trial import Trial

FEWEST = 10
SEVERAL = "(several)"
FEW = "(values under ten units a side)"
MOST_VALUES = 50
CLASS = "class"
LABEL_TENTH = "label tenth"


@dataclass(frozen=True)
class Slice:
    """Some of the units: `by` what they were divided, the `value` they share, and which they are, `(units,)`."""

    by: str
    value: str
    units: Bools = field(repr=False)
    hidden: int = 0

    def suppressed(self, trial: Trial) -> bool:
        """Say whether a side has fewer than ten units: such a cell is named and not measured."""
        inside = int((trial.member & self.units).sum()), int((~trial.member & self.units).sum())
        return self.hidden > 0 or min(inside) < FEWEST


def by_value(by: str, values: Array, trial: Trial) -> list[Slice]:
    """Return a slice for each value of `values (records,)`; a unit whose records differ falls in "(several)".

    Values that fewer than ten members or non-members share are not named: they become one slice that is not measured.
    """
    text = np.array([str(value) for value in values.tolist()])
    distinct = np.unique(text).size
    if distinct > MOST_VALUES and by != CLASS:
        raise DataError(
            f"column {by!r} has {distinct} values, more than the {MOST_VALUES} a slice goes by; bin them first."
        )
    per_unit = text if trial.unit_of is None else _shared(text, trial)
    slices = [Slice(by, value, per_unit == value) for value in np.unique(per_unit).tolist()]
    small = [one for one in slices if one.suppressed(trial)]
    shown = [one for one in slices if not one.suppressed(trial)]
    if not small:
        return shown
    together = Slice(by, FEW, np.logical_or.reduce([one.units for one in small]), hidden=len(small))
    return [*shown, together]


def _shared(text: Array, trial: Trial) -> Array:
    unit_of = trial.unit_of if trial.unit_of is not None else np.arange(text.size)
    values, codes = np.unique(text, return_inverse=True)
    low = np.full(trial.member.size, values.size)
    high = np.full(trial.member.size, -1)
    np.minimum.at(low, unit_of, codes)
    np.maximum.at(high, unit_of, codes)
    return np.where(low == high, values[high], SEVERAL)


def by_loss_decile(loss: Floats, trial: Trial) -> list[Slice]:
    """Return ten slices of units by their loss on the target, members and not taken together; ties stay together."""
    per_unit = trial.per_unit(loss)
    decile = np.minimum((rankdata(per_unit) - 1) * 10 // per_unit.size, 9)
    return [Slice("loss decile", f"{d + 1} of 10", decile == d) for d in range(10) if (decile == d).any()]
