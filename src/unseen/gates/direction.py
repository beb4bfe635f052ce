"""Direction: does a higher score mean a member?"""

from unseen.case import Case
from unseen.gate import GATE_LEVEL, Finding, Gate, broken, held, not_applicable
from unseen.report import LEAK
from unseen.signal import Floats
from unseen.stats.roc import auc


def direction(case: Case) -> Finding:
    """No attack ranks members below others by more than chance.

    Such a score is reversed, or it tells members apart in a way that nobody foresaw; either way "nothing found" would
    be wrong. Where other attacks find a leak, it is passed over in attacks of the catalogue, whose direction is tested,
    unless the recommended one is among them.
    """
    if not case.scores:
        return not_applicable("no attack gave scores")
    level = GATE_LEVEL / len(case.scores)
    own = {attack.name for attack in case.attacks if not attack.score.__module__.startswith("unseen.attacks.")}
    leak = any(one.state == LEAK for one in case.results)
    reversed_ones, estimates = [], []
    for name, scores in case.scores.items():
        if _reversed_p(scores, case) > level:
            continue
        measured = auc(scores, case.member)
        if not leak or name in own | {case.recommended}:
            reversed_ones.append(name)
            estimates.append(measured)
    if reversed_ones:
        return broken(
            f"members rank below others by {', '.join(reversed_ones[:3])} (AUC {estimates[0].value:.3f} "
            f"[{estimates[0].low:.3f}, {estimates[0].high:.3f}])",
            estimates,
            {"attacks": len(case.scores), "reversed": len(reversed_ones)},
        )
    return held("no attack ranks members below others", counts={"attacks": len(case.scores), "reversed": 0})


def _reversed_p(scores: Floats, case: Case) -> float:
    return auc(-scores, case.member).p_value or 0.0


DIRECTION = Gate(
    check=direction,
    advice="Hand in scores of which higher means member (negate a loss), and the columns of probabilities in the order "
    "of the labels 0, 1, ...; where both are right, look for what makes members look unlike members.",
    cites="Mann and Whitney 1947, Bonferroni over the attacks",
)
