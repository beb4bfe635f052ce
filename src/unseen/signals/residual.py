"""A regressor's margin and loss: how near its answer is to the truth, in units of its residuals."""

import numpy as np

from unseen.signal import Floats

NORMAL_QUARTILE = 0.674489750196  # of |x| for a standard normal x: half lies below


def residual_scale(residual: Floats) -> float:
    """Return the unit of `residual (records,)`: their median size over a normal's, or 1 where most are 0.

    One number for a target and all its references, from the target's answers to members and others alike.

    >>> round(residual_scale(np.array([-1.0, 1.0, 1.0])), 3)
    1.483
    """
    middle = float(np.median(np.abs(residual))) / NORMAL_QUARTILE
    return middle if middle > 0 else 1.0


def residual_margin(residual: Floats, scale: float) -> Floats:
    """Return -|residual / scale|^(2/3), `(records,)`: near normal where residuals are, so that moments describe it.

    The cube root of a chi-squared variable is close to normal (Wilson and Hilferty 1931, doi:10.1073/pnas.17.12.684).
    """
    return -(np.abs(residual / scale) ** (2 / 3))


def residual_loss(residual: Floats, scale: float) -> Floats:
    """Return (residual / scale)^2 / 2, `(records,)`: -log of a normal likelihood, but for its constant, in nats."""
    return (residual / scale) ** 2 / 2
