"""Each attack's estimate of one quantity, with its interval."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from unseen.displays.axes import MEMBER, OTHER, axes
from unseen.errors import DataError
from unseen.estimate import Estimate

NULL = {"auc": 0.5, "advantage": 0.0}


@dataclass
class IntervalsDisplay:
    """Estimates of one quantity, one a row, and the value that a leak-free model has."""

    estimates: Sequence[Estimate]
    ax_: Any = field(default=None, init=False)
    figure_: Any = field(default=None, init=False)

    @classmethod
    def from_estimates(
        cls, estimates: Iterable[Estimate], quantity: str = "auc", fpr: float | None = None
    ) -> "IntervalsDisplay":
        """Return the display of the whole-table estimates of `quantity` (for "tpr", at `fpr`)."""
        chosen = [one for one in estimates if one.quantity == quantity and one.fpr == fpr and not one.slice]
        if not chosen:
            raise DataError(f"there is no estimate of {quantity} at FPR {fpr}.")
        return cls(chosen)

    def plot(self, ax: Any = None) -> "IntervalsDisplay":
        """Draw on `ax`, or on new axes."""
        first, rows = self.estimates[0], range(len(self.estimates))
        self.ax_ = axes(ax, 5.5, 0.9 + 0.26 * len(self.estimates))
        self.figure_ = self.ax_.figure
        values = [one.value for one in self.estimates]
        reach = [[one.value - one.low for one in self.estimates], [one.high - one.value for one in self.estimates]]
        self.ax_.errorbar(values, rows, xerr=reach, fmt="o", color=MEMBER, markersize=4, capsize=2)
        null = NULL.get(first.quantity, first.fpr)
        if null is not None:
            self.ax_.axvline(null, color=OTHER, linewidth=0.8, linestyle=":")
        self.ax_.set_yticks(list(rows), [one.attack for one in self.estimates], fontsize="small")
        self.ax_.invert_yaxis()
        at = "" if first.fpr is None else f" at FPR {first.fpr:g}"
        self.ax_.set(xlabel=f"{first.quantity.upper()}{at}, {first.confidence:.0%} interval; dotted: no leak")
        return self
