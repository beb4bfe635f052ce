"""Linear discriminant analysis: exact answers with and without each record, by rank-one changes of the scatter."""

from functools import cache
from typing import Any

import numpy as np
from scipy.linalg import cholesky, eigvalsh, solve_triangular
from scipy.special import log_softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from unseen.reference import ReferenceTask
from unseen.references.free.pair import Pair, by_class, class_counts, left_with_two
from unseen.references.free.pipeline import MOST_COLUMNS, dense
from unseen.signal import Bools, Floats

KINDS = (LinearDiscriminantAnalysis,)
LEAST = 1e-6  # of a column's own variance that the others must not explain: below, scikit-learn may drop directions


def refused(estimator: Any) -> str | None:
    """Name a setting whose covariance is no multiple of the pooled scatter."""
    for name in ("shrinkage", "covariance_estimator", "priors"):
        if getattr(estimator, name) is not None:
            return f"{name} makes the covariance more than a scatter"
    return None


class DiscriminantFit:
    """Distances in the pooled within-class scatter W; a record d from its class's mean changes W by a dd'.

    a = n / (n + 1) where it is added to n others, -n / (n - 1) where it is taken from n; W's inverse follows by
    Sherman and Morrison, and of the means only its own moves. Exact; None where W, or W without some record, is
    singular.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def __call__(self, table: Any, task: ReferenceTask, included: Bools, seed: int) -> Pair | None:  # noqa: ARG002
        """Return the pair of the fit on the included records."""
        X, counts = dense(table), class_counts(task, included)
        if X is None or X.shape[1] > MOST_COLUMNS or not left_with_two(counts):
            return None
        own, rows = task.label_index, np.arange(task.label_index.size)
        of_class = (own[included] == np.arange(counts.size)[:, None]).astype(np.float64)
        means = of_class @ X[included] / np.maximum(counts, 1)[:, None]
        factor = _factor(X[included] - means[own[included]])
        if factor is None:
            return None
        Z, M = (solve_triangular(factor, part.T, lower=True).T for part in (X, means))
        squared = np.stack([((Z - mean) ** 2).sum(axis=1) for mean in M], axis=1)
        near = squared[rows, own]
        between = np.stack([((M - mean) ** 2).sum(axis=1) for mean in M])
        cross = (squared + near[:, None] - between[own]) / 2

        step = np.where(included, -1, 1)
        after = counts[own] + step
        shrink = np.divide(counts[own], after, out=np.zeros(own.size), where=(after > 0) & (counts[own] > 0))
        change = step * shrink
        kept = 1 + change * near
        if kept.min() < LEAST:
            return None
        changed = squared - (change / kept)[:, None] * cross**2
        changed[rows, own] = shrink**2 * near / kept
        as_fitted = self._log_probs(squared, np.tile(counts, (own.size, 1)))
        present = np.tile(counts, (own.size, 1))
        present[rows, own] = after
        other = self._log_probs(changed, present)
        had = included[:, None]
        return Pair(by_class(np.where(had, as_fitted, other)), by_class(np.where(had, other, as_fitted)))

    def _log_probs(self, squared: Floats, present: Any) -> Floats:
        """Return the classes' log probabilities by distances `squared` and counts `present`, `(records, classes)`."""
        total = present.sum(axis=1, keepdims=True)
        freedom = total
        if self.estimator.solver == "svd" and _svd_loses_a_class():
            freedom = total - (present > 0).sum(axis=1, keepdims=True)
        with np.errstate(divide="ignore"):
            scores = np.log(present / total) - freedom * squared / 2
        return np.asarray(log_softmax(scores, axis=1))


def _factor(centred: Floats) -> Floats | None:
    """Return the lower Cholesky factor of the scatter of `centred (records, columns)`; None where it is singular."""
    scatter = centred.T @ centred
    size = np.sqrt(np.diag(scatter))
    if not (size > 0).all() or eigvalsh(scatter / np.outer(size, size), subset_by_index=[0, 0])[0] < LEAST:
        return None
    return np.asarray(cholesky(scatter, lower=True))


@cache
def _svd_loses_a_class() -> bool:
    """Say whether this scikit-learn's solver "svd" divides the scatter by records less classes, or by records."""
    probe = LinearDiscriminantAnalysis().fit(np.array([[-1.0], [1.0], [3.0], [5.0]]), np.array([0, 0, 1, 1]))
    return bool(probe.coef_[0, 0] < 3)  # 4 over a variance of 4 / 2, against 4 over 4 / 4
