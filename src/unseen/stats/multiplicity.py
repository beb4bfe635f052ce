"""One error budget for all the questions of a report."""

import numpy as np

from unseen.signal import Floats


def holm(p_values: Floats) -> Floats:
    """Return Holm-adjusted p-values `(tests,)`: rejecting where they are at most 5 % errs in 5 % of reports at most.

    Holm 1979; valid under any dependence between the tests.

    >>> holm(np.array([0.01, 0.04, 0.03]))
    array([0.03, 0.06, 0.06])
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.arange(p_values.size, 0, -1)
    adjusted = np.empty(p_values.size)
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * steps), 1.0)
    return adjusted
