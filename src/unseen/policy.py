"""Policy: the owner's limits, the risk appetite that decides the state and the exit code."""

import msgspec

from unseen.errors import PlanError, did_you_mean

DEFAULT_FPRS = (0.1, 0.01, 0.001)
DEFAULT_PRIORS = (0.5, 0.1, 0.01, 0.001)
SEVERITIES = ("low", "moderate", "high", "severe")
ACCESSES = ("internal", "api", "public_weights")
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
    """The owner's limits; `flag_fpr` is the false-positive rate at which single records are flagged.

    `name_ids` is how many of the flagged members a report names by their ids; 0 names nobody. `worsen_at_most` is the
    most that an AUC or a TPR may rise from one run to the next.
    """

    limits: tuple[Limit, ...] = ()
    flag_fpr: float = 0.01
    name_ids: int = 20
    worsen_at_most: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.flag_fpr < 1:
            raise PlanError(f"policy.flag_fpr must be in (0, 1), got {self.flag_fpr}.")
        if self.name_ids < 0:
            raise PlanError(f"policy.name_ids must be 0 or more, got {self.name_ids}.")
        if not 0 <= self.worsen_at_most <= 1:
            raise PlanError(f"policy.worsen_at_most must be in [0, 1], got {self.worsen_at_most}.")


class Context(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the owner declares about the data and the release; nothing of it is measured.

    `prior` is the share of the people asked about who are members; `domain` a word such as "health"; `reveals` what
    membership alone would reveal, `harm` what that would do to a person, `severity` how bad ("low", "moderate", "high",
    "severe"); `sensitive` names columns; `access` is who may question the model ("internal", "api", "public_weights"),
    `queries_per_day` how often one of them may; `identifiers_removed` says that direct identifiers were taken out.
    """

    prior: float | None = None
    domain: str = ""
    reveals: str = ""
    harm: str = ""
    severity: str = ""
    sensitive: tuple[str, ...] = ()
    access: str = ""
    queries_per_day: int | None = None
    identifiers_removed: bool = False

    def __post_init__(self) -> None:
        if self.prior is not None and not 0 < self.prior < 1:
            raise PlanError(f"context.prior must be in (0, 1), got {self.prior}.")
        for name, known in (("severity", SEVERITIES), ("access", ACCESSES)):
            if (given := getattr(self, name)) and given not in known:
                near = did_you_mean(given, known) or "."
                raise PlanError(f"context.{name} must be one of {list(known)}, got {given!r}{near}")
        if self.queries_per_day is not None and self.queries_per_day < 0:
            raise PlanError(f"context.queries_per_day must be 0 or more, got {self.queries_per_day}.")
