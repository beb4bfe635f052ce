"""Class balance: how small the smallest class is, and whether small classes are the exposed ones."""

import numpy as np
from msgspec.structs import replace

from unseen.case import Case
from unseen.estimate import Estimate
from unseen.factor import Factor, Measurement, flagged, measured, unmeasured
from unseen.signal import Bools, Ints
from unseen.stats.difference import rate_difference
from unseen.stats.share import share

FEWEST = 10  # units in a cell that is told
SMALL = 0.5  # of an equal share


def class_balance(case: Case) -> Measurement:
    """Measure how small the smallest class is among the members, and whether members of small classes are flagged more.

    A class is small with less than half of an equal share; where none is, the smallest one is compared with the rest.
    Seen where the smallest share's interval (at 95 % for all classes together) is below half of an equal share, or
    where some class is small and its members are flagged more often. Where a class has under ten members, no share is
    told; no class is ever named. A person with records of several classes is in none.
    """
    if case.label_index is None or case.target.classes < 2:
        return unmeasured("the classes of the records are not known")
    member_class = _class_of_units(case)[case.member]
    known = member_class >= 0
    if known.sum() < 2 * FEWEST:
        return unmeasured(f"under {2 * FEWEST} members have one class each")
    counts = np.bincount(member_class[known], minlength=case.target.classes)
    uneven, sentence, estimates = _imbalance(counts)
    gap = _exposure_gap(case, member_class, counts)
    if gap is None:
        return measured(uneven, sentence, estimates)
    sentence += (
        f"; members of small classes are flagged {100 * gap.value:.3g} points "
        f"[{100 * gap.low:.3g}, {100 * gap.high:.3g}] more often than the rest"
    )
    return measured(uneven or (gap.low > 0 and _has_small(counts)), sentence, [*estimates, gap])


def _has_small(counts: Ints) -> bool:
    return bool((counts < SMALL * counts.sum() / counts.size).any())


def _imbalance(counts: Ints) -> tuple[bool, str, list[Estimate]]:
    """Say whether some class is small, and tell the smallest share unless it, or what it leaves, would tell a few."""
    equal, rare = 1 / counts.size, int((counts < FEWEST).sum())
    if rare:
        return SMALL * equal * counts.sum() > FEWEST, f"{rare} classes have under {FEWEST} members", []
    one = share("smallest_class_share", int(counts.min()), int(counts.sum()), 1 - 0.05 / counts.size)
    one = replace(one, condition="members drawn alike; the interval pays for choosing the smallest class")
    sentence = (
        f"the smallest class has {100 * one.value:.3g} % of the members [{100 * one.low:.3g}, {100 * one.high:.3g}], "
        f"an equal share is {100 * equal:.3g} %"
    )
    return one.high < SMALL * equal, sentence, [one]


def _class_of_units(case: Case) -> Ints:
    """Return the class of each unit, -1 where its records differ, `(units,)`."""
    label, place = case.label_index, case.trial.unit_of
    if label is None or place is None:
        return np.asarray(label)
    least, most = np.full(case.member.size, np.iinfo(np.intp).max), np.full(case.member.size, -1)
    np.minimum.at(least, place, label)
    np.maximum.at(most, place, label)
    return np.where(least == most, most, -1)


def _exposure_gap(case: Case, member_class: Ints, counts: Ints) -> Estimate | None:
    flags = flagged(case)
    small = _small(counts)
    if flags is None:
        return None
    inside: Bools = small[member_class] & (member_class >= 0)
    outside: Bools = ~small[member_class] & (member_class >= 0)
    if min(inside.sum(), outside.sum()) < FEWEST:
        return None
    caught = flags[case.member]
    a, b = caught[inside], caught[outside]
    gap = rate_difference("flagged_share_gap", int(a.sum()), a.size, int(b.sum()), b.size)
    return replace(gap, attack=case.recommended, condition=f"flagged at a rate of {case.policy.flag_fpr:g}")


def _small(counts: Ints) -> Bools:
    small = counts < SMALL * counts.sum() / counts.size
    return small if small.any() else np.arange(counts.size) == counts.argmin()


CLASS_BALANCE = Factor(
    measure=class_balance,
    row="F2",
    controls=("more data", "merging small classes", "regularisation", "differentially private training"),
    cites="Kulynych et al. 2022, arXiv:1906.00389 (exposure differs between subgroups); Newcombe 1998 for the interval",
)
