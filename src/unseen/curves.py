"""What a report draws, as numbers: ROC curves at some rates with the null band, and how exposed single units are."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import betabinom

from unseen.attack import Attack
from unseen.policy import Policy
from unseen.report import Exposure, RocCurve
from unseen.signal import Bools, Floats
from unseen.stats.power import FEWEST_EXPECTED
from unseen.stats.roc import curve
from unseen.trial import Trial

POINTS = 60
FEWEST_SHOWN = 10  # units of either side in a bin of exposure
EDGES = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 1e-4, 1e-5, 1e-6, 0.0)


def best_of_each_row(attacks: Sequence[Attack], scores: Mapping[str, Floats], recommended: str) -> list[Attack]:
    """Return the recommended attack and, for every other signal row, the first of the catalogue that ran."""
    chosen: dict[str, Attack] = {}
    for attack in sorted(attacks, key=lambda one: one.name != recommended):
        if attack.name in scores:
            chosen.setdefault(attack.row, attack)
    return list(chosen.values())


def roc_curves(attacks: Sequence[Attack], scores: Mapping[str, Floats], member: Bools) -> list[RocCurve]:
    """Return the curve of each attack at up to 60 rates, spaced by logarithm from ten false positives up to all.

    Below ten a threshold means little: rates that are refused as numbers are not drawn either.
    """
    members, non_members = int(member.sum()), int((~member).sum())
    allowed = np.unique(
        np.geomspace(min(FEWEST_EXPECTED, max(non_members - 1, 1)), max(non_members - 1, 1), POINTS).astype(int)
    )
    law = betabinom(members, allowed + 1, np.maximum(non_members - allowed, 1))
    low, high = law.ppf(0.025) / members, law.ppf(0.975) / members
    rates = np.append(allowed / non_members, 1.0)
    drawn = []
    for attack in attacks:
        steps = curve(scores[attack.name], member)
        place = np.searchsorted(steps.fpr, rates * (1 + 1e-12), side="right") - 1
        drawn.append(
            RocCurve(
                attack=attack.name,
                row=attack.row,
                fpr=rates.tolist(),
                tpr=steps.tpr[place].tolist(),
                band_low=np.append(low, 1.0).tolist(),
                band_high=np.append(high, 1.0).tolist(),
            )
        )
    return drawn


def exposure(attack: str, p_values: Floats, trial: Trial, policy: Policy) -> Exposure | None:
    """Return how many members and non-members have a p-value in each bin; under ten on a side, it joins the next.

    None where there are fewer than ten units on a side.
    """
    member = trial.member
    if min(int(member.sum()), int((~member).sum())) < FEWEST_SHOWN:
        return None
    edges, inside, outside = [EDGES[-1]], list[int](), list[int]()
    have = np.zeros(2, dtype=int)
    for upper in reversed(EDGES[:-1]):
        within = (p_values > edges[-1]) & (p_values <= upper)
        have = np.array([(within & member).sum(), (within & ~member).sum()])
        if have.min() < FEWEST_SHOWN and upper < EDGES[0]:
            continue
        edges.append(upper)
        inside.append(int(have[0]))
        outside.append(int(have[1]))
    if have.min() < FEWEST_SHOWN and len(inside) > 1:  # what is left at the top joins the bin below
        edges.pop(-2)
        inside[-2:] = [sum(inside[-2:])]
        outside[-2:] = [sum(outside[-2:])]
    return Exposure(attack, edges[::-1], inside[::-1], outside[::-1], most_exposed(p_values, trial, policy))


def most_exposed(p_values: Floats, trial: Trial, policy: Policy) -> list[str]:
    """Return the ids of the most exposed flagged members, at most `policy.name_ids`, in their own order."""
    flagged = np.flatnonzero(trial.member & (p_values <= policy.flag_fpr))
    first = flagged[np.argsort(p_values[flagged], kind="stable")][: policy.name_ids]
    return sorted(trial.ids[first].astype(str).tolist())
