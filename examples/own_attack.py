"""Run every promise over an attack of your own (median_margin.py), and see what it is worth where the truth is known.

The attack has a file of its own: the checks read that file, and refuse one that reaches for statistics or the truth.
"""

from median_margin import MEDIAN_MARGIN

from unseen.attacks import catalogue
from unseen.stats.roc import auc, tpr_at_fpr
from unseen.testing.checks import check_attack
from unseen.testing.worlds import classifier


def main() -> None:
    """Check the attack, then compare it with two of the catalogue in one simulated world."""
    check_attack(MEDIAN_MARGIN)
    world = classifier(seed=0, records=10_000, references=8)
    for attack in (MEDIAN_MARGIN, catalogue()["calibrated-loss"], catalogue()["moderated-t-trend"]):
        scores = attack(world.signals).values
        print(f"{attack.name}: {auc(scores, world.member)}; {tpr_at_fpr(scores, world.member, 0.01)} at FPR 1 %")


if __name__ == "__main__":
    main()
