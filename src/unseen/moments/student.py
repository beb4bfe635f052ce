"""Log density and log tail of Student's t, when degrees of freedom take few distinct values."""

import numpy as np
from scipy.special import gammaln, stdtr

from unseen.signal import Floats


def log_density(value: Floats, freedom: Floats, mean: Floats, variance: Floats) -> Floats:
    """Return the log density of `mean + sqrt(variance) T`, T with `freedom` degrees of freedom; all `(records,)`.

    Degrees of freedom must lie whole numbers apart, as a prior's plus a count's do, so that a table of constants does.
    """
    least = float(freedom.min())
    steps = np.rint(freedom - least).astype(np.intp)  # a prior's degrees of freedom and a whole number of references
    levels = least + np.arange(steps.max() + 1)
    constant = gammaln((levels + 1) / 2) - gammaln(levels / 2) - np.log(levels * np.pi) / 2
    square = (value - mean) ** 2 / (variance * freedom)
    return constant[steps] - np.log(variance) / 2 - (freedom + 1) / 2 * np.log1p(square)


def log_tail(t: Floats, freedom: Floats) -> Floats:
    """Return log P[T > t]; beyond the reach of float64 by the tail's leading term, so that no scores tie there."""
    with np.errstate(divide="ignore"):
        tail = np.log(stdtr(freedom, -t))
    far = np.isneginf(tail)
    if far.any():
        x, df = t[far], freedom[far]
        zero, one = np.zeros(x.size), np.ones(x.size)
        tail[far] = log_density(x, df, zero, one) + np.log((df + x**2) / (df * x))
    return tail
