"""Some units: a gate looks at enough of them, not at all."""

import numpy as np

from unseen.case import Case
from unseen.signal import Ints

MOST = 10_000  # units a side: a shift of 0.51 in AUC is found 9 times of 10
MOST_NUMBERS = 30_000_000  # in the table that is looked at: 240 MB
FEWEST = 500  # units a side, whatever they take
STREAM = 0x6A7E


def some_units(case: Case, seed: int, columns: int = 1) -> tuple[Ints, Ints]:
    """Return up to 10,000 units of each side, drawn by the seed, in order, and the rows of their records.

    Fewer where their records, with so many columns, would hold over thirty million numbers.
    """
    rng = np.random.default_rng([seed, STREAM])
    records = 1.0 if case.trial.unit_of is None else case.trial.unit_of.size / case.member.size
    most = int(np.clip(MOST_NUMBERS / (2 * columns * records), FEWEST, MOST))
    sides = [np.flatnonzero(case.member == side) for side in (True, False)]
    units = np.sort(np.concatenate([rng.permutation(side)[:most] for side in sides]))
    if case.trial.unit_of is None:
        return units, units
    return units, np.flatnonzero(np.isin(case.trial.unit_of, units))
