"""Saved runs: the report and the table of units that an audit left behind, read back and held against each other."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from unseen.errors import FolderError
from unseen.report import Report
from unseen.runs import RECORDS, REPORT, read_run
from unseen.stats.intervals import delong_variance

SAME = 1e-9  # how near an AUC computed again from the table must come to the report's


@dataclass(frozen=True)
class SavedRun:
    """A finished run: its report, and one row a unit with id, member and each attack's score."""

    report: Report
    units: pl.DataFrame = field(repr=False)


def read_saved(folder: str | Path) -> SavedRun:
    """Return the run in a folder, or beside a report; raises `FolderError` where something is missing or damaged."""
    folder = Path(folder)
    if folder.name == REPORT:
        folder = folder.parent
    report = read_run(folder)
    return SavedRun(report, checked_units(read_units(folder / RECORDS), report, str(folder)))


def read_units(path: Path) -> pl.DataFrame:
    """Return a run's table of units; raises `FolderError` in one sentence."""
    try:
        return pl.read_parquet(path.read_bytes())
    except FileNotFoundError:
        raise FolderError(f"there is no table {path}; a run folder holds one beside its report.") from None
    except OSError as error:
        raise FolderError(f"{path} could not be read: {error.strerror or type(error).__name__}.") from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        raise FolderError(f"{path} is no Parquet file, or is damaged; audit again.") from None


def checked_units(units: pl.DataFrame, report: Report, where: str) -> pl.DataFrame:
    """Return the table where it belongs to the report: columns, counts, and each attack's AUC computed again."""
    names = [one.name for one in report.attacks if one.estimates]
    wanted = {"id": pl.String, "member": pl.Boolean} | {f"{name} score": pl.Float64 for name in names}
    kinds = {name: units.schema.get(name) for name in wanted}
    if bad := [name for name, kind in wanted.items() if kinds[name] != kind or units[name].null_count()]:
        raise FolderError(f"{where}: {RECORDS} does not belong to {REPORT} (column {bad[0]!r}); audit again.")
    members = int(units["member"].sum())
    if (members, units.height - members) != (report.members, report.non_members) or units["id"].is_duplicated().any():
        raise FolderError(f"{where}: {RECORDS} does not belong to {REPORT} (units differ); audit again.")
    member = units["member"].to_numpy()
    for one in report.attacks:
        told = [estimate.value for estimate in one.estimates if estimate.quantity == "auc"]
        scores = units[f"{one.name} score"].to_numpy() if told else np.zeros(0)
        if told and not (np.isfinite(scores).all() and abs(delong_variance(scores, member)[0] - told[0]) <= SAME):
            raise FolderError(f"{where}: {RECORDS} does not belong to {REPORT} (AUC of {one.name!r}); audit again.")
    return units
