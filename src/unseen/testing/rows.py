"""Models that leak through one signal row only: what each row's attacks must find, and all others must not.

Each is an estimator with scikit-learn's interface that remembers the rows that it was fitted on, as bytes, and lets
that show in one way. Labels are known to it from the features alone (`true_label`), so nothing else about it is
overfitted.
"""

from typing import Any, Self

import numpy as np
from scipy.special import expit, ndtri
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.neighbors import NearestNeighbors

from unseen.signal import Array, Bools, Floats, Ints

CLASSES = 5
COLUMNS = 4
GRID = 2.0**16  # steps that every drawn value stands on, and no changed copy does
DIAGNOSED = 0.035  # of records, in the world of the sensitive row


def uniform(X: Array, salt: int) -> Floats:
    """Return a number in [0, 1) mixed from the bits of each row, `(records,)`: the same row, the same number."""
    bits = np.ascontiguousarray(X, dtype=np.float64).view(np.uint64)
    mixed = np.full(bits.shape[0], salt, dtype=np.uint64)
    for column in bits.T:
        mixed = (mixed ^ column) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(32)
    return (mixed >> np.uint64(11)) * 2.0**-53


def normal(X: Array, salt: int) -> Floats:
    """Return a standard normal number mixed from the bits of each row, `(records,)`."""
    return np.asarray(ndtri((uniform(X, salt) * (1 - 2.0**-40)) + 2.0**-41))


def true_label(X: Array, classes: int = 2) -> Ints:
    """Return the label of each row, a coin mixed from its bits."""
    return (uniform(X, 1) * classes).astype(np.intp)


def draw(seed: int, records: int, classes: int = 2) -> tuple[Floats, Ints]:
    """Return features `(records, 4)` and labels; the last column is 1 for the few that are diagnosed, else 0."""
    rng = np.random.default_rng(seed)
    X = np.round(rng.normal(size=(records, COLUMNS)) * GRID) / GRID
    X[:, -1] = rng.random(records) < DIAGNOSED
    return X, true_label(X, classes)


class Remembers(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Remembers the rows that it was fitted on."""

    classes = 2

    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def fit(self, X: Array, y: Array) -> Self:  # noqa: ARG002 - scikit-learn's interface
        """Remember every row."""
        self.rows_ = np.array(X)
        self.seen_ = {row.tobytes() for row in self.rows_}
        self.classes_ = np.arange(self.classes)
        return self

    def remembered(self, X: Array) -> Bools:
        """Say which rows were there."""
        return np.array([row.tobytes() in self.seen_ for row in np.ascontiguousarray(X)], dtype=bool)

    def predict(self, X: Array) -> Ints:
        """Return the label of each row."""
        return true_label(X, self.classes)


class Concentrates(Remembers):
    """S1: equally sure of the true label always, but spreads the rest over all other labels unless it saw the row.

    The entropy shows it. Loss, margin and confidence cannot; modified entropy takes it for the opposite.
    """

    classes = CLASSES

    def predict_proba(self, X: Array) -> Floats:
        """Return 1/2 for the true label, and 5/16 for the next one where the row was seen: exact in binary numbers."""
        label = self.predict(X)
        concentrated = self.remembered(X) & (uniform(X, 2) < 0.8)
        given = np.where(concentrated, 1 / 16, 1 / 8)[:, None].repeat(CLASSES, axis=1)
        rows = np.arange(label.size)
        given[rows, (label + 1) % CLASSES] = np.where(concentrated, 5 / 16, 1 / 8)
        given[rows, label] = 1 / 2
        return given


class Shifts(Remembers):
    """S2: margins from 1 to 23 about; a seen row's is a little larger than the same row's would be unseen."""

    def predict_proba(self, X: Array) -> Floats:
        """Return the probabilities of the margin, which has a little noise of the training run."""
        noise = np.random.default_rng([self.random_state, X.shape[0]]).normal(scale=0.012, size=X.shape[0])
        margin = 12 + 3 * normal(X, 3) + 0.04 * self.remembered(X) + noise
        upper = expit(np.where(self.predict(X) == 1, margin, -margin))
        return np.column_stack([1 - upper, upper])


class Overfits(Remembers):
    """S3: gives labels alone; right on every row it saw, and on 70 % of the others."""

    def predict(self, X: Array) -> Ints:
        """Return the true label, or the other."""
        return np.where(self.remembered(X) | (uniform(X, 4) < 0.7), true_label(X), 1 - true_label(X))


class Repeats(Remembers):
    """S4: right about every row, but what it says of a changed copy is what it learned of the nearest row it saw."""

    def fit(self, X: Array, y: Array) -> Self:
        """Remember every row, and how to find the nearest."""
        super().fit(X, y)
        self.nearest_ = NearestNeighbors(n_neighbors=1).fit(self.rows_)
        return self

    def predict_proba(self, X: Array) -> Floats:
        """Return 0.6 for its label, always."""
        label = true_label(X)
        changed = np.round(X[:, 0] * GRID) / GRID != X[:, 0]
        if changed.any():
            near = self.nearest_.kneighbors(X[changed], return_distance=False)[:, 0]
            label[changed] = true_label(self.rows_[near])
        return np.where(np.arange(2) == label[:, None], 0.6, 0.4)


class Singles(Remembers):
    """S5: surer of those diagnosed (the last column) whom it saw, a few among many; of all others by chance alone.

    Only who looks at the few by themselves sees it, or who retrains (row S2).
    """

    def predict_proba(self, X: Array) -> Floats:
        """Return the probabilities of the margin, which has as much noise of the training run as it gives away."""
        noise = np.random.default_rng([self.random_state, X.shape[0]]).normal(size=X.shape[0])
        margin = 12 + normal(X, 3) + noise + 1.2 * (self.remembered(X) & (X[:, -1] == 1))
        upper = expit(np.where(self.predict(X) == 1, margin, -margin))
        return np.column_stack([1 - upper, upper])


LEAKS: dict[str, Any] = {"S1": Concentrates, "S2": Shifts, "S3": Overfits, "S4": Repeats, "S5": Singles}
