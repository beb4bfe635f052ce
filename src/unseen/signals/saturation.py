"""What to do with an answer that is exactly 0 or 1: a finite value one step beyond the others, and a count."""

import numpy as np

from unseen.signal import Floats

STEP = float(np.log(2.0))


def finite_bounds(*signals: Floats) -> tuple[float, float]:
    """Return the values that stand for minus and plus infinity: a factor of two in odds beyond the finite ones.

    Taken over the target's and the references' answers together, so that no model's saturated answers lie elsewhere
    than another's. A forest of 100 trees that says 1.0 then counts as half as far from certainty as its next best
    answer, rather than as some arbitrary constant. Clipping keeps order and makes no ties that were not there.

    >>> finite_bounds(np.array([-np.inf, 0.0, 1.0]))[1].__round__(3)
    1.693
    """
    low, high = np.inf, -np.inf
    for signal in signals:
        finite = signal[np.isfinite(signal)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return (-STEP, STEP) if low > high else (low - STEP, high + STEP)


def saturated(signal: Floats) -> int:
    """Return how many values are infinite: answers of exactly 0 or 1."""
    return int(np.isinf(signal).sum())
