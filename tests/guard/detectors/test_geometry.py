"""Halving along a line is found, with and without labels and cover; honest lines are not."""

import numpy as np
import pytest
from tests.guard.detectors import traffic

from unseen.guard.detector import Query
from unseen.guard.detectors.geometry import Geometry

HONEST = ("independent", "what_if", "what_if_chain", "sliders", "drift", "straight_drift", "daily_drift", "noisy_level")


def highest(records, labels=None):
    detector, levels = Geometry(threshold=1e9), []
    for i, record in enumerate(records):
        detector.observe(Query("key", float(i), record[None], None if labels is None else labels[i : i + 1]))
        levels.append(detector.level("key"))
    return max(levels)


@pytest.mark.parametrize("profile", HONEST)
def test_honest_profiles_leave_no_shrinking_line(profile):
    assert highest(getattr(traffic, profile)(np.random.default_rng(2), traffic.world(3, 8), 500)) < 4


def test_a_swing_on_one_line_loses_as_often_as_it_gains():
    way = np.random.default_rng(0).normal(size=8)
    swing = np.sin(np.arange(1000) * 0.7)[:, None] * way
    assert highest(swing.astype(np.float32)) < 10


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("cover", [0, 0.5, 0.9])
def test_halving_is_found_on_the_second_target(cover, known):
    world, rng = traffic.world(3, 32), np.random.default_rng(4)
    mixed, _ = traffic.covered(rng, traffic.halving_only(rng, world, 60), lambda count: world.draw(rng, count), cover)
    assert highest(mixed, world.labels(mixed) if known else None) >= 10


def test_ends_that_were_answered_alike_are_no_search():
    world = traffic.world(3, 32)
    searched = traffic.halving_only(np.random.default_rng(4), world, 60)
    assert highest(searched, np.zeros(60, dtype=int)) == 0


def test_a_slider_moved_by_halves_is_an_edit_and_not_a_line():
    start = np.random.default_rng(0).normal(size=8)
    moves = np.repeat(start[None], 30, axis=0)
    moves[:, 2] += np.concatenate([[0, 1], 0.5 ** np.arange(1, 29)])
    assert highest(moves.astype(np.float32)) == 0
