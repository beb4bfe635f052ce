"""Scores: one finite number per record; higher is always more member-like."""

from dataclasses import dataclass, field

import numpy as np

from unseen.errors import UndefinedScore
from unseen.signal import Floats


@dataclass(frozen=True)
class Scores:
    """What one attack says of every record, `values (records,)`; never printed."""

    attack: str
    values: Floats = field(repr=False)

    def __post_init__(self) -> None:
        if self.values.ndim != 1:
            raise UndefinedScore(f"{self.attack} must give one score a record, got shape {self.values.shape}.")
        bad = int(np.count_nonzero(~np.isfinite(self.values)))
        if bad:
            raise UndefinedScore(f"{self.attack} gave {bad} scores that are not finite, of {self.values.size}.")

    @property
    def tie_share(self) -> float:
        """Share of records whose score is shared with another record, in [0, 1]."""
        _, counts = np.unique(self.values, return_counts=True)
        return float(counts[counts > 1].sum() / max(self.values.size, 1))
