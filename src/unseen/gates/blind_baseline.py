"""Blind baseline: can somebody who never asks the model tell members from others?"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from msgspec.structs import replace
from scipy.stats import rankdata
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from unseen.case import Case
from unseen.estimate import Estimate
from unseen.features.numbers import as_numbers
from unseen.features.rows import take_rows
from unseen.gate import GATE_LEVEL, Finding, Gate, broken, held, not_applicable
from unseen.gates.some_units import some_units
from unseen.signal import Array, Bools, Floats, Ints
from unseen.stats.cross_fitted import cross_fitted_auc, widened
from unseen.stats.difference import auc_difference

FOLDS = 5
MOST_COLUMNS = 3_200  # looked at
FITTED = 200  # of them, those that a fold's classifier is fitted on
LARGEST = 1e30  # beyond it squares overflow
FEW_LEVELS = 20  # a column with no more becomes one of zeros and ones a level, for the linear classifier


def blind_baseline(case: Case) -> Finding:
    """Classifiers that see features and label, and nothing of the model, cannot tell members from non-members.

    A linear and a boosted one, cross-fitted by unit in five folds; scores are ranks within their fold. Where one of
    them does better than a coin (one-sided rank test, 0.5 % for the two), the sides were drawn differently, and an
    attack may only see that difference.
    """
    if case.features is None and case.label_index is None:
        return not_applicable("neither features nor labels were given")
    units, rows = some_units(case, case.seed, _width(case))
    member = case.member[units]
    if min(int(member.sum()), int((~member).sum())) < 2 * FOLDS:
        return not_applicable(f"fewer than {2 * FOLDS} units on a side cannot be cross-fitted")
    table, unit_of = _table(case, rows), np.searchsorted(units, _unit_of(case)[rows])
    if table.shape[1] == 0:
        return not_applicable("no feature has two values, and the label neither")
    blind = {
        "linear": _cross_fitted(table, unit_of, member, _linear),
        "boosted trees": _cross_fitted(table, unit_of, member, _boosted),
    }
    areas = [replace(cross_fitted_auc(scores, member), attack=f"blind, {name}") for name, scores in blind.items()]
    estimates = areas + _beside(case, units, member, blind)
    counts = {"members": int(member.sum()), "non_members": int((~member).sum()), "columns": table.shape[1]}
    best = min(areas, key=lambda one: one.p_value if one.p_value is not None else 1.0)
    values = [f"{one.value:.3f} ({name})" for name, one in zip(blind, areas, strict=True)]
    words = f"AUC without the model: {', '.join(values)}"
    if best.p_value is not None and best.p_value <= GATE_LEVEL / len(areas):
        return broken(f"{words}; members and non-members were not drawn alike", estimates, counts)
    return held(f"{words}; 0.5 is a coin toss", estimates, counts)


def _width(case: Case) -> int:
    return 1 if case.features is None else min(int(np.prod(case.features.shape[1:])), MOST_COLUMNS)


def _table(case: Case, rows: Ints) -> Floats:
    """Return features and label of the rows as finite numbers; a column with missing values gets one that says where.

    Columns of one value are left out. Of a table of over 3,200 columns the ones of largest variance are kept.
    """
    columns = [] if case.features is None else [as_numbers(take_rows(case.features, rows), MOST_COLUMNS)]
    if case.label_index is not None:
        columns.append(case.label_index[rows].astype(np.float64)[:, None])
    table = np.column_stack(columns)
    missing = ~np.isfinite(table)
    told = missing[:, missing.any(axis=0)] * 1.0
    known = np.where(missing, np.nan, np.clip(table, -LARGEST, LARGEST))[:, ~missing.all(axis=0)]
    known = np.where(np.isnan(known), np.nanmedian(known, axis=0) if known.shape[1] else 0.0, known)
    table = np.column_stack([known, told])
    return table[:, table.min(axis=0) < table.max(axis=0)] if table.size else table


def _unit_of(case: Case) -> Ints:
    return np.arange(case.member.size) if case.trial.unit_of is None else case.trial.unit_of


def _telling(table: Floats, member: Bools) -> Ints:
    """Return the places of at most 200 columns whose mean or spread differs most between the sides."""
    if table.shape[1] <= FITTED:
        return np.arange(table.shape[1])
    centred = table - table.mean(axis=0)
    apart = np.maximum(_gap(centred, member), _gap(centred**2, member))
    return np.sort(np.argsort(-apart, kind="stable")[:FITTED])


def _gap(values: Floats, member: Bools) -> Floats:
    spread = values.std(axis=0)
    return np.abs(values[member].mean(axis=0) - values[~member].mean(axis=0)) / np.where(spread > 0, spread, np.inf)


def _levels(table: Floats) -> Floats:
    """Return columns of few values as one of zeros and ones a value, so that a linear classifier can use codes."""
    parts = []
    for column in table.T:
        levels = np.unique(column)
        parts.append((column[:, None] == levels[1:]) * 1.0 if levels.size <= FEW_LEVELS else column[:, None])
    return np.column_stack(parts)


def _linear(seed: int) -> Any:
    fit = LogisticRegression(C=0.1, max_iter=200, random_state=seed)
    return make_pipeline(StandardScaler(), fit)


def _boosted(seed: int) -> Any:
    return HistGradientBoostingClassifier(
        max_iter=60, learning_rate=0.1, max_leaf_nodes=15, min_samples_leaf=20, early_stopping=False, random_state=seed
    )


def _cross_fitted(table: Floats, unit_of: Ints, member: Bools, make: Callable[[int], Any]) -> Floats:
    """Return one score a unit from classifiers that saw other units, as ranks in (0, 1] within its fold.

    Of more than 200 columns each fold's classifier sees those that tell its own training units apart best.
    """
    ranks = np.empty(member.size)
    for fold, (_, test) in enumerate(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(member, member)):
        held_out = np.isin(unit_of, test)
        truth = member[unit_of]
        chosen = table[:, _telling(table[~held_out], truth[~held_out])]
        given = _levels(chosen) if make is _linear else chosen
        model = make(fold)
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(given[~held_out], truth[~held_out])
            chance = model.predict_proba(given[held_out])[:, 1]
        ranks[test] = rankdata(_mean_by(unit_of[held_out], chance, member.size)[test]) / test.size
    return ranks


def _mean_by(unit_of: Array, values: Floats, units: int) -> Floats:
    count = np.bincount(unit_of, minlength=units)
    return np.bincount(unit_of, weights=values, minlength=units) / np.maximum(count, 1)


def _beside(case: Case, units: Ints, member: Bools, blind: dict[str, Floats]) -> list[Estimate]:
    """Return the recommended attack's AUC minus each blind one, on the same units."""
    if case.recommended not in case.scores:
        return []
    scores = case.scores[case.recommended][units]
    return [
        replace(widened(auc_difference(scores, other, member)), attack=f"{case.recommended} minus blind, {name}")
        for name, other in blind.items()
    ]


BLIND_BASELINE = Gate(
    check=blind_baseline,
    advice="If several rows belong to one person, name the column that says so (data.group). Otherwise draw members "
    "and non-members by one random split of the same table (same period, source and cleaning), train on the one half, "
    "and audit again.",
    cites="classifier two-sample test, Lopez-Paz and Oquab 2017; Das et al. 2024 on blind baselines, arXiv:2406.16201",
)
