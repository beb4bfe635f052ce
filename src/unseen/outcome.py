"""Outcome: what an audit returned, the report and the scores it rests on."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from unseen.disk import write_whole
from unseen.displays import IntervalsDisplay, RecordsDisplay, RocDisplay
from unseen.errors import PlanError, did_you_mean
from unseen.estimate import Estimate
from unseen.renderers.html import summary_html
from unseen.renderers.terminal import verdict
from unseen.report import Report, to_json
from unseen.runs import RECORDS, REPORT, claim
from unseen.signal import Floats
from unseen.trial import Trial


@dataclass(frozen=True)
class Outcome:
    """A finished audit: `report` is the value to print and keep; `records` the table of units, for its owner alone.

    `reused` references were kept from an earlier run of the same, those of `damaged` files were trained again; neither
    changes the report.
    """

    report: Report
    trial: Trial = field(repr=False)
    _scores: Mapping[str, Floats] = field(repr=False)
    _p_values: Mapping[str, Floats] = field(repr=False)
    reused: int = field(default=0, repr=False)
    damaged: Sequence[str] = field(default=(), repr=False)

    @property
    def state(self) -> str:
        """`leak`, `no_leak_found`, `inconclusive`, `not_applicable` or `failed`."""
        return self.report.state

    @property
    def estimates(self) -> tuple[Estimate, ...]:
        """Every estimate of every attack, then of every slice."""
        attacks = (one for attack in self.report.attacks for one in attack.estimates)
        slices = (one for cell in self.report.slices for one in cell.estimates)
        return (*attacks, *slices)

    @property
    def records(self) -> pl.DataFrame:
        """One row a unit, the most exposed first: id, member, and by attack its score, exact p-value and flag."""
        columns: dict[str, Any] = {"id": self.trial.ids.astype(str), "member": self.trial.member}
        for name, scores in self._scores.items():
            columns[f"{name} score"] = scores
            columns[f"{name} p"] = self._p_values[name]
            columns[f"{name} flagged"] = self._p_values[name] <= self.report.policy.flag_fpr
        table = pl.DataFrame(columns)
        if not self.report.recommended:
            return table.sort("id")
        return table.sort([f"{self.report.recommended} score", "id"], descending=[True, False])

    def scores(self, attack: str | None = None) -> Floats:
        """Return the scores `(units,)` of an attack, of the recommended one by default, in the order of `trial.ids`."""
        name = attack or self.report.recommended
        if name not in self._scores:
            raise PlanError(f"attack {name!r} gave no scores in this audit{did_you_mean(name, self._scores) or '.'}")
        return self._scores[name]

    def save(self, folder: str | Path) -> Path:
        """Write `report.json` and `records.parquet` to `folder`, each whole, readable by their owner alone.

        Raises `FolderError` where `folder` holds another run, or files that are not a run.
        """
        target, origin = Path(folder), self.report.provenance
        claim(target, origin.data_digest, origin.model_digest, origin.seed)
        buffer = io.BytesIO()
        self.records.write_parquet(buffer)
        write_whole(target / RECORDS, buffer.getvalue())
        write_whole(target / REPORT, to_json(self.report))
        return target

    def plot_roc(self, ax: Any = None, attacks: list[str] | None = None) -> RocDisplay:
        """Draw the ROC curves of some attacks on logarithmic axes; returns a display with `ax_` and `figure_`."""
        names = attacks or [self.report.recommended]
        curves = {name: (self.scores(name), self.trial.member) for name in names}
        return RocDisplay.from_scores(curves).plot(ax)

    def plot_intervals(self, ax: Any = None, quantity: str = "auc", fpr: float | None = None) -> IntervalsDisplay:
        """Draw each attack's estimate of one quantity with its interval; returns a display."""
        return IntervalsDisplay.from_estimates(self.estimates, quantity, fpr).plot(ax)

    def plot_records(self, ax: Any = None, attack: str | None = None) -> RecordsDisplay:
        """Draw how members' and non-members' scores are distributed; returns a display."""
        return RecordsDisplay.from_scores(self.scores(attack), self.trial.member).plot(ax)

    def __str__(self) -> str:
        return verdict(self.report)

    def __repr__(self) -> str:
        return f"Outcome({self.state}, {self.report.members} + {self.report.non_members} {self.report.unit}s)"

    def _repr_html_(self) -> str:
        return summary_html(self.report)
