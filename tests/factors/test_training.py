"""What the training set is like: its size against classes and parameters, repeats within it and across the split."""

import numpy as np
import pytest
from tests.factors.cases import covered, halves, made, named

from unseen.factors.capacity import CAPACITY
from unseen.factors.duplicates import DUPLICATES
from unseen.factors.separation import SEPARATION
from unseen.factors.training_size import TRAINING_SIZE
from unseen.report import NOT_APPLICABLE, NOT_SEEN, PRESENT

NOTHING = {
    f"{how}_{where}_{side}": 0
    for how in ("exact", "near")
    for where in ("across", "within")
    for side in ("members", "non_members")
}


def copies(**counts):
    return made(halves(20), copies={"members": 1000, "non_members": 1000} | NOTHING | counts)


def test_few_records_a_class_are_seen_and_many_are_not():
    few = TRAINING_SIZE(made(halves(20), classes=10, training_size=500))
    assert (few.state, named(few, "records_per_class")[0].value) == (PRESENT, 50)
    assert TRAINING_SIZE(made(halves(20), classes=2, training_size=500)).state == NOT_SEEN
    assert TRAINING_SIZE(made(halves(20))).state == NOT_APPLICABLE


@pytest.mark.parametrize(("parameters", "state"), [(10, NOT_SEEN), (200, PRESENT), (None, NOT_APPLICABLE)])
def test_more_parameters_than_a_tenth_of_the_records_are_seen(parameters, state):
    found = CAPACITY(made(halves(20), training_size=500, parameters=parameters))
    assert found.state == state
    assert found.row == "F4"


def test_a_count_is_its_own_interval_and_says_that_it_was_counted():
    one = named(CAPACITY(made(halves(20), training_size=500, parameters=200)), "records_per_parameter")[0]
    assert (one.low, one.value, one.high, one.method) == (2.5, 2.5, 2.5, "exact count")
    assert CAPACITY(made(halves(20), parameters=200)).state == NOT_APPLICABLE


def test_repeats_among_members_are_seen_and_a_few_near_ones_are_chance():
    found = DUPLICATES(copies(exact_within_members=30, near_within_members=20))
    assert (found.state, named(found, "duplicate_share")[0].value) == (PRESENT, 0.05)
    assert DUPLICATES(copies(near_within_members=2)).state == NOT_SEEN
    assert DUPLICATES(copies(exact_within_non_members=300)).state == NOT_SEEN


def test_copies_across_the_split_are_seen_and_are_no_duplicates_within():
    case = copies(exact_across_non_members=50, exact_across_members=50)
    assert SEPARATION(case).state == PRESENT
    assert DUPLICATES(case).state == NOT_SEEN
    assert SEPARATION(copies(near_across_non_members=1, near_across_members=1)).state == NOT_SEEN


@pytest.mark.parametrize("factor", [DUPLICATES, SEPARATION])
def test_without_features_copies_are_not_looked_for(factor):
    assert factor(made(halves(20))).state == NOT_APPLICABLE


def test_the_share_of_repeats_is_held_at_its_rate_where_records_come_in_pairs():
    """Each record drawn comes twice with probability q: a share q / (1 + q) repeats another."""
    rng, q, found = np.random.default_rng(0), 0.08, []
    for _ in range(500):
        pairs = int((rng.random(800) < q).sum())
        found.append(DUPLICATES(copies(members=800 + pairs, exact_within_members=pairs)))
    assert covered([named(one, "duplicate_share")[0] for one in found], q / (1 + q)) >= 0.94


def test_the_share_across_the_split_is_held_at_its_rate():
    rng = np.random.default_rng(0)
    found = [SEPARATION(copies(near_across_non_members=int(n))) for n in rng.binomial(1000, 0.03, 500)]
    assert covered([named(one, "copies_across_share")[0] for one in found], 0.03) >= 0.94


def test_a_member_side_of_copies_alone_is_not_divided_by_zero():
    assert DUPLICATES(copies(exact_across_members=1000)).state == NOT_APPLICABLE
