"""A pipeline's steps before its estimator, fitted anew on each subset: the estimator's table is the subset's own."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from unseen.features.rows import take_rows
from unseen.reference import ReferenceTask
from unseen.signal import Bools
from unseen.targets.fitting import refitted

MOST_COLUMNS = 2000  # of a sparse table that is made dense
Steps = Sequence[tuple[str, Any]]


def taken_apart(model: Any) -> tuple[Steps, Any]:
    """Return a pipeline's steps before the last that do something, and its last; of an estimator, none and itself.

    >>> taken_apart(Pipeline([("scale", "passthrough"), ("model", 1)]))
    ([], 1)
    """
    if type(model) is not Pipeline:
        return [], model
    *steps, (_, last) = model.steps
    return [step for step in steps if step[1] not in {None, "passthrough"}], last


def learned_from_labels(steps: Steps) -> str | None:
    """Name a step that is fitted on the labels: it depends on each record's own, which no formula here undoes."""
    parts = [part for _, step in steps for part in (step, *step.get_params().values())]
    for part in parts:
        if hasattr(part, "fit") and hasattr(part, "get_params") and get_tags(part).target_tags.required:
            return f"{type(part).__name__} in its pipeline learns from the labels"
    return None


def table_of(steps: Steps, task: ReferenceTask, included: Bools, seed: int) -> Any:
    """Return all records as the estimator sees them, `(records, columns)`; steps are fitted on the included ones.

    What the steps themselves learned of a record stays in its outside answer: for scalers and encoders of hundreds of
    records it is little; it is not nothing.
    """
    table = task.features
    if steps:
        rows = included.nonzero()[0]
        fitted = refitted(Pipeline(list(steps)), take_rows(table, rows), task.labels[rows], seed)
        table = fitted.transform(table)
    return table


def dense(table: Any) -> Any:
    """Return `table` as float64 `(records, columns)`; None where it is sparse and too wide."""
    if sparse.issparse(table):
        return table.toarray().astype(np.float64) if table.shape[1] <= MOST_COLUMNS else None
    return np.asarray(table, dtype=np.float64)
