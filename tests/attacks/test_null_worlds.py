"""Where nothing leaks, an audit says so: an attack errs in one audit in twenty at most, and so does the family."""

from functools import cache

import numpy as np
import pytest
from scipy.stats import binom

from unseen.attacks import ATTACKS, QMIA
from unseen.errors import TooFewRecords
from unseen.stats.multiplicity import holm
from unseen.stats.roc import auc, tpr_at_fpr
from unseen.testing.worlds import classifier, gaussian_logits

pytestmark = pytest.mark.slow

LEVEL = 0.05
WORLDS = 400
WORLDS_OF_QMIA = 60  # it fits four boosted models a world: a hundred times dearer than the others together
SIZES, REFERENCES, FPRS = (200, 500, 1000, 2000), (2, 4, 8, 16), (0.1, 0.01)
OTHERS = tuple(attack for attack in ATTACKS if attack is not QMIA)


def p_values(scores, member):
    """The p-values of all that is asked of one attack in one world: AUC, and TPR at the rates the counts resolve."""
    found = [auc(scores, member).p_value]
    for fpr in FPRS:
        try:
            found.append(tpr_at_fpr(scores, member, fpr).p_value)
        except TooFewRecords:
            continue
    return found


def alarms(attacks, worlds, make=classifier):
    """For every world, whether each attack by itself, and the family under one Holm, is said to have found a leak."""
    single, family = np.zeros((worlds, len(attacks)), dtype=bool), np.zeros(worlds, dtype=bool)
    for seed in range(worlds):
        world = make(seed, SIZES[seed % 4], REFERENCES[seed // 4 % 4], 0.0)
        asked = [p_values(attack(world.signals).values, world.member) for attack in attacks]
        single[seed] = [(holm(np.array(p)) <= LEVEL).any() for p in asked]
        family[seed] = (holm(np.concatenate(asked)) <= LEVEL).any()
    return single, family


@cache
def alarms_of_all_but_qmia():
    return alarms(OTHERS, WORLDS)


def most(worlds):
    """The false alarms that an audit erring at 5 % exceeds in 1 run of this test in 10,000."""
    return int(binom.isf(1e-4, worlds, LEVEL))


@pytest.mark.parametrize("attack", OTHERS, ids=lambda attack: attack.name)
def test_an_attack_raises_a_false_alarm_in_one_audit_of_twenty_at_most(attack):
    single, _ = alarms_of_all_but_qmia()
    assert single[:, OTHERS.index(attack)].sum() <= most(WORLDS)


def test_qmia_raises_a_false_alarm_in_one_audit_of_twenty_at_most():
    single, _ = alarms((QMIA,), WORLDS_OF_QMIA)
    assert single.sum() <= most(WORLDS_OF_QMIA)


def test_all_attacks_together_raise_a_false_alarm_in_one_report_of_twenty_at_most():
    _, family = alarms_of_all_but_qmia()
    assert family.sum() <= most(WORLDS)


def test_no_attack_on_margins_raises_more_false_alarms_where_variances_differ():
    on_margins = tuple(a for a in ATTACKS if {s.name for s in a.needs} == {"margin", "ref_margin", "ref_member"})
    single, family = alarms(on_margins, 200, gaussian_logits)
    assert single.sum(axis=0).max() <= most(200)
    assert family.sum() <= most(200)


def test_the_same_pipeline_finds_a_leak_where_there_is_one():
    found = 0
    for seed in range(20):
        world = classifier(seed, 1000, 8, 0.5)
        asked = [p_values(attack(world.signals).values, world.member) for attack in OTHERS]
        found += bool((holm(np.concatenate(asked)) <= LEVEL).any())
    assert found == 20
