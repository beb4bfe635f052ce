"""Overfitting: how much better the model does on what it was trained on."""

import math

import numpy as np
from msgspec.structs import replace

from unseen.case import Case
from unseen.estimate import Estimate
from unseen.factor import Factor, Measurement, measured, unit_means, unmeasured
from unseen.signal import Bools, Floats
from unseen.stats.difference import mean_difference, rate_difference
from unseen.stats.share import share

TAIL = 0.99


def overfitting(case: Case) -> Measurement:
    """Measure how much better the model does on members than on non-members.

    The accuracy of members minus that of non-members; the mean loss (in nats) of non-members minus that of members; and
    the share of non-members whose loss is above the members' 99th percentile, 1 % in a model that treats them alike.
    Means over a person's records where the person is the unit. Seen where the interval of either gap is above 0.
    """
    member = case.member
    gaps, tail = list[Estimate](), list[Estimate]()
    if "correct" in case.signals:
        gaps.append(_accuracy_gap(unit_means(case, case.signals["correct"]), member))
    if "loss" in case.signals:
        losses = unit_means(case, case.signals["loss"])
        gap = mean_difference("loss_gap", losses[~member], losses[member])
        gaps += [] if gap is None else [gap]
        tail = [_tail(losses, member)]
    if not gaps:
        return unmeasured("neither the correctness of the answers nor their losses are known")
    seen = any(one.low > 0 for one in gaps)
    return measured(seen, "; ".join(_said(one) for one in gaps + tail), gaps + tail)


def _accuracy_gap(correct: Floats, member: Bools) -> Estimate:
    inside, outside = correct[member], correct[~member]
    whole = bool(np.isin(correct, (0, 1)).all())
    gap = None if whole else mean_difference("accuracy_gap", inside, outside)
    if gap is not None:
        return gap
    return rate_difference("accuracy_gap", float(inside.sum()), inside.size, float(outside.sum()), outside.size)


def _tail(losses: Floats, member: Bools) -> Estimate:
    inside, outside = np.sort(losses[member]), losses[~member]
    threshold = inside[math.ceil(TAIL * inside.size) - 1]
    one = share("loss_tail", int((outside > threshold).sum()), outside.size)
    return replace(one, condition="given the threshold, the members' 99th percentile")


def _said(one: Estimate) -> str:
    if one.quantity == "accuracy_gap":
        return f"accuracy {_points(one)} points higher on members"
    if one.quantity == "loss_gap":
        return f"mean loss {one.value:.3g} [{one.low:.3g}, {one.high:.3g}] nats higher on non-members"
    return f"{100 * one.value:.3g} % of non-members have a loss above the members' 99th percentile"


def _points(one: Estimate) -> str:
    return f"{100 * one.value:.3g} [{100 * one.low:.3g}, {100 * one.high:.3g}]"


OVERFITTING = Factor(
    measure=overfitting,
    row="F1",
    controls=("early stopping", "regularisation", "differentially private training", "more data"),
    cites="Yeom et al. 2018, arXiv:1709.01604; the interval: Newcombe 1998, method 10",
)
