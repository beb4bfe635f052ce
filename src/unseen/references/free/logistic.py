"""Logistic regression: approximate answers with and without each record, by one Newton step. A triage.

The real fit answers each record on the side where it was; on the other side stands approximate leave-one-out. It orders
records by how much they matter to a well-conditioned fit; it is not a refit, and less of one the more a single record
can move the model, or where the solver stopped before the minimum.
"""

from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression

from unseen.features.rows import take_rows
from unseen.reference import ReferenceTask
from unseen.references.free.pair import Pair, by_class, class_counts, class_weights, without_balance
from unseen.references.free.pipeline import dense
from unseen.signal import Bools, Floats, Ints
from unseen.targets.fitting import refitted

KINDS = (LogisticRegression,)
MOST_PARAMETERS = 4000  # whose Hessian is factorised
MOST_ENTRIES = 10**8  # of the records' matrices between logits, 800 MB
STEPS, HALVINGS, CLOSE = 50, 20, 1e-10


def refused(estimator: Any) -> str | None:
    """Name a setting whose minimum is not that of logistic loss and a square penalty."""
    if getattr(estimator, "penalty", "l2") not in {"l2", "deprecated"} or getattr(estimator, "l1_ratio", None):
        return "the penalty must be l2"
    if not np.isfinite(estimator.C):
        return "C must be finite: without a penalty nothing holds a separable fit"
    if estimator.solver == "liblinear":
        return "solver='liblinear' penalises the intercept"
    if getattr(estimator, "multi_class", "auto") not in {"auto", "deprecated"}:
        return "multi_class must be auto"
    return without_balance(estimator)


class LogisticFit:
    """Logits z with a record and o without it: z + w G l'(z) = o, with G the others' inverse Hessian at the record.

    Rad and Maleki 2020, doi:10.1111/rssb.12374, for records left out, where G comes of the whole Hessian; the same
    equation solved for z for records that were not in, which the paper has not (heuristic). One logit of two classes,
    as many as there are of more. None where a class has one record, or the matrices are too large.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def __call__(self, table: Any, task: ReferenceTask, included: Bools, seed: int) -> Pair | None:
        """Return the pair of the fit on the included records."""
        X, logits = dense(table), 1 if task.classes.size == 2 else task.classes.size
        if X is None or class_counts(task, included).min() < 2:
            return None
        if logits * (X.shape[1] + 1) > MOST_PARAMETERS or X.shape[0] * logits**2 > MOST_ENTRIES:
            return None
        rows = included.nonzero()[0]
        fitted = refitted(self.estimator, take_rows(table, rows), task.labels[rows], seed)
        said = np.asarray(fitted.decision_function(table), dtype=np.float64).reshape(-1, logits)
        weight = class_weights(self.estimator, task)
        G = self._reach(X, said, weight, included) * weight[:, None, None]
        without = _left_out(said[included], G[included], task.label_index[included])
        within = _put_in(said[~included], G[~included], task.label_index[~included])
        inside, outside = said.copy(), said.copy()
        inside[~included], outside[included] = within, without
        return Pair(by_class(_log_probs(inside)), by_class(_log_probs(outside)))

    def _reach(self, X: Floats, said: Floats, weight: Floats, included: Bools) -> Floats:
        """Return x'H^-1 x of each record, between logits, `(records, logits, logits)`; H is of the included ones."""
        logits = said.shape[1]
        Z = np.column_stack([X, np.ones(X.shape[0])]) if self.estimator.fit_intercept else X
        columns, part = Z.shape[1], Z[included]
        bend = _curvature(_probs(said[included])) * weight[included][:, None, None]
        H = np.zeros((logits, columns, logits, columns))
        for a in range(logits):
            for b in range(logits):
                H[a, :, b] = (part * bend[:, a, b][:, None]).T @ part
            held = columns - 1 if self.estimator.fit_intercept else columns
            H[a, np.arange(held), a, np.arange(held)] += 1 / self.estimator.C
        if logits > 1 and self.estimator.fit_intercept:
            H[:, -1, :, -1] += 1.0  # all intercepts together are free, and move no probability
        flat = H.reshape(logits * columns, logits * columns)
        inverse = cho_solve(cho_factor(flat), np.eye(flat.shape[0])).reshape(H.shape)
        return np.stack(
            [
                np.stack([((Z @ inverse[a, :, b]) * Z).sum(axis=1) for b in range(logits)], axis=1)
                for a in range(logits)
            ],
            axis=1,
        )


def _left_out(said: Floats, G: Floats, own: Ints) -> Floats:
    """Return the logits of records without themselves, `(records, logits)`; G is of the Hessian that has them."""
    W = _curvature(_probs(said))
    others = np.linalg.solve(np.eye(said.shape[1]) - G @ W, G)
    return said + np.einsum("rab,rb->ra", others, _slope(said, own))


def _put_in(said: Floats, G: Floats, own: Ints) -> Floats:
    """Return the logits z of records once they are added: z + G l'(z) = said, by Newton with halved steps."""
    z = said.copy()
    off = _off(z, said, G, own)
    for _ in range(STEPS):
        bad = np.abs(off).max(axis=1, initial=0) > CLOSE
        if not bad.any():
            break
        jacobian = np.eye(z.shape[1]) + G[bad] @ _curvature(_probs(z[bad]))
        step = np.linalg.solve(jacobian, off[bad][:, :, None])[:, :, 0]
        size = np.ones((step.shape[0], 1))
        before = np.linalg.norm(off[bad], axis=1)
        for _ in range(HALVINGS):
            after = _off(z[bad] - size * step, said[bad], G[bad], own[bad])
            worse = np.linalg.norm(after, axis=1) > before
            if not worse.any():
                break
            size[worse] /= 2
        z[bad] -= size * step
        off[bad] = _off(z[bad], said[bad], G[bad], own[bad])
    return z


def _off(z: Floats, said: Floats, G: Floats, own: Ints) -> Floats:
    return z + np.einsum("rab,rb->ra", G, _slope(z, own)) - said


def _slope(z: Floats, own: Ints) -> Floats:
    """Return the loss's derivative by the logits, `(records, logits)`."""
    probs = _probs(z)
    if probs.shape[1] == 1:
        return probs - own[:, None]
    return probs - (own[:, None] == np.arange(probs.shape[1]))


def _probs(z: Floats) -> Floats:
    """Return the probability of each logit's class, `(records, logits)`: of the second of two, or of all."""
    return np.asarray(softmax(_both(z), axis=1)[:, -z.shape[1] :])


def _curvature(probs: Floats) -> Floats:
    """Return the loss's second derivative by the logits, `(records, logits, logits)`."""
    return np.eye(probs.shape[1]) * probs[:, :, None] - probs[:, :, None] * probs[:, None, :]


def _log_probs(z: Floats) -> Floats:
    return np.asarray(log_softmax(_both(z), axis=1))


def _both(z: Floats) -> Floats:
    return np.column_stack([np.zeros(z.shape[0]), z]) if z.shape[1] == 1 else z
