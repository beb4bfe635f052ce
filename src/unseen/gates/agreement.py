"""Agreement: would the same records be flagged again?"""

from collections.abc import Mapping

import numpy as np
from msgspec.structs import replace
from scipy.stats import binom
from threadpoolctl import threadpool_limits

from unseen.attack import Attack
from unseen.case import Case
from unseen.curves import best_of_each_row
from unseen.errors import UnseenError
from unseen.estimate import Estimate
from unseen.gate import GATE_LEVEL, Finding, Gate, broken, held, not_applicable
from unseen.report import LEAK
from unseen.signal import Array, Bools, Signals
from unseen.stats.records import record_p_values
from unseen.stats.share import share

GROUPS = 4  # of references, each of which flags by itself
FEWEST_REFERENCES = 4  # in a group
FEWEST_FLAGGED = 10
LEAST_AGAIN = 0.05  # of what some references flag, others flag again


def agreement(case: Case) -> Finding:
    """The records that are flagged are flagged again: by the same attack asked twice, and by other references.

    The references are dealt into up to four groups; the recommended attack flags with each group alone, as another seed
    would. Broken where a leak is found and surely under one in twenty of what one group flags is flagged by the next
    (which takes 104 flags to say); or where the same signals give other scores. How far the best attacks of each signal
    row agree is told, and breaks nothing: they look for different things.
    """
    attack = next((one for one in case.attacks if one.name == case.recommended), None)
    if attack is None:
        return not_applicable("no attack gave scores")
    fickle = [one.name for one in case.attacks if one.name in case.scores and _fickle(one, case)]
    if fickle:
        return broken(
            f"{fickle[0]} gives other scores when it is asked the same again", counts={"attacks": len(fickle)}
        )
    flagged = _by_references(attack, case)
    again = _again(flagged, case)
    estimates = again + _between_attacks(case)
    counts = {"groups of references": len(flagged)}
    if len(flagged) > 1:
        counts |= {f"members flagged in {k} of {len(flagged)}": n for k, n in _support(flagged, case).items()}
    if len(flagged) > 1 and _leaks(case) and _others_flag_others(flagged[0], flagged[1]):
        return broken(
            "what some references flag, others do not: under one in twenty is flagged again", estimates, counts
        )
    if again:
        words = f"{100 * again[0].value:.3g} % [{100 * again[0].low:.3g}, {100 * again[0].high:.3g}]"
        return held(f"of what some references flag, others flag {words} again", estimates, counts)
    words = "scores repeat themselves; too few references, or flags, to see whether others would flag the same"
    return held(words, estimates, counts)


def _fickle(attack: Attack, case: Case) -> bool:
    """Say whether an attack of the caller's own, or the recommended one, gives other scores the second time."""
    if attack.name != case.recommended and attack.score.__module__.startswith("unseen.attacks."):
        return False
    return not np.allclose(case.trial.per_unit(attack(case.signals).values), case.scores[attack.name], equal_nan=True)


def _by_references(attack: Attack, case: Case) -> list[Bools]:
    """Return what the attack flags with each group of references alone, `(units,)` each; none without references."""
    finished = case.signals["ref_member"].shape[0] if "ref_member" in case.signals else 0
    groups = min(GROUPS, finished // FEWEST_REFERENCES)
    if groups < 2 or not any(signal.name.startswith("ref_") for signal in attack.needs):
        return []
    flagged = []
    for group in range(groups):
        try:
            with threadpool_limits(1):
                scores = case.trial.per_unit(attack(_with_references(case.signals, slice(group, None, groups))).values)
        except UnseenError:
            return []
        flagged.append(record_p_values(scores, case.member) <= case.policy.flag_fpr)
    return flagged


def _with_references(signals: Mapping[str, Array], kept: slice) -> Signals:
    return Signals(**{name: array[kept] if name.startswith("ref_") else array for name, array in signals.items()})


def _again(flagged: list[Bools], case: Case) -> list[Estimate]:
    """Return the share of what the first group flags that the second flags too, where there is enough to count."""
    if len(flagged) < 2 or int(flagged[0].sum()) < FEWEST_FLAGGED:
        return []
    both, first = int((flagged[0] & flagged[1]).sum()), int(flagged[0].sum())
    return [replace(share("flagged again", both, first), attack=case.recommended)]


def _between_attacks(case: Case) -> list[Estimate]:
    """Return the share of members flagged by the recommended attack that the best of each other row flags too."""
    own = case.p_values[case.recommended] <= case.policy.flag_fpr
    own &= case.member
    if int(own.sum()) < FEWEST_FLAGGED:
        return []
    found = []
    for other in best_of_each_row(case.attacks, case.scores, case.recommended):
        if other.name != case.recommended:
            both = int((own & (case.p_values[other.name] <= case.policy.flag_fpr)).sum())
            found.append(
                replace(share("flagged by both", both, int(own.sum())), attack=f"{case.recommended}, {other.name}")
            )
    return found


def _support(flagged: list[Bools], case: Case) -> dict[int, int]:
    """Return how many members were flagged by exactly k of the groups, where they are none, or ten and more."""
    times = np.sum(flagged, axis=0)[case.member]
    counted = {k: int((times == k).sum()) for k in range(1, len(flagged) + 1)}
    return {k: n for k, n in counted.items() if n == 0 or n >= FEWEST_FLAGGED}


def _leaks(case: Case) -> bool:
    return any(one.name == case.recommended and one.state == LEAK for one in case.results)


def _others_flag_others(one: Bools, other: Bools) -> bool:
    """Say whether surely under one in twenty of what one group flags is flagged by another."""
    both, first = int((one & other).sum()), int(one.sum())
    return first > 0 and float(binom.cdf(both, first, LEAST_AGAIN)) <= GATE_LEVEL


AGREEMENT = Gate(
    check=agreement,
    advice="Use an attack whose scores repeat, or more references, before naming single records.",
    cites="binomial test at one in twenty; heuristic",
)
