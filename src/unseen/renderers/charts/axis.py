"""An axis: where a value stands between two ends, and which round values to write there."""

import math
from collections.abc import Callable

MOST_TICKS = 7
STEPS = (0.05, 0.1, 0.2, 0.5)


def scale(low: float, high: float, left: float, right: float) -> Callable[[float], float]:
    """Return the function that places a value of [low, high] between `left` and `right`."""
    room = (right - left) / ((high - low) or 1.0)
    return lambda value: left + room * (value - low)


def ticks(low: float, high: float) -> list[float]:
    """Return round values in [low, high], at most seven.

    >>> ticks(0.5, 0.84)
    [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8]
    >>> ticks(0.0, 30.0)
    [0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0]
    """
    steps = (step * 10.0**power for power in range(12) for step in STEPS)
    step = next((s for s in steps if math.floor(high / s) - math.ceil(low / s) < MOST_TICKS), high - low or 1.0)
    return [round(step * k, 6) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
