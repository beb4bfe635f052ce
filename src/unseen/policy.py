"""Policy: the owner's limits, the risk appetite that decides the state and the exit code."""

import msgspec

from unseen.errors import PlanError

DEFAULT_FPRS = (0.1, 0.01, 0.001)
DEFAULT_PRIORS = (0.5, 0.1, 0.01, 0.001)
METRICS = ("tpr", "auc", "advantage", "ppv")


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The most that a metric may be: "tpr" at an `fpr`, "auc", "advantage", or "ppv" at an `fpr` and a `prior`.

    With `every_slice`, the limit holds for each slice as well as for the whole ("auc" and "tpr" only).
    """

    metric: str
    at_most: float
    fpr: float | None = None
    prior: float | None = None
    every_slice: bool = False

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise PlanError(f"policy.limits: metric must be one of {list(METRICS)}, got {self.metric!r}.")
        if not 0 <= self.at_most <= 1:
            raise PlanError(f"policy.limits: at_most must be in [0, 1], got {self.at_most}.")
        if (self.metric in {"tpr", "ppv"}) != (self.fpr is not None):
            raise PlanError(f"policy.limits: {self.metric} {'needs' if self.fpr is None else 'takes no'} fpr.")
        if (self.metric == "ppv") != (self.prior is not None):
            raise PlanError(f"policy.limits: {self.metric} {'needs' if self.prior is None else 'takes no'} prior.")
        for name, value in (("fpr", self.fpr), ("prior", self.prior)):
            if value is not None and not 0 < value < 1:
                raise PlanError(f"policy.limits: {name} must be in (0, 1), got {value}.")
        if self.every_slice and self.metric not in {"tpr", "auc"}:
            raise PlanError(f"policy.limits: every_slice goes with tpr and auc, got {self.metric}.")

    def __str__(self) -> str:
        at = f" at FPR {100 * self.fpr:.4g} %" if self.fpr is not None else ""
        prior = f" and prior {100 * self.prior:.4g} %" if self.prior is not None else ""
        where = ", in every slice" if self.every_slice else ""
        name = self.metric if self.metric == "advantage" else self.metric.upper()
        return f"{name}{at}{prior} at most {self.at_most:.4g}{where}"


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The owner's limits; `flag_fpr` is the false-positive rate at which single records are flagged."""

    limits: tuple[Limit, ...] = ()
    flag_fpr: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.flag_fpr < 1:
            raise PlanError(f"policy.flag_fpr must be in (0, 1), got {self.flag_fpr}.")


class Context(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the owner declares about the data: the share of people asked about who are members, and a note."""

    prior: float | None = None
    domain: str = ""
    harm: str = ""

    def __post_init__(self) -> None:
        if self.prior is not None and not 0 < self.prior < 1:
            raise PlanError(f"context.prior must be in (0, 1), got {self.prior}.")
