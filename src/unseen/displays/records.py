"""How one attack's scores are distributed over members and non-members; no single record can be read off."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unseen.displays.axes import MEMBER, NON_MEMBER, axes
from unseen.signal import Bools, Floats

BINS = 40


@dataclass
class RecordsDisplay:
    """Histograms of scores `(units,)` by membership, on common bins."""

    scores: Floats = field(repr=False)
    member: Bools = field(repr=False)
    ax_: Any = field(default=None, init=False)
    figure_: Any = field(default=None, init=False)

    @classmethod
    def from_scores(cls, scores: Floats, member: Bools) -> "RecordsDisplay":
        """Return the display of one attack's scores."""
        return cls(scores, member)

    def plot(self, ax: Any = None) -> "RecordsDisplay":
        """Draw on `ax`, or on new axes."""
        self.ax_ = axes(ax)
        self.figure_ = self.ax_.figure
        low, high = np.quantile(self.scores, [0.005, 0.995])
        edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
        shown = np.clip(self.scores, edges[0], edges[-1])
        for chosen, colour, name in ((self.member, MEMBER, "members"), (~self.member, NON_MEMBER, "non-members")):
            self.ax_.hist(shown[chosen], edges, density=True, histtype="step", color=colour, label=name)
        self.ax_.set(xlabel="score, higher is more member-like (ends gathered)", ylabel="density")
        self.ax_.legend(fontsize="small")
        return self
