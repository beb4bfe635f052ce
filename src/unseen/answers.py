"""A table of answers: any form of it, as arrays by name."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from unseen.errors import DataError
from unseen.features.files import read_arrays, read_table
from unseen.features.rows import is_pandas
from unseen.signal import Array

PER_CLASS = ("probability", "logit")
PER_RECORD = ("loss", "margin", "score")
ANSWERS = (*PER_CLASS, *PER_RECORD)
ALL_KEYS = (*ANSWERS, "ref_probability", "ref_logit", "ref_loss", "ref_margin", "ref_member")


def read_answers(path: Path) -> dict[str, Array]:
    """Return the arrays in a Parquet, CSV or NPZ file of answers."""
    if path.suffix.lower() == ".npz":
        return read_arrays(path, "answers")
    return _columns(read_table(path, "answers"))


def as_arrays(answers: Any) -> dict[str, Array]:
    """Return any form of answers as arrays by name, numbered columns gathered into one array."""
    if isinstance(answers, str | Path):
        return read_answers(Path(answers))
    if isinstance(answers, pl.DataFrame):
        return _columns(answers)
    if is_pandas(answers):
        return _gathered({str(name): np.asarray(answers[name]) for name in answers.columns})
    if isinstance(answers, Mapping):
        return _gathered({str(name): np.asarray(values) for name, values in answers.items()})
    raise DataError(f"answers must be a path, a frame or a mapping of arrays, got {type(answers).__name__}.")


def _columns(table: pl.DataFrame) -> dict[str, Array]:
    return _gathered({name: table[name].to_numpy() for name in table.columns})


def _gathered(columns: Mapping[str, Array]) -> dict[str, Array]:
    if bad := sorted(name for name, values in columns.items() if values.ndim == 0):
        raise DataError(f"answers must be one a record; single values: {bad[:3]}.")
    arrays: dict[str, Array] = {}
    numbered: dict[str, dict[int, Array]] = {}
    for name, values in columns.items():
        found = re.fullmatch(rf"({'|'.join(ALL_KEYS)})_(\d+)", name)
        if found:
            numbered.setdefault(found.group(1), {})[int(found.group(2))] = values
        else:
            arrays[name] = values
    for name, parts in numbered.items():
        if sorted(parts) != list(range(len(parts))):
            raise DataError(
                f"the columns {name}_0, {name}_1, ... must be numbered without gaps, got {sorted(parts)[:5]}."
            )
        if len({part.shape for part in parts.values()}) > 1:
            raise DataError(f"the columns {name}_0, {name}_1, ... must have one length.")
        stacked = np.stack([parts[k] for k in range(len(parts))])
        arrays[name] = stacked if name.startswith("ref_") else stacked.T
    return arrays
