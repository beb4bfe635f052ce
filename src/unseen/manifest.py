"""Manifest: what the model was really trained on, as a list of ids or of content digests."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from unseen.disk import write_whole
from unseen.errors import DataError, FolderError, did_you_mean
from unseen.features.digest import row_digests
from unseen.features.files import TABLES, present, read_table
from unseen.features.rows import column_names
from unseen.records import Records
from unseen.signal import Array

HEADER = "# unseen content digests 1"  # the first line of a hash list
COLUMNS = "# columns: "  # how the second begins, where the table has names


@dataclass(frozen=True)
class Manifest:
    """The training set by `ids (records,)`, by `digests (records,)` of its rows (see `hash_list`), or by both.

    Ids are texts or whole numbers, in any collection; never printed. `columns` names the features that the digests were
    made of, where they have names. A record is listed where everything that is given
    lists it. Raises `DataError` where neither is given, or something else is.
    """

    ids: Any = field(default=None, repr=False)
    digests: Any = field(default=None, repr=False)
    columns: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if self.ids is None and self.digests is None:
            raise DataError("a manifest needs ids, or content digests.")
        for name, kinds, meant in (("ids", "OUSiu", "texts or whole numbers"), ("digests", "u", "64-bit digests")):
            if (given := getattr(self, name)) is None:
                continue
            values = np.asarray(given if hasattr(given, "dtype") else list(given))
            if values.ndim != 1 or values.dtype.kind not in kinds or values.size == 0:
                raise DataError(f"a manifest's {name} must be {meant}, and some, got {values.size} of {values.dtype}.")
            object.__setattr__(self, name, values.astype(str) if name == "ids" else values.astype(np.uint64))

    def count(self, members: Records, non_members: Records) -> dict[str, int]:
        """Return how many records of either side there are, and how many of them the manifest lists."""
        counts = {}
        for name, part in (("members", members), ("non_members", non_members)):
            counts[name] = len(part)
            counts[f"{name}_listed"] = int(self._listed(part).sum())
        return counts

    def _listed(self, part: Records) -> Array:
        listed = np.ones(len(part), dtype=bool)
        if self.digests is not None:
            self._check_columns(part)
            listed &= np.isin(row_digests(_by_name(part.features), part.labels), self.digests)
        if self.ids is not None:
            if part.ids is None:
                raise DataError("a manifest of ids needs records with ids.")
            listed &= np.isin(part.ids.astype(str), self.ids)
        return listed

    def _check_columns(self, part: Records) -> None:
        names = column_names(part.features)
        if not self.columns or names is None or sorted(names) == sorted(self.columns):
            return
        more, fewer = sorted({*self.columns} - {*names}), sorted({*names} - {*self.columns})
        raise DataError(
            "the hash list was made of other columns than the audited table has: "
            f"only in the list {more[:5]}, only in the table {fewer[:5]}; make it anew with the right --drop."
        )


def _by_name(features: Any) -> Any:
    """Return a table with its columns in the order of their names, where it has names."""
    names = column_names(features)
    return features if names is None or names == sorted(names) else features[sorted(names)]


def hash_list(features: Any, labels: Array) -> str:
    """Return a hash list of the rows, a text: one 64-bit digest a line, in order of the digests.

    Equal rows have equal digests, in whatever kind of table and order of rows and named columns they stand; a number
    that was rounded (to float32, say) is another number. Whoever has the list and a row can
    tell whether the row is in it: keep it as you keep the training data.
    """
    digests = np.sort(row_digests(_by_name(features), labels))
    names = column_names(features)
    told = [] if names is None else [f"{COLUMNS}{json.dumps(sorted(names))}"]
    return "\n".join([HEADER, *told, *(f"{digest:016x}" for digest in digests.tolist()), ""])


def write_hash_list(path: Path, label: str, drop: Sequence[str], out: Path) -> int:
    """Write the hash list of a table's rows to `out`, which must not exist, and return the number of rows.

    `drop` names the columns that are no features: what the plan calls id, group and drop.
    """
    table = read_table(path, "manifest")
    for name in (label, *drop):
        if name not in table.columns:
            raise DataError(f"manifest: {path.name} has no column {name!r}{did_you_mean(name, table.columns) or '.'}")
    if out.exists():
        raise FolderError(f"{out} exists and is not overwritten; name another file with --out.")
    write_whole(out, hash_list(table.drop(label, *drop), table[label].to_numpy()).encode())
    return table.height


def read_manifest(path: Path, id_column: str | None) -> Manifest:
    """Return the manifest in a file: a hash list, a table with the id column (or only one), or ids, one a line."""
    if path.name.lower().endswith(TABLES):
        table = read_table(path, "data.manifest")
        name = id_column if id_column in table.columns else table.columns[0] if table.width == 1 else None
        if name is None:
            near = did_you_mean(id_column or "id", table.columns) or "."
            raise DataError(f"data.manifest: {path.name} has no id column {id_column!r}{near}")
        return Manifest(ids=table[name].cast(pl.String).to_numpy().astype(str))
    present(path, "data.manifest")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"data.manifest: {path.name} could not be read as text ({type(error).__name__}).") from None
    if lines and lines[0] == HEADER:
        return _hash_list(lines[1:], path.name)
    return Manifest(ids=np.array([line for line in lines if line]))


def _hash_list(lines: Sequence[str], name: str) -> Manifest:
    named = bool(lines) and lines[0].startswith(COLUMNS)
    try:
        columns = tuple(map(str, json.loads(lines[0].removeprefix(COLUMNS)))) if named else ()
        digests = np.array([int(line, 16) for line in lines[named:] if line], dtype=np.uint64)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise DataError(f"data.manifest: {name} is a hash list with a line that is no 64-bit digest.") from None
    return Manifest(digests=digests, columns=columns)
