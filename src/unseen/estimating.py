"""Estimating: from scores and the trial to every number of an attack or a slice, refusals included."""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from unseen.errors import PlanError, TooFewRecords
from unseen.estimate import Estimate, Refused
from unseen.policy import DEFAULT_FPRS, DEFAULT_PRIORS
from unseen.signal import Bools, Floats
from unseen.stats.power import FEWEST_EXPECTED
from unseen.stats.roc import advantage, auc, ppv, tpr_at_fpr

LOWER_FPRS = (1e-4, 1e-5, 1e-6)
ERROR_BUDGET = 0.05


@dataclass(frozen=True)
class Questions:
    """Which rates and priors are asked of every attack."""

    fprs: tuple[float, ...] = DEFAULT_FPRS
    priors: tuple[float, ...] = DEFAULT_PRIORS
    confidence: float = 0.95

    def __post_init__(self) -> None:
        for name, values in (("fprs", self.fprs), ("priors", self.priors)):
            if not values or not all(0 < value < 1 for value in values):
                raise PlanError(f"statistics.{name} must be some numbers in (0, 1), got {list(values)}.")

    def rates(self, non_members: int) -> list[float]:
        """Return the rates asked for, and the lower ones that the counts allow, largest first."""
        lower = [fpr for fpr in LOWER_FPRS if fpr * non_members >= FEWEST_EXPECTED]
        return sorted({*self.fprs, *lower}, reverse=True)


def estimate(scores: Floats, member: Bools, questions: Questions, attack: str) -> tuple[list[Estimate], list[Refused]]:
    """Return the AUC, advantage, TPR at each rate and PPV at each prior of `scores (units,)`, and what was refused."""
    estimates = [auc(scores, member, questions.confidence), advantage(scores, member, questions.confidence)]
    refused = []
    for fpr in questions.rates(int((~member).sum())):
        try:
            rate = tpr_at_fpr(scores, member, fpr, questions.confidence)
        except TooFewRecords as error:
            refused.append(Refused("tpr", fpr, attack, str(error), error.needed))
            continue
        estimates.append(rate)
        if rate.counts["true_positives"] + rate.counts["false_positives"]:
            estimates += [ppv(rate, prior) for prior in questions.priors]
        else:
            refused.append(Refused("ppv", fpr, attack, "undefined: ties leave no unit called a member", 0))
    return [replace(one, attack=attack) for one in estimates], refused


def estimate_slice(
    scores: Floats, member: Bools, fprs: Sequence[float], confidence: float, attack: str, name: str
) -> list[Estimate]:
    """Return the AUC and the TPR at each rate that a slice's own counts allow, at a simultaneous `confidence`."""
    able = [fpr for fpr in fprs if fpr * int((~member).sum()) >= FEWEST_EXPECTED]
    estimates = [auc(scores, member, confidence), *(tpr_at_fpr(scores, member, fpr, confidence) for fpr in able)]
    return [replace(one, attack=attack, slice=name) for one in estimates]
