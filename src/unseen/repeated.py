"""Repeated: what the audit of a training procedure returned, the report and the units it rests on."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from unseen.disk import write_whole
from unseen.procedure import Procedure, procedure_json
from unseen.runs import PROCEDURE, RECORDS, claim
from unseen.signal import Array, Ints


@dataclass(frozen=True)
class Repeated:
    """A finished audit of a procedure: `report` to print and keep; `records` the table of units, for its owner alone.

    Per unit: by how many targets it was trained on, how many of those flag it, and how many of the others do.
    """

    report: Procedure
    ids: Array = field(repr=False)
    _trained: Ints = field(repr=False)
    _flagged: Ints = field(repr=False)
    _false: Ints = field(repr=False)
    reused: int = field(default=0, repr=False)
    damaged: Sequence[str] = field(default=(), repr=False)

    @property
    def state(self) -> str:
        """`leak`, `no_leak_found`, `inconclusive` or `failed`."""
        return self.report.state

    @property
    def records(self) -> pl.DataFrame:
        """One row a unit, the most often flagged first: id, targets trained on it, flags of those, of the others."""
        columns = {
            "id": self.ids.astype(str),
            "targets trained on it": self._trained,
            "flagged by those": self._flagged,
            "flagged by others": self._false,
        }
        return pl.DataFrame(columns).sort(["flagged by those", "id"], descending=[True, False])

    def save(self, folder: str | Path) -> Path:
        """Write `procedure.json` and `records.parquet` to `folder`, each whole, readable by their owner alone."""
        target, origin = Path(folder), self.report.provenance
        claim(target, origin.data_digest, origin.model_digest, origin.seed)
        buffer = io.BytesIO()
        self.records.write_parquet(buffer)
        write_whole(target / RECORDS, buffer.getvalue())
        write_whole(target / PROCEDURE, procedure_json(self.report))
        return target

    def __repr__(self) -> str:
        return f"Repeated({self.state}, {self.report.targets} targets, {self.report.units} {self.report.unit}s)"
