"""Pairing: which units of two runs are compared, and whether unit by unit."""

import re
from dataclasses import dataclass, field
from functools import partial

import polars as pl

from unseen.saved import SavedRun

FEWEST_COMPARED = 10  # units a side
NUMBERED = re.compile(r"\w+\[\d+\]")  # an id that an audit made up of a record's place in its table


@dataclass(frozen=True)
class Paired:
    """The units to compare: two tables, row by row the same units where `paired`, and a sentence that says so."""

    older: pl.DataFrame = field(repr=False)
    newer: pl.DataFrame = field(repr=False)
    paired: bool
    pairing: str

    @property
    def fewest(self) -> int:
        """The size of the smallest side of either table."""
        sides = [int((table["member"] == side).sum()) for table in (self.older, self.newer) for side in (True, False)]
        return min(sides)


def pair(before: SavedRun, after: SavedRun) -> Paired:
    """Return the units that both runs hold, in one order; else all units of each."""
    apart = partial(Paired, before.units, after.units, paired=False)
    same_data = before.report.provenance.data_digest == after.report.provenance.data_digest
    if not same_data and _numbered(before.units) and _numbered(after.units):
        return apart(pairing="unpaired, as neither run names its records by ids, and their data differ")
    keys = ["id", "member"]
    older = before.units.join(after.units.select(keys), on=keys, how="semi").sort("id")
    newer = after.units.join(before.units.select(keys), on=keys, how="semi").sort("id")
    common, most = older.height, max(before.units.height, after.units.height)
    what = f"{after.report.unit}s"
    if common == most:
        return Paired(older, newer, paired=True, pairing=f"paired, the same {common} {what} in both runs")
    found = Paired(
        older,
        newer,
        paired=True,
        pairing=f"paired over {common} {what} that both runs hold; left out of the older run: "
        f"{before.units.height - common}, of the newer: {after.units.height - common}",
    )
    if found.fewest >= FEWEST_COMPARED:
        return found
    return apart(pairing=f"unpaired, as only {common} {what} have the same id and side in both runs")


def _numbered(units: pl.DataFrame) -> bool:
    return all(NUMBERED.fullmatch(one) for one in units["id"])
