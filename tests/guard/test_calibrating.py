"""Calibration: exact intervals, thresholds that honest traffic keeps below, rates of clients that chose nothing."""

from functools import partial

import numpy as np
import pytest
from scipy.stats import binomtest
from tests.guard.detectors import traffic

from unseen.errors import InputError
from unseen.guard.calibrating import (
    PastQuery,
    alarm_rate,
    calibrate_near_duplicates,
    calibrate_threshold,
    client_days_needed,
    clopper_pearson,
    read_past,
    upper_bound,
)
from unseen.guard.detector import Query
from unseen.guard.detectors.near_duplicates import NearDuplicates
from unseen.guard.detectors.seeking import Seeking


@pytest.mark.parametrize("trials", [1, 2, 7, 100, 3000, 20_000])
@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.5, 0.99, 1])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
def test_the_interval_is_scipys(trials, share, confidence):
    successes = int(share * trials)
    theirs = binomtest(successes, trials).proportion_ci(confidence, "exact")
    assert clopper_pearson(successes, trials, confidence) == pytest.approx(
        (theirs.low, theirs.high), rel=1e-6, abs=1e-12
    )
    one_sided = binomtest(successes, trials, alternative="less").proportion_ci(confidence, "exact").high
    assert upper_bound(successes, trials, confidence) == pytest.approx(one_sided, rel=1e-6)


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (-1, 5), (6, 5)])
def test_counts_that_cannot_be_are_refused(successes, trials):
    with pytest.raises(ValueError, match="successes"):
        clopper_pearson(successes, trials)


@pytest.mark.parametrize("target", [0.1, 0.01, 0.001])
def test_the_client_days_needed_are_the_fewest_that_show_the_target(target):
    needed = client_days_needed(target)
    assert alarm_rate("all", 0, needed, target).shown
    assert not alarm_rate("all", 0, needed - 1, target).shown
    assert "at most the target" in alarm_rate("all", 0, needed, target).sentence
    assert "cannot be shown" in alarm_rate("all", 0, needed - 1, target).sentence
    assert "was not shown" in alarm_rate("all", needed // 2, needed, target).sentence


def test_without_client_days_the_rate_is_undefined_and_not_zero():
    rate = alarm_rate("drift", 0, 0, 0.001)
    assert (rate.value, rate.low, rate.high, rate.shown) == (None, None, None, False)
    assert rate.sentence == "drift: undefined, because no client-days were held out."


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
    assert [(rate.client_days, rate.flagged) for rate in chosen.rates] == [(6, 0)] * 3  # half of six clients, two days
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
