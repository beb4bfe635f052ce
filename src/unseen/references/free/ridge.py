"""Ridge, as a regressor or a classifier: exact answers with and without each record, from one factorisation."""

from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from sklearn.linear_model import Ridge, RidgeClassifier

from unseen.reference import ReferenceTask
from unseen.references.free.pair import (
    Pair,
    by_score,
    by_value,
    class_counts,
    class_weights,
    left_with_two,
    without_balance,
)
from unseen.references.free.pipeline import MOST_COLUMNS, dense
from unseen.signal import Bools, Floats

KINDS = (Ridge, RidgeClassifier)
SOLVERS = {"auto", "svd", "cholesky", "lsqr", "sparse_cg"}


def refused(estimator: Any) -> str | None:
    """Name a setting under which the fit is not the plain minimum of squares and penalty."""
    if estimator.positive:
        return "positive=True has no closed form"
    if estimator.solver not in SOLVERS:
        return f"solver={estimator.solver!r} stops on its way"
    if np.ndim(estimator.alpha) != 0 or estimator.alpha <= 0:
        return "alpha must be one number above 0"
    return without_balance(estimator)


class RidgeFit:
    """Leave-one-out by the leverages h = w z'A^-1 z of one fit: y - (y - f) / (1 - h); and one in by 1 + h.

    Allen 1974, doi:10.1080/00401706.1974.10489157, by the formula of Sherman and Morrison; exact, the intercept's
    own change included.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def __call__(self, table: Any, task: ReferenceTask, included: Bools, seed: int) -> Pair | None:  # noqa: ARG002
        """Return the pair of the fit on the included records."""
        X = dense(table)
        if X is None or X.shape[1] > MOST_COLUMNS:
            return None
        counts = class_counts(task, included) if task.classes.size else None
        if counts is not None and not left_with_two(counts):
            return None
        Y = _aims(task)
        weight = class_weights(self.estimator, task)
        fitted, leverage = self._fit(X, Y, weight, included)
        pull = (weight * leverage)[:, None]
        added = (fitted + pull * Y) / (1 + pull)
        left = (fitted - pull * Y) / np.where(included[:, None], 1 - pull, 1.0)
        inside, outside = np.where(included[:, None], fitted, added), np.where(included[:, None], left, fitted)
        if counts is None:
            return Pair(by_value(inside[:, 0]), by_value(outside[:, 0]))
        own, step = task.label_index, included.astype(np.int64)
        return Pair(
            by_score(_scores(inside, counts, own, 1 - step)),
            by_score(_scores(outside, counts, own, -step)),
        )

    def _fit(self, X: Floats, Y: Floats, weight: Floats, included: Bools) -> tuple[Floats, Floats]:
        """Return the fitted values `(records, columns of Y)` and leverages `(records,)` of all, of a fit on some."""
        total = float(weight[included].sum())
        centre, middle, base = np.zeros(X.shape[1]), np.zeros(Y.shape[1]), 0.0
        if self.estimator.fit_intercept:
            centre, middle = weight[included] @ X[included] / total, weight[included] @ Y[included] / total
            base = 1 / total
        Z = X - centre
        weighted = Z[included] * weight[included][:, None]
        gram = weighted.T @ Z[included]
        gram[np.diag_indices_from(gram)] += float(self.estimator.alpha)
        factor = cho_factor(gram, lower=True)
        slopes = cho_solve(factor, weighted.T @ (Y[included] - middle))
        spread = solve_triangular(factor[0], Z.T, lower=True)
        return Z @ slopes + middle, base + np.einsum("pr,pr->r", spread, spread)


def _aims(task: ReferenceTask) -> Floats:
    """Return what is fitted, `(records, columns)`: the labels, or 1 in the own class's column and -1 elsewhere."""
    if not task.classes.size:
        return task.labels.astype(np.float64)[:, None]
    return np.where(task.label_index[:, None] == np.arange(task.classes.size), 1.0, -1.0)


def _scores(fitted: Floats, counts: Any, own: Any, change: Any) -> Floats:
    """Return `fitted (records, classes)` as scikit-learn scores: -inf of classes not fitted on, half of two classes.

    Of two classes it fits one column, and says its value against 0; both of ours say it, with opposite signs.
    `change` is what each record adds to the count of its own class.
    """
    present = np.tile(counts, (own.size, 1))
    present[np.arange(own.size), own] += change
    scores = np.where((present > 0).sum(axis=1, keepdims=True) == 2, fitted / 2, fitted)
    return np.where(present > 0, scores, -np.inf)
