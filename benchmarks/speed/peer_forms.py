"""Reference points for `scoring.py`: the published formulas written the way other tools evaluate them.

Written here from the formulas; nothing is copied. Membership is scored as in LiRA (Carlini et al. 2022,
arXiv:2112.03570, section VI) and RMIA (Zarifzadeh et al. 2024, arXiv:2312.03262, equations 2 to 4).
Axes: `margin (records,)`, `ref_margin (references, records)`, `ref_member` the same, boolean.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]

SMALLEST_SD = 1e-30


def lira_online_loop(margin: Floats, ref_margin: Floats, ref_member: Bools) -> Floats:
    """Log-likelihood ratio, one record at a time, two scalar SciPy calls each."""
    scores = np.empty(margin.size)
    for i, value in enumerate(margin):
        inside, outside = ref_margin[ref_member[:, i], i], ref_margin[~ref_member[:, i], i]
        log_in = norm.logpdf(value, inside.mean(), inside.std() + SMALLEST_SD)
        scores[i] = log_in - norm.logpdf(value, outside.mean(), outside.std() + SMALLEST_SD)
    return scores


def lira_offline_loop(margin: Floats, ref_margin: Floats, ref_member: Bools) -> Floats:
    """One-sided log tail under the non-member Gaussian, one record at a time, one scalar SciPy call each."""
    scores = np.empty(margin.size)
    for i, value in enumerate(margin):
        outside = ref_margin[~ref_member[:, i], i]
        scores[i] = norm.logcdf(value, outside.mean(), outside.std() + SMALLEST_SD)
    return scores


def _split(ref_margin: Floats, ref_member: Bools) -> tuple[Floats, Floats]:
    """Each record's IN and OUT columns, cut to the shortest so that they stack."""
    columns = range(ref_margin.shape[1])
    inside = [ref_margin[ref_member[:, i], i] for i in columns]
    outside = [ref_margin[~ref_member[:, i], i] for i in columns]
    n_in, n_out = min(map(len, inside)), min(map(len, outside))
    return np.array([x[:n_in] for x in inside]), np.array([x[:n_out] for x in outside])


def lira_online_split(margin: Floats, ref_margin: Floats, ref_member: Bools) -> Floats:
    """Log-likelihood ratio: a Python split a record, then medians and one vectorised density a side."""
    inside, outside = _split(ref_margin, ref_member)
    log_in = norm.logpdf(margin, np.median(inside, 1), inside.std(1) + SMALLEST_SD)
    log_out = norm.logpdf(margin, np.median(outside, 1), outside.std(1) + SMALLEST_SD)
    return np.asarray(log_in - log_out)


def lira_offline_split(margin: Floats, ref_margin: Floats, ref_member: Bools) -> Floats:
    """Log-density under the non-member Gaussian: a Python split a record, then one vectorised density."""
    _, outside = _split(ref_margin, ref_member)
    return np.asarray(-norm.logpdf(margin, np.median(outside, 1), outside.std(1) + SMALLEST_SD))


def rmia_ratio(loss: Floats, ref_loss: Floats) -> Floats:
    """p(x) under the target over its mean under the references."""
    return np.asarray(np.exp(-loss) / np.exp(-ref_loss).mean(axis=0))


def rmia_matrix(ratio: Floats, population_ratio: Floats) -> Floats:
    """Share of population records that each record dominates, through the whole records x population matrix."""
    return np.average(ratio[:, None] / population_ratio > 1.0, axis=1)


def rmia_loop(ratio: Floats, population_ratio: Floats) -> Floats:
    """The same share, one record at a time against the population as a vector."""
    scores = np.empty(ratio.size)
    for i, value in enumerate(ratio):
        scores[i] = np.mean(value / population_ratio > 1.0)
    return scores
