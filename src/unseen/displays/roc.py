"""The ROC curve on logarithmic axes, where the records that are surely exposed can be seen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import betabinom

from unseen.displays.axes import OTHER, axes
from unseen.signal import Bools, Floats
from unseen.stats.roc import Curve, curve


@dataclass
class RocDisplay:
    """ROC curves by attack, with the band in which a leak-free model's curve lies at each rate 95 times of 100."""

    curves: Mapping[str, Curve]
    members: int
    non_members: int
    ax_: Any = field(default=None, init=False)
    figure_: Any = field(default=None, init=False)

    @classmethod
    def from_scores(cls, scores: Mapping[str, tuple[Floats, Bools]]) -> "RocDisplay":
        """Return the display of `scores`: for each attack its scores and the membership, `(units,)` each."""
        member = next(iter(scores.values()))[1]
        curves = {name: curve(*pair) for name, pair in scores.items()}
        return cls(curves, int(member.sum()), int((~member).sum()))

    def null_band(self) -> tuple[Floats, Floats, Floats]:
        """Return `fpr`, and the 2.5 % and 97.5 % points of the TPR there if nothing leaks (exact, beta-binomial)."""
        allowed = (
            np.unique(np.geomspace(1, self.non_members - 1, 60).astype(int)) if self.non_members > 2 else np.array([1])
        )
        law = betabinom(self.members, allowed + 1, self.non_members - allowed)
        return allowed / self.non_members, law.ppf(0.025) / self.members, law.ppf(0.975) / self.members

    def plot(self, ax: Any = None) -> "RocDisplay":
        """Draw on `ax`, or on new axes."""
        self.ax_ = axes(ax)
        self.figure_ = self.ax_.figure
        floor = 0.5 / max(self.members, self.non_members)
        fpr, low, high = self.null_band()
        self.ax_.fill_between(
            fpr, np.maximum(low, floor), np.maximum(high, floor), color="#cccccc", label="no leak, 95 %"
        )
        self.ax_.plot([floor, 1], [floor, 1], color=OTHER, linewidth=0.8, linestyle=":")
        for name, steps in self.curves.items():
            self.ax_.step(np.maximum(steps.fpr, floor), np.maximum(steps.tpr, floor), where="post", label=name)
        self.ax_.set(xscale="log", yscale="log", xlim=(floor, 1), ylim=(floor, 1))
        self.ax_.set(xlabel="false-positive rate", ylabel="true-positive rate", title="Members recognised")
        self.ax_.legend(loc="lower right", fontsize="small")
        return self
