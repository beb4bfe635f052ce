"""Overfitting is seen where it was planted, with its size, and not where members and others are answered alike."""

import numpy as np
import pytest
from tests.factors.cases import covered, halves, made, named

from unseen.factors.overfitting import OVERFITTING
from unseen.report import NOT_APPLICABLE, NOT_SEEN, PRESENT

UNITS = 400


def world(seed, inside=0.9, outside=0.75, shift=0.5):
    """Right with these probabilities; losses are exponential, those of non-members longer by `shift`."""
    rng = np.random.default_rng(seed)
    member = halves(UNITS)
    correct = rng.random(UNITS) < np.where(member, inside, outside)
    loss = rng.exponential(np.where(member, 1.0, 1.0 + shift))
    return made(member, signals={"correct": correct.astype(float), "loss": loss})


def persons(seed, gap=0.15, records=4):
    """Persons with records that share their luck; their own chances spread widely."""
    rng = np.random.default_rng(seed)
    unit_of = np.repeat(np.arange(UNITS), records)
    member = halves(UNITS)
    chance = rng.uniform(0.45, 0.85, UNITS) + gap * member
    correct = rng.random(unit_of.size) < chance[unit_of]
    return made(member, unit_of=unit_of, signals={"correct": correct.astype(float)})


def test_a_planted_gap_is_seen_and_said_in_points_and_nats():
    found = OVERFITTING(world(0))
    assert found.state == PRESENT
    assert "points higher on members" in found.finding
    assert "nats higher on non-members" in found.finding
    assert "early stopping" in found.controls


def test_where_nothing_differs_it_is_seen_in_at_most_one_world_of_twenty():
    seen = [OVERFITTING(world(seed, 0.8, 0.8, 0.0)).state == PRESENT for seed in range(300)]
    assert np.mean(seen) <= 0.075  # 5 % and three deviations


def test_members_answered_worse_are_not_overfitting():
    assert OVERFITTING(world(0, inside=0.6, outside=0.9, shift=-0.5)).state == NOT_SEEN


def test_both_intervals_hold_the_truth_at_their_rate():
    found = [OVERFITTING(world(seed)) for seed in range(500)]
    assert covered([named(one, "accuracy_gap")[0] for one in found], 0.15) >= 0.93
    assert covered([named(one, "loss_gap")[0] for one in found], 0.5) >= 0.92  # exponentials, a little lopsided


def test_the_tail_is_one_percent_where_nothing_differs_and_more_where_losses_are_longer():
    clean = [named(OVERFITTING(world(seed, shift=0.0)), "loss_tail")[0] for seed in range(200)]
    assert np.mean([one.value for one in clean]) == pytest.approx(0.0125, abs=0.005)
    assert covered(clean, 0.01) >= 0.8  # exact given the threshold, which is itself drawn
    heavy = [named(OVERFITTING(world(seed, shift=2.0)), "loss_tail")[0].value for seed in range(50)]
    assert np.mean(heavy) > 0.1


def test_a_persons_records_are_one_observation():
    found = [named(OVERFITTING(persons(seed)), "accuracy_gap")[0] for seed in range(400)]
    assert found[0].counts == {"units": UNITS // 2, "other_units": UNITS // 2}
    assert 0.925 <= covered(found, 0.15) <= 0.985


def test_answers_without_correctness_or_loss_say_nothing():
    found = OVERFITTING(made(halves(20)))
    assert (found.state, found.estimates) == (NOT_APPLICABLE, [])


def test_a_model_that_is_always_right_has_no_gap_and_still_an_interval():
    found = OVERFITTING(made(halves(60), signals={"correct": np.ones(60), "loss": np.zeros(60)}))
    assert found.state == NOT_SEEN
    assert named(found, "accuracy_gap")[0].high > 0
    assert named(found, "loss_gap") == []
