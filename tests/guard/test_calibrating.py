"""Calibration: thresholds that honest traffic keeps below, rates of clients that chose nothing."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from tests.guard.detectors import traffic

from unseen.errors import InputError
from unseen.guard.calibrating import PastQuery, calibrate_near_duplicates, calibrate_threshold, read_past
from unseen.guard.detector import Query
from unseen.guard.detectors.near_duplicates import NearDuplicates
from unseen.guard.detectors.seeking import Seeking

LARGE = b'{"client": "a", "when": 0, "vector": [1e39]}'


def past_of(profile, clients, queries=100, days=2, world=None):
    world = world or traffic.world(2, 8)
    for client in range(clients):
        rng = np.random.default_rng([client, len(profile)])
        records = getattr(traffic, profile)(rng, world, queries * days)
        for i, record in enumerate(records):
            yield PastQuery(Query(f"{profile}-{client}", i * traffic.DAY / queries, record[None]), profile)


@pytest.fixture(scope="module")
def honest():
    return [past for profile in ("independent", "what_if", "drift") for past in past_of(profile, 6)]


def test_calibrated_on_honest_traffic_it_finds_a_prober(honest):
    chosen = calibrate_near_duplicates(honest, np.random.default_rng(0))
    assert [rate.profile for rate in chosen.rates] == ["drift", "independent", "what_if"]
    counts = [(rate.clients, rate.client_days, rate.flagged_clients, rate.flagged) for rate in chosen.rates]
    assert counts == [(3, 6, 0, 0)] * 3  # half of six clients, two days
    assert chosen.client_days == 18
    assert not chosen.late
    detector = NearDuplicates(**chosen.settings)
    probes = traffic.noise_probing(np.random.default_rng(0), traffic.world(2, 8), 200)
    assert any(detector.observe(Query("key", float(i), probe[None])) for i, probe in enumerate(probes))


def test_calibration_is_repeatable_whatever_the_order_of_the_log(honest):
    first = calibrate_near_duplicates(honest, np.random.default_rng(0))
    assert calibrate_near_duplicates(honest[::-1], np.random.default_rng(0)) == first


def test_traffic_that_looks_like_probing_raises_the_threshold_and_says_so(honest):
    chosen = calibrate_near_duplicates([*honest, *past_of("noisy_level", 4)], np.random.default_rng(0))
    assert chosen.late
    assert "probing is found late or missed" in chosen.sentences[-1]
    assert all(rate.flagged == 0 for rate in chosen.rates)


def test_a_client_flagged_day_after_day_is_one_client():
    quiet = [PastQuery(Query(f"key-{i}", 0.0, parameters=frozenset({"a"})), "all") for i in range(40)]

    class Alarm:
        """Sees probing in every query of the one client that keeps asking, once it has a threshold."""

        name = "alarm"

        def __init__(self, threshold):
            self.threshold = threshold

        def observe(self, query):
            return object() if query.client == loud and self.threshold < 1e9 else None

        def level(self, client):
            return 0.0

    for loud in ("key-0", "key-1"):  # one of them is held out, by this seed
        days = [PastQuery(Query(loud, day * traffic.DAY), "all") for day in range(30)]
        (rate,) = calibrate_threshold([*quiet, *days], np.random.default_rng(0), Alarm).rates
        if rate.flagged:
            assert (rate.clients, rate.flagged_clients, rate.flagged, rate.client_days) == (20, 1, 30, 49)
            assert rate.value == 1 / 20
            assert rate.upper_bound > 0.2
            return
    pytest.fail("neither client was held out")


def test_a_profile_with_one_client_has_no_rate(honest):
    chosen = calibrate_near_duplicates([*honest, *past_of("daily_drift", 1)], np.random.default_rng(0))
    assert next(rate for rate in chosen.rates if rate.profile == "daily_drift").value is None


def test_calibration_without_vectors_is_refused():
    past = [PastQuery(Query(f"key-{i}", 0.0)) for i in range(4)]
    with pytest.raises(InputError, match="needs vectors of two clients"):
        calibrate_near_duplicates(past, np.random.default_rng(0))
    with pytest.raises(InputError, match="two clients"):
        calibrate_threshold([], np.random.default_rng(0), Seeking)


def test_a_threshold_of_any_detector_is_above_what_honest_clients_reach():
    rng = np.random.default_rng(0)
    past = [
        PastQuery(Query(f"key-{client}", float(i), parameters=frozenset({"echo"} if rng.random() < 0.2 else {})))
        for client in range(40)
        for i in range(100)
    ]
    chosen = calibrate_threshold(past, np.random.default_rng(0), partial(Seeking, allowance=0.3))
    assert 1 < chosen.settings["threshold"] < 40
    assert chosen.rates[0].flagged == 0
    assert chosen.rates[0].client_days == chosen.client_days == 20


def test_lines_that_are_no_past_query_are_refused_by_number():
    good = '{"client": "a", "when": 0, "parameters": ["echo"]}'
    assert next(read_past([good])).query.parameters == {"echo"}
    with pytest.raises(InputError, match="line 2 is no past query"):
        list(read_past([good, '{"client": "a", "when": 0, "vektor": [1]}']))
    for bad in (b'{"client": "\xff", "when": 0}', b'{"client": "a", "when": 0, "vector": []}', b"[" * 9000, LARGE):
        with pytest.raises(InputError, match="line 2 is no past query"):
            list(read_past([good, bad]))


def test_records_of_two_widths_are_compared_within_each():
    found = past_of("independent", 6, world=traffic.world(3, 12))
    wide = [PastQuery(replace(past.query, client=f"wide {past.query.client}"), past.profile) for past in found]
    narrow = list(past_of("independent", 6))
    chosen = calibrate_near_duplicates([*narrow, *wide], np.random.default_rng(0))
    taus = [calibrate_near_duplicates(past, np.random.default_rng(0)).settings["tau"] for past in (narrow, wide)]
    assert min(taus) < chosen.settings["tau"] < max(taus)
    one_each = [PastQuery(Query(f"key-{i}", 0.0, np.ones((1, 2 + i), np.float32))) for i in range(4)]
    with pytest.raises(InputError, match="two clients or more, of one width"):
        calibrate_near_duplicates(one_each, np.random.default_rng(0))
