"""Nearest neighbours: exact answers with and without each record, from one search of the whole pool."""

from math import ceil
from typing import Any

import numpy as np
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, NearestNeighbors

from unseen.features.rows import take_rows
from unseen.reference import ReferenceTask
from unseen.references.free.pair import Pair, by_class, by_value, class_counts, left_with_two
from unseen.signal import Bools, Floats, Ints
from unseen.target import Answers

KINDS = (KNeighborsClassifier, KNeighborsRegressor)
SETTINGS = ("algorithm", "leaf_size", "metric", "p", "metric_params")


def refused(estimator: Any) -> str | None:
    """Name a setting under which a record is not its own nearest neighbour, at distance 0."""
    if estimator.metric == "precomputed":
        return "metric='precomputed' has no records to leave out"
    if estimator.weights not in {None, "uniform", "distance"}:
        return "weights must be uniform or distance"
    return None


class NeighboursFit:
    """With a record: itself and the k - 1 nearest others of the subset; without it: the k nearest others.

    Exact but for ties, where scikit-learn takes whichever it finds first. `shared` says that the table is the same for
    every subset: then the pool is searched once, deep enough that every subset finds its k.
    """

    def __init__(self, estimator: Any, *, shared: bool) -> None:
        self.estimator, self.shared = estimator, shared
        self._found: tuple[Floats, Ints] | None = None

    def __call__(self, table: Any, task: ReferenceTask, included: Bools, seed: int) -> Pair | None:  # noqa: ARG002
        """Return the pair of the fit on the included records."""
        k = int(self.estimator.n_neighbors)
        if included.sum() <= k or (task.classes.size and not left_with_two(class_counts(task, included))):
            return None
        distance, index = self._others(table, included, k)
        itself = np.arange(included.size)[:, None]
        with_it = np.column_stack([np.zeros(included.size), distance[:, :-1]]), np.column_stack([itself, index[:, :-1]])
        return Pair(self._answers(*with_it, task), self._answers(distance, index, task))

    def _others(self, table: Any, included: Bools, k: int) -> tuple[Floats, Ints]:
        """Return distance and place in the pool of each record's k nearest others among the included."""
        if not self.shared:
            return self._search(table, included.nonzero()[0], k)
        depth = ceil(4 * (k + 1) / included.mean())
        while True:
            if self._found is None or self._found[0].shape[1] < min(depth, included.size - 1):
                self._found = self._search(table, np.arange(included.size), depth)
            distance, index = self._found
            had = included[index]
            if (had.sum(axis=1) >= k).all():
                nearest = np.argsort(~had, axis=1, kind="stable")[:, :k]
                return np.take_along_axis(distance, nearest, axis=1), np.take_along_axis(index, nearest, axis=1)
            depth *= 2

    def _search(self, table: Any, rows: Ints, depth: int) -> tuple[Floats, Ints]:
        """Return distance and place of the `depth` nearest of `rows` to every record, itself left out."""
        settings = {name: getattr(self.estimator, name) for name in SETTINGS}
        search = NearestNeighbors(n_neighbors=min(depth + 1, rows.size), **settings).fit(take_rows(table, rows))
        distance, found = search.kneighbors(table)
        index = rows[found]
        others = index != np.arange(index.shape[0])[:, None]
        others[others.all(axis=1), -1] = False  # not found among its own copies, or not searched
        shape = (index.shape[0], index.shape[1] - 1)
        return distance[others].reshape(shape), index[others].reshape(shape)

    def _answers(self, distance: Floats, index: Ints, task: ReferenceTask) -> Answers:
        """Return the answers by neighbours at `distance` and `index (records, neighbours)`, the nearest first."""
        weight = np.ones_like(distance)
        if self.estimator.weights == "distance":
            touching = distance == 0
            with np.errstate(divide="ignore"):
                weight = np.where(touching.any(axis=1, keepdims=True), touching, 1 / distance)
        weight /= weight.sum(axis=1, keepdims=True)
        if not task.classes.size:
            return by_value((weight * task.labels.astype(np.float64)[index]).sum(axis=1))
        votes = task.label_index[index]
        shares = [(weight * (votes == label)).sum(axis=1) for label in range(task.classes.size)]
        with np.errstate(divide="ignore"):
            return by_class(np.log(np.stack(shares, axis=1)))
