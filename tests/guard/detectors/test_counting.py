"""Volume, seeking, sharing and decoys: their levels equal what their definitions say."""

import numpy as np
import pytest
from tests.guard.detectors.traffic import DAY

from unseen.errors import PolicyError
from unseen.guard.detector import Query
from unseen.guard.detectors.decoys import Decoys
from unseen.guard.detectors.seeking import Seeking
from unseen.guard.detectors.sharing import Sharing
from unseen.guard.detectors.volume import Baseline, Volume


def asked(client, day, count, rng):
    return [Query(client, day * DAY + i, fingerprints=(rng.bytes(8),)) for i in range(count)]


def alarms(detector, queries):
    return [sighting for query in queries if (sighting := detector.observe(query))]


def test_a_baseline_is_the_plain_mean_and_spread_until_old_days_weigh_less():
    counts = np.random.default_rng(0).poisson(100, 10)
    usual = Baseline(weight=0.1)
    for count in counts:
        usual.add(count)
    assert usual.mean == pytest.approx(np.log1p(counts).mean())
    assert usual.variance == pytest.approx(np.log1p(counts).var())


def test_a_heavy_client_that_is_always_heavy_is_not_unusual_and_one_that_grows_tenfold_is():
    detector, rng = Volume(), np.random.default_rng(0)
    for day in range(10):
        for key, count in (("a", 20), ("b", 30), ("heavy", 400)):
            assert day < 8 or not alarms(detector, asked(key, day, count, rng))
            alarms(detector, asked(key, day, count, rng) if day < 8 else [])
    assert [sighting.client for sighting in alarms(detector, asked("a", 10, 300, rng))] == ["a"]  # once a day


def test_a_new_client_is_compared_with_the_population_and_before_that_with_nothing():
    detector, rng = Volume(), np.random.default_rng(0)
    assert not alarms(detector, asked("first", 0, 1000, rng))
    for day in range(1, 12):
        for key in ("a", "b", "c"):
            alarms(detector, asked(key, day, 20, rng))
    assert alarms(detector, asked("new", 12, 600, rng))


def test_many_records_in_one_request_count_as_many():
    one, many = Volume(), Volume()
    rng = np.random.default_rng(0)
    marks = tuple(rng.bytes(8) for _ in range(100))
    one.observe(Query("key", 0.0, fingerprints=marks))
    for mark in marks:
        many.observe(Query("key", 0.0, fingerprints=(mark,)))
    ours, theirs = one.clients["key"], many.clients["key"]
    assert (ours.records, ours.breadth) == (theirs.records, theirs.breadth)
    assert ours.breadth == pytest.approx(100, rel=0.05)


def test_seeking_is_a_cusum_of_the_share():
    detector = Seeking(threshold=1e9, allowance=0.25)
    wants = np.random.default_rng(0).random(300) < 0.5
    level = 0.0
    for want in wants:
        detector.observe(Query("key", 0.0, parameters=frozenset({"echo"} if want else {"temperature"})))
        level = max(0.0, level + want - 0.25)
        assert detector.level("key") == level


def test_seeking_below_the_allowance_stays_quiet():
    detector, rng = Seeking(), np.random.default_rng(0)
    asks = (frozenset({"logprobs"} if rng.random() < 0.05 else set()) for _ in range(5000))
    assert not alarms(detector, [Query("key", 0.0, parameters=parameters) for parameters in asks])


def test_one_target_split_over_accounts_is_seen_on_each_and_private_records_on_none():
    rng, detector = np.random.default_rng(0), Sharing(threshold=10)
    seen = set()
    for i in range(2000):
        attacker = i % 2
        mark = b"one target" if attacker and rng.random() < 0.5 else rng.bytes(16)
        key = f"{'bad' if attacker else 'good'}-{rng.integers(10)}"
        sighting = detector.observe(Query(key, float(i), fingerprints=(mark,)))
        seen |= {sighting.client} if sighting else set()
    assert seen == {f"bad-{i}" for i in range(10)}


def test_a_shared_fingerprint_is_forgotten_after_the_span_and_with_its_clients():
    detector = Sharing(threshold=1, others=2, allowance=0.0, days=1)
    for key in ("a", "b"):
        assert not detector.observe(Query(key, 0.0, fingerprints=(b"same",)))
    detector.forget("a")
    assert not detector.observe(Query("c", 1.0, fingerprints=(b"same",)))  # b alone is left
    assert not detector.observe(Query("d", 3 * DAY, fingerprints=(b"same",)))


def test_a_list_that_was_not_read_is_not_an_empty_one():
    with pytest.raises(PolicyError, match="the list was not read"):
        Decoys(file="decoys.jsonl").observe(Query("key", 0.0, fingerprints=(b"\x05",)))


def test_decoys_count_touches_up_to_the_threshold():
    detector = Decoys(file="decoys.jsonl", threshold=2)
    detector.known = frozenset({b"\x01\x02", b"\x03\x04"})
    assert not detector.observe(Query("key", 0.0, fingerprints=(b"\x05", b"\x01\x02")))
    assert dict(detector.observe(Query("key", 0.0, fingerprints=(b"\x03\x04",))).evidence) == {"decoys": 2}
    assert not detector.observe(Query("other", 0.0, fingerprints=(b"\x05",)))
    assert list(detector.clients) == ["key"]
