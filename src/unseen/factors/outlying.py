"""Outlying records: are the exposed members unlike the others, and in which columns?"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from msgspec.structs import replace
from scipy import sparse
from scipy.stats import ks_2samp
from sklearn.ensemble import IsolationForest

from unseen.case import Case
from unseen.factor import Factor, Measurement, flagged, measured, unit_means, unmeasured
from unseen.features.numbers import as_numbers
from unseen.features.rows import column_names, table_columns
from unseen.signal import Array, Bools, Floats, Ints
from unseen.stats.multiplicity import holm
from unseen.stats.roc import auc

FEWEST = 10  # exposed members, and others, below which nothing is said of them
MOST_COLUMNS = 200
MOST_NAMED = 5


def outlying(case: Case) -> Measurement:
    """Measure whether exposed members are more outlying than other members, and in which columns they differ.

    Exposed are the members that the recommended attack flags. How outlying a record is says an isolation forest over
    all audited records; its AUC for telling exposed members from others is 0.5 where they are alike. Columns are
    compared by the Kolmogorov-Smirnov test, values that are no numbers by how common they are, with Holm over at most
    200 columns; at most five are named, and never a value. Seen where the AUC's interval is above 0.5.
    """
    if case.features is None:
        return unmeasured("the features are not known, so nothing can be said of what exposed members have in common")
    flags = flagged(case)
    if flags is None:
        return unmeasured("no member can be flagged: no attack ran, or there are too few non-members")
    exposed = flags[case.member]
    if min(exposed.sum(), (~exposed).sum()) < FEWEST:
        return unmeasured(f"it takes {FEWEST} flagged members and {FEWEST} others to compare them; a side has fewer")
    area = auc(_outlyingness(case)[case.member], exposed)
    counts = {"exposed": int(exposed.sum()), "other_members": int((~exposed).sum())}
    area = replace(
        area,
        quantity="outlying_auc",
        attack=case.recommended,
        counts=counts,
        p_value=None,
        condition=f"members flagged at a rate of {case.policy.flag_fpr:g} against other members",
    )
    columns = _different(case, exposed)
    finding = (
        f"exposed members are more outlying than other members with probability {area.value:.3g} "
        f"[{area.low:.3g}, {area.high:.3g}]; columns in which they differ: {', '.join(columns) or 'none found'}"
    )
    return measured(area.low > 0.5, finding, [area], counts)


def _outlyingness(case: Case) -> Floats:
    """Return how outlying each unit is, the mean over its records, `(units,)`; missing values count as the median."""
    matrix = as_numbers(case.features)
    known = np.isfinite(matrix)
    matrix = np.where(known, matrix, 0.0)
    for place in np.flatnonzero(~known.all(axis=0)):
        if known[:, place].any():
            matrix[~known[:, place], place] = np.median(matrix[known[:, place], place])
    forest = IsolationForest(random_state=case.seed % 2**32).fit(matrix)
    return unit_means(case, -forest.score_samples(matrix))


def _different(case: Case, exposed: Bools) -> list[str]:
    """Return the names of the columns in which exposed members differ, clearest first; one record a unit."""
    first = _first_records(case)[case.member]
    names, p_values = list[str](), list[float]()
    for name, values in _columns(case.features):
        numbers = _comparable(values)[first]
        known = np.isfinite(numbers)
        inside, outside = numbers[known & exposed], numbers[known & ~exposed]
        if min(inside.size, outside.size) >= FEWEST and np.unique(numbers[known]).size > 1:
            names.append(name)
            p_values.append(float(ks_2samp(inside, outside, method="asymp").pvalue))
    adjusted = holm(np.array(p_values))
    order = np.argsort(adjusted, kind="stable")
    return [names[place] for place in order if adjusted[place] <= 0.05][:MOST_NAMED]


def _first_records(case: Case) -> Ints:
    place = case.trial.unit_of
    return np.arange(case.member.size) if place is None else np.unique(place, return_index=True)[1]


def _columns(table: Any) -> Iterator[tuple[str, Array]]:
    """Yield the first 200 columns with their names; of a sparse table, the 200 with most stored values."""
    if sparse.issparse(table):
        stored = table.tocsc()
        most = np.sort(np.argsort(-np.diff(stored.indptr), kind="stable")[:MOST_COLUMNS])
        yield from ((f"column {place + 1}", stored[:, [place]].toarray().ravel()) for place in most)
        return
    columns = table_columns(table)[:MOST_COLUMNS]
    names = column_names(table) or [f"column {place + 1}" for place in range(len(columns))]
    yield from zip(names, columns, strict=False)


def _comparable(values: Array) -> Floats:
    """Return numbers as they are, and for other values how many records share them."""
    if values.dtype.kind in "biuf":
        return values.astype(np.float64)
    _, place, times = np.unique([str(value) for value in values.tolist()], return_inverse=True, return_counts=True)
    return times[place].astype(np.float64)


OUTLYING = Factor(
    measure=outlying,
    row="F2",
    controls=("more data", "removing outlying records", "regularisation", "differentially private training"),
    cites="Carlini et al. 2022, arXiv:2112.03570 (outliers are exposed more); the forest: Liu et al. 2008",
)
