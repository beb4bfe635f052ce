"""QMIA: how far is the margin above what records like this one get?"""

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from unseen.attack import Attack
from unseen.signal import Floats, Ints
from unseen.signals import FEATURES, LABEL, MARGIN

FOLDS = 2
ROUNDS = 50
SEED = 0  # fixes the regressor's own draws; nothing else in it is random


def qmia(margin: Floats, features: Floats, label: Ints) -> Floats:
    """Score each record by its margin above the expected margin of records like it, in their standard deviations.

    `margin (records,)`, `features (records, columns)`, `label (records,)`. A regressor learns the margin's mean and
    log variance from features and label. It is cross-fitted over the audited records and
    blind to membership: no record is scored by a regressor that was fitted on it. It needs no references, and no
    labelled non-members either: the paper fits on those, ours on a mixture, which costs some power and keeps the null
    exact (docs/decisions/0004-blind-qmia.md).

    >>> x = np.linspace(0, 1, 200)[:, None]
    >>> qmia(x[:, 0] + np.tile([0.0, 1.0], 100), x, np.zeros(200, int))[:2].round(0)
    array([-1.,  1.])
    """
    inputs = _filled(np.column_stack([features, label]).astype(np.float64))
    # folds by content: row order cannot matter, and equal records share a fold, so none is scored by its twin
    content = np.unique(np.column_stack([margin, inputs]), axis=0, return_inverse=True)[1].reshape(-1)
    scores = np.zeros(margin.size)
    if content.max() == 0:  # one distinct record: nothing to learn from, nothing to tell apart
        return scores
    order = np.argsort(content, kind="stable")
    for held in range(FOLDS):
        test = np.flatnonzero(content % FOLDS == held)
        fit = order[content[order] % FOLDS != held]
        mean, log_variance = _fit(inputs[fit], margin[fit], inputs[test])
        scores[test] = (margin[test] - mean) / np.exp(log_variance / 2)
    return scores


def _filled(inputs: Floats) -> Floats:
    """Put missing values below all others of their column: they are a level, and equal records stay equal."""
    missing = np.isnan(inputs)
    least = np.where(missing, np.inf, inputs).min(axis=0)
    return np.where(missing, np.where(np.isfinite(least), least, 0.0) - 1.0, inputs)


def _fit(inputs: Floats, margin: Floats, held: Floats) -> tuple[Floats, Floats]:
    centre = _regressor().fit(inputs, margin)
    residual = (margin - centre.predict(inputs)) ** 2
    least = 1e-3 * float(residual.mean()) or 1.0
    spread = _regressor().fit(inputs, np.log(np.maximum(residual, least)))
    return centre.predict(held), spread.predict(held)


def _regressor() -> HistGradientBoostingRegressor:
    return HistGradientBoostingRegressor(max_iter=ROUNDS, random_state=SEED, early_stopping=False)


QMIA = Attack(
    score=qmia,
    needs=(MARGIN, FEATURES, LABEL),
    row="S2",
    cites="Bertran et al. 2023, arXiv:2307.03694, in a Gaussian form, cross-fitted and blind to membership",
)
