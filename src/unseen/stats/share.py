"""A share of a whole as an estimate, with its exact interval."""

from unseen.estimate import Estimate
from unseen.stats.intervals import clopper_pearson


def share(quantity: str, part: int, whole: int, confidence: float = 0.95) -> Estimate:
    """Return part / whole with the exact binomial interval (Clopper and Pearson 1934).

    >>> str(share("copies", 1, 1000))
    'copies 0.001 [2.532e-05, 0.005559] at 95 %'
    """
    rate = clopper_pearson(part, whole, confidence)
    return Estimate(
        quantity=quantity,
        value=rate.value,
        low=rate.low,
        high=rate.high,
        confidence=confidence,
        method="Clopper-Pearson",
        counts={"part": part, "whole": whole},
    )
