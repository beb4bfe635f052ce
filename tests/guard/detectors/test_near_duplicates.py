"""Clouds are found among cover; honest profiles, some of them hard, stay quiet; what cannot be told apart is pinned."""

import numpy as np
import pytest
from tests.guard.detectors import traffic

from unseen.guard.detector import Query
from unseen.guard.detectors.near_duplicates import NearDuplicates
from unseen.guard.detectors.ring import Ring, squared_length

TAU = {8: 0.92, 32: 1.9, 384: 7.0}  # a quarter of the spread, as calibration finds it
QUIET = [
    *("independent", "one_segment", "retries", "what_if", "what_if_of_a_base", "what_if_chain", "sliders"),
    *("drift", "straight_drift", "noisy_drift", "returning_drift", "daily_drift", "noisy_daily_drift"),
]


def highest(records, features, when=None, **settings):
    detector = NearDuplicates(tau=TAU[features], threshold=1e9, **settings)
    when = np.arange(len(records)) if when is None else when
    levels = []
    for record, moment in zip(records, when, strict=True):
        detector.observe(Query("key", float(moment), record[None]))
        levels.append(detector.level("key"))
    return max(levels)


@pytest.mark.parametrize("features", [8, 32])
@pytest.mark.parametrize("profile", QUIET)
def test_honest_profiles_stay_far_below_the_threshold(profile, features):
    world = traffic.world(3, features)
    records = getattr(traffic, profile)(np.random.default_rng(5), world, 800)
    assert highest(records, features) < 25  # of 40


@pytest.mark.parametrize("features", [8, 32])
@pytest.mark.parametrize("cover", [0, 0.5, 0.9])
@pytest.mark.parametrize("attack", ["noise_probing", "boundary_probing"])
def test_probing_passes_the_threshold_within_200_probes(attack, cover, features):
    world, rng = traffic.world(3, features), np.random.default_rng(6)
    probes = getattr(traffic, attack)(rng, world, 200)
    mixed, _ = traffic.covered(rng, probes, lambda count: world.draw(rng, count), cover)
    assert highest(mixed, features) > 55


def test_probing_spread_over_weeks_is_still_seen():
    world, rng = traffic.world(3, 32), np.random.default_rng(7)
    probes = traffic.noise_probing(rng, world, 200)
    assert highest(probes, 32, traffic.times(rng, 200, days=10)) > 40


@pytest.mark.parametrize("attack", ["what_if_imitation", "one_query_each", "ten_copies_each", "coarse_noise_probing"])
def test_what_it_cannot_see_is_not_claimed(attack):
    world = traffic.world(3, 32)
    assert highest(getattr(traffic, attack)(np.random.default_rng(8), world, 200), 32) < 40


def test_a_sensor_at_rest_is_not_told_from_noise_probing():
    assert highest(traffic.noisy_level(np.random.default_rng(9), traffic.world(3, 32), 200), 32) > 40


def test_exact_retries_are_neither_evidence_nor_kept():
    world = traffic.world(3, 8)
    record = world.draw(np.random.default_rng(0), 1)
    detector = NearDuplicates(tau=1.0, threshold=5)
    assert not any(detector.observe(Query("key", float(i), record)) for i in range(300))
    assert detector.clients["key"].rings[8].at == 1


def test_questions_to_a_model_of_another_width_hide_no_probing():
    """One question in nine goes to another route of the same client."""
    rng = np.random.default_rng(0)
    person, other = rng.normal(size=8), rng.normal(size=(8, 4))
    seen = []
    detector = NearDuplicates(tau=1.0, threshold=20)
    for number in range(60):
        probe = (person + rng.normal(0, 0.05, 8)).astype(np.float32)
        seen.append(detector.observe(Query("key", float(number), probe[None])))
        if number % 8 == 0:
            detector.observe(Query("key", number + 0.5, other[number // 8][None].astype(np.float32)))
    assert any(seen)


def test_clouds_much_smaller_than_float32_products_resolve_are_seen():
    record = np.random.default_rng(0).normal(0, 10, 32)
    copies = (record + np.random.default_rng(1).normal(0, 1e-4, (120, 32))).astype(np.float32)
    assert highest(copies, 32) > 40


def test_half_of_a_level_is_forgotten_in_a_half_life():
    world, rng = traffic.world(3, 8), np.random.default_rng(6)
    detector = NearDuplicates(tau=0.92, threshold=1e9, half_life_days=2)
    for probe in traffic.noise_probing(rng, world, 100, scale=0.05):
        detector.observe(Query("key", 0.0, probe[None]))
    before = detector.level("key")
    detector.observe(Query("key", 2 * traffic.DAY, world.draw(rng, 1)))
    assert detector.level("key") == pytest.approx(before / 2 - 0.02)


def test_after_a_sighting_the_level_starts_again():
    world = traffic.world(3, 8)
    probes = traffic.noise_probing(np.random.default_rng(6), world, 200, scale=0.05, copies=200)
    detector = NearDuplicates(tau=0.92, threshold=40)
    assert sum(detector.observe(Query("key", 0.0, probe[None])) is not None for probe in probes) == 4


@pytest.mark.parametrize("pushed", [1, 5, 7, 8, 20])
def test_the_ring_finds_what_a_plain_search_of_the_last_records_finds(pushed):
    rows = np.random.default_rng(pushed).normal(size=(pushed, 4)).astype(np.float32)
    ring, record = filled(rows, 7), np.ones(4, dtype=np.float32)
    places, distances = ring.near(record, squared_length(record), 6.0)
    newest_first = rows[::-1][:7]
    plain = ((newest_first - record) ** 2).sum(axis=1)
    np.testing.assert_allclose(distances, plain[plain <= 6.0], rtol=1e-4)
    np.testing.assert_array_equal(ring.rows[places], newest_first[plain <= 6.0])


def filled(rows, size):
    ring = Ring(size=size, features=rows.shape[1])
    for row in rows:
        ring.push(row, squared_length(row))
    return ring


@pytest.mark.parametrize("near", [0, 5, 100, 400])
@pytest.mark.parametrize("far", ["everywhere", "elsewhere", "far away"])
@pytest.mark.parametrize("pushed", [100, 700])
def test_a_wide_ring_that_compares_some_features_first_finds_the_same(near, far, pushed):
    """Records that differ in all features, in those alone that are not compared first, and by a huge number."""
    rng = np.random.default_rng([near, pushed])
    rows = rng.normal(0, 1, (pushed, 384))
    if far == "elsewhere":
        rows[:, ::6] = 0
    if far == "far away":
        rows[::2] *= 1e6
    record = rng.normal(0, 1, 384)
    rows[rng.permutation(pushed)[:near]] = record + rng.normal(0, 0.1, (min(near, pushed), 384))
    rows, record = rows.astype(np.float32), record.astype(np.float32)
    ring = filled(rows, 512)
    plain = ((rows[::-1][:512].astype(np.float64) - record) ** 2).sum(axis=1)
    for _ in range(2):  # once with what the ring knew of the last record, and once with what it knows of this one
        places, distances = ring.near(record, squared_length(record), 20.0)
        np.testing.assert_array_equal(ring.rows[places], rows[::-1][:512][plain <= 20.0])
        np.testing.assert_allclose(distances, plain[plain <= 20.0], rtol=1e-3)


def test_how_many_lie_near_changes_nothing_but_the_cost(monkeypatch):
    """The levels of a prober are the same, to the last digit of a count, whether some features are compared first."""
    world, rng = traffic.world(3, 384), np.random.default_rng(6)
    probes = traffic.boundary_probing(rng, world, 150)
    mixed, _ = traffic.covered(rng, probes, lambda count: world.draw(rng, count), 0.5)
    first = highest(mixed, 384)
    monkeypatch.setattr("unseen.guard.detectors.ring.LONG", 10_000)
    assert highest(mixed, 384) == first > 40
