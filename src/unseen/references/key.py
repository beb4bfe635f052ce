"""The key that references are kept under: a digest of everything that what they answer depends on."""

import json
import platform
import sys
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
from scipy import sparse

from unseen.features.rows import column_names, is_missing, is_pandas, table_columns
from unseen.provenance import versions
from unseen.reference import ReferenceTask
from unseen.signal import Array, Ints

LAYOUT = 3  # of the key and of the files under it; another one shares nothing with this
OPTIONAL = ("torch", "xgboost", "lightgbm", "catboost", "pandas")  # count where a program has loaded them
OWN_PRECISION = "the recipe's own"  # of an engine that trains by `refit` alone
ROWS = 4096  # of a table, digested at a time


def reference_key(  # noqa: PLR0913 - each of them makes another key
    *,
    data: str,
    classes: str,
    recipe: str,
    seed: int,
    inclusion_rate: float,
    coins: str,
    scale: float | None,
    precision: str,
    libraries: Mapping[str, str],
) -> str:
    """Return a digest of its arguments, 32 hexadecimal digits: two runs with the same key have the same references.

    `data` is `data_digest` of the pool, `classes` an `array_digest`, `recipe` the recipe's fingerprint, `coins` a
    digest of the first reference's, `scale` the unit of residuals in a regression, `precision` what the engine
    calculates in, or what else its answers depend on, `libraries` their versions. How many references there are is not
    part of it, nor which of the engines that retrain, nor anything of who is a member.

    >>> given = dict(data="a", classes="b", recipe="c", seed=0, inclusion_rate=0.5, coins="e", scale=None)
    >>> given = given | dict(precision="d")
    >>> reference_key(**given, libraries={}) == reference_key(**given | {"seed": 1}, libraries={})
    False
    """
    parts = {
        "layout": LAYOUT,
        "data": data,
        "classes": classes,
        "recipe": recipe,
        "seed": int(seed),
        "inclusion_rate": float(inclusion_rate),
        "coins": coins,
        "scale": None if scale is None else float(scale),
        "precision": precision,
        "libraries": dict(libraries),
    }
    return blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).hexdigest()


def task_key(
    task: ReferenceTask, unit_of: Ints, seed: int, inclusion_rate: float, engine: object, fingerprint: str
) -> str:
    """Return the key of the references of `task`, whose coins were drawn for the units of `unit_of (records,)`.

    `fingerprint` is the recipe's, taken before anything was trained: a recipe may write to a global that it names.
    """
    precision = derivation(engine, task) or getattr(engine, "precision", None)
    return reference_key(
        data=data_digest(task.features, task.labels, unit_of),
        classes=array_digest(task.classes),
        recipe=fingerprint,
        seed=seed,
        inclusion_rate=inclusion_rate,
        coins=array_digest(task.inclusion[:1]),
        scale=task.scale,
        precision=OWN_PRECISION if precision is None else str(precision),
        libraries=libraries(),
    )


def derivation(engine: object, task: ReferenceTask) -> str | None:
    """Say how an engine derives the references of `task` where they are no models of their own; None where they are."""
    of_task: Any = getattr(engine, "derivation", None)
    return None if of_task is None else of_task(task)


def libraries() -> dict[str, str]:
    """Return the versions that numbers depend on: those of every report, of optional libraries if loaded, and the CPU.

    The kind of processor is one of them: matrix products differ in their last digits between kinds.
    """
    loaded = {name: str(getattr(sys.modules[name], "__version__", "")) for name in OPTIONAL if name in sys.modules}
    return versions() | loaded | {"machine": platform.machine()}


def data_digest(features: Any, labels: Array, unit_of: Ints) -> str:
    """Return a digest of every byte that a training may see: values, types, shapes and names of columns, and labels.

    Finer than the digests that tell records apart: 1 and 1.0, or one column under two names, are two tables here.
    """
    total = blake2b(digest_size=16)
    for part in _of_table(features):
        total.update(part)
    for array in (labels, unit_of):
        for part in _of_array(array):
            total.update(part)
    return total.hexdigest()


def array_digest(array: Array) -> str:
    """Return a digest of an array's type, shape and values."""
    total = blake2b(digest_size=16)
    for part in _of_array(array):
        total.update(part)
    return total.hexdigest()


def _of_table(table: Any) -> Iterator[bytes]:
    yield _said(f"{type(table).__module__}.{type(table).__qualname__}", tuple(table.shape))
    if sparse.issparse(table):
        matrix = table.tocsr()
        for array in (matrix.data, matrix.indices, matrix.indptr):
            yield from _of_array(array)
    elif column_names(table) is None:
        yield from _of_array(np.asarray(table))
    else:
        kinds = list(table.dtypes)
        for name, kind, values in zip(column_names(table) or [], kinds, table_columns(table), strict=True):
            categories = getattr(kind, "categories", None)
            yield _said(name, str(kind), [] if categories is None else list(map(str, categories)))
            yield from _of_array(values)
        if is_pandas(table):
            yield _said(list(map(str, table.columns.names)))


def _of_array(array: Array) -> Iterator[bytes]:
    yield _said(array.dtype.str, array.shape)
    if array.dtype.hasobject:
        for value in array.ravel().tolist():
            yield _said("missing") if is_missing(value) else _said(type(value).__qualname__, str(value))
        return
    for start in range(0, len(array), ROWS):
        yield np.ascontiguousarray(array[start : start + ROWS]).tobytes()


def _said(*facts: object) -> bytes:
    """Return facts as text that cannot be mistaken for others': quoted, and ended."""
    return (json.dumps([repr(fact) for fact in facts]) + "\n").encode()
