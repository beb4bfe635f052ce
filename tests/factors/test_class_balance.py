"""Small classes are seen where they are small or exposed; cells under ten units stay untold."""

from dataclasses import replace

import numpy as np
import pytest
from tests.factors.cases import covered, halves, made, named

from unseen.factors.class_balance import CLASS_BALANCE
from unseen.report import NOT_APPLICABLE, NOT_SEEN, PRESENT

UNITS = 1200


def world(seed, shares=(0.5, 0.5), caught=None):
    """Classes drawn by these shares; where `caught` is given, members of each class are flagged with that chance."""
    rng = np.random.default_rng(seed)
    label = rng.choice(len(shares), UNITS, p=shares)
    case = made(halves(UNITS), classes=len(shares), label_index=label)
    if caught is None:
        return case
    flags = rng.random(UNITS) < np.asarray(caught)[label]
    return replace(case, recommended="planted", p_values={"planted": np.where(flags, 0.001, 0.5)})


def test_a_rare_class_is_seen_and_equal_classes_are_not():
    assert CLASS_BALANCE(world(0, (0.95, 0.05))).state == PRESENT
    assert CLASS_BALANCE(world(0)).state == NOT_SEEN


def test_a_small_class_that_is_flagged_more_often_is_seen():
    found = CLASS_BALANCE(world(0, (0.4, 0.4, 0.2), (0.05, 0.05, 0.3)))
    assert found.state == NOT_SEEN  # a fifth is more than half of an equal share: told, and no small class
    found = CLASS_BALANCE(world(0, (0.5, 0.4, 0.1), (0.05, 0.05, 0.3)))
    assert found.state == PRESENT
    assert named(found, "flagged_share_gap")[0].low > 0


def test_equal_classes_flagged_alike_are_seen_in_few_worlds():
    seen = [CLASS_BALANCE(world(seed, (0.25,) * 4, (0.1,) * 4)).state == PRESENT for seed in range(300)]
    assert np.mean(seen) <= 0.05  # one-sided 2.5 % and three deviations


@pytest.mark.parametrize("shares", [(0.2,) * 5, (0.7, 0.2, 0.1)])
def test_the_smallest_share_is_held_at_its_rate_although_it_was_chosen(shares):
    found = [named(CLASS_BALANCE(world(seed, shares)), "smallest_class_share")[0] for seed in range(400)]
    assert covered(found, min(shares)) >= 0.94


def test_the_gap_of_flagged_shares_is_held_at_its_rate():
    found = [named(CLASS_BALANCE(world(seed, (0.8, 0.2), (0.05, 0.25))), "flagged_share_gap")[0] for seed in range(400)]
    assert covered(found, 0.2) >= 0.93


def test_a_class_of_nine_members_is_never_counted_out():
    label = np.zeros(UNITS, dtype=int)
    label[:18] = 1  # nine members
    case = made(halves(UNITS), label_index=label)
    caught = replace(case, recommended="planted", p_values={"planted": np.where(label == 1, 0.001, 0.5)})
    found = CLASS_BALANCE(caught)
    assert found.state == PRESENT  # that it is under ten is told, and no more
    assert named(found, "flagged_share_gap") == []
    assert found.estimates == []  # the share of the others would tell it
    assert "9" not in found.finding


def test_a_person_with_records_of_two_classes_stands_in_neither():
    unit_of = np.repeat(np.arange(100), 2)
    label = np.where(unit_of < 50, 0, 1)
    label[::2][:10] = 1  # the first ten persons have one record of each
    found = CLASS_BALANCE(made(halves(100), unit_of=unit_of, label_index=label))
    assert named(found, "smallest_class_share")[0].counts == {"part": 20, "whole": 45}


def test_without_labels_or_with_few_members_it_says_why():
    assert CLASS_BALANCE(made(halves(40))).state == NOT_APPLICABLE
    assert CLASS_BALANCE(made(halves(20), label_index=np.zeros(20, dtype=int))).state == NOT_APPLICABLE
