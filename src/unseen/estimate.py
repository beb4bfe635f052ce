"""Estimate: a value with its interval, confidence, method and counts, and the condition under which it holds."""

import msgspec


class Interval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value and the interval around it, at the confidence of the estimate that holds it."""

    value: float
    low: float
    high: float


class Estimate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One measured quantity. Rates are in [0, 1]; `low` and `high` bound `value` at `confidence`.

    `quantity` is "auc", "tpr", "advantage" or "ppv". For rates at a threshold, `fpr` is the false-positive rate
    asked for and `achieved_fpr` the one reached, with its own interval. `p_value` tests "no leak" where the method
    has such a test; `detectable` is the smallest value that the test would have found with 80 % power (for a TPR, at
    the threshold that this trial's non-members set).
    """

    quantity: str
    value: float
    low: float
    high: float
    confidence: float
    method: str
    counts: dict[str, int]
    condition: str = ""
    attack: str = ""
    slice: str = ""
    fpr: float | None = None
    prior: float | None = None
    achieved_fpr: Interval | None = None
    p_value: float | None = None
    adjusted_p: float | None = None
    detectable: float | None = None

    def __str__(self) -> str:
        return f"{self.quantity} {self.value:.4g} [{self.low:.4g}, {self.high:.4g}] at {100 * self.confidence:.4g} %"


class Refused(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A quantity that was asked for and not given, because the counts cannot carry it."""

    quantity: str
    fpr: float
    attack: str
    reason: str
    non_members_needed: int
