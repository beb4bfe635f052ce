"""Alarm rates: bounds over clients, exact or held in worlds of known truth, however a client's days depend."""

import numpy as np
import pytest
from scipy.stats import beta, binomtest

from unseen.guard import alarm_rate as rates
from unseen.guard.alarm_rate import alarm_rate, client_interval, clients_needed, clopper_pearson, mean_bound


@pytest.mark.parametrize("trials", [1, 2, 7, 100, 3000, 20_000])
@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.5, 0.99, 1])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
def test_the_interval_is_scipys(trials, share, confidence):
    successes = int(share * trials)
    theirs = binomtest(successes, trials).proportion_ci(confidence, "exact")
    assert clopper_pearson(successes, trials, confidence) == pytest.approx(
        (theirs.low, theirs.high), rel=1e-6, abs=1e-12
    )


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (-1, 5), (6, 5)])
def test_counts_that_cannot_be_are_refused(successes, trials):
    with pytest.raises(ValueError, match="successes"):
        clopper_pearson(successes, trials)


@pytest.mark.parametrize(("days", "flagged"), [([3], [4]), ([0], [0]), ([3], [-1]), ([3, 3], [0])])
def test_days_that_cannot_be_are_refused(days, flagged):
    with pytest.raises(ValueError, match=r"every client|zip"):
        alarm_rate("all", days, flagged, 0.1)


@pytest.mark.parametrize("target", [0.1, 0.01, 0.001])
def test_the_clients_needed_are_the_fewest_that_show_the_target_however_many_days_they_have(target):
    needed = clients_needed(target)
    for days in (1, 30):
        enough, less = (alarm_rate("all", [days] * count, [0] * count, target) for count in (needed, needed - 1))
        assert enough.shown
        assert not less.shown
        assert "target of" in enough.sentence
        assert "cannot be shown" in less.sentence
    many = alarm_rate("all", [1] * needed, [1] * (needed // 2) + [0] * (needed - needed // 2), target)
    assert "was not shown" in many.sentence


def test_the_bound_that_is_printed_is_the_one_that_is_judged():
    """No sentence says 0.123 % and "at most 0.1 %" of one count."""
    rate = alarm_rate("all", [1] * 2995, [0] * 2995, 0.001)
    assert rate.high > 0.001 >= rate.upper_bound
    assert "at most 0.1 % at 95 % confidence, one-sided, over clients (exact, Clopper and Pearson)" in rate.sentence
    assert "0.123" not in rate.sentence


def test_without_clients_the_rate_is_undefined_and_not_zero():
    rate = alarm_rate("drift", [], [], 0.001)
    assert (rate.value, rate.low, rate.high, rate.upper_bound, rate.shown) == (None, None, None, None, False)
    assert rate.sentence == "drift: undefined, because no client-days were held out."


def test_both_counts_and_the_method_are_said():
    sentence = alarm_rate("drift", [8] * 31, [3, 1] + [0] * 29, 0.001).sentence
    assert sentence.startswith("drift: 4 of 248 client-days flagged, on 2 of 31 clients: 1.61 % of a client's days")
    assert "one-sided, over clients (Gaffke 2005)" in sentence


@pytest.mark.parametrize(("clients", "flagged"), [(20, 0), (20, 1), (20, 20), (500, 3)])
def test_clients_flagged_on_all_their_days_or_none_have_the_exact_interval(clients, flagged):
    shares = np.arange(clients) < flagged
    assert client_interval(shares.astype(float)) == pytest.approx(clopper_pearson(flagged, clients))


def test_the_integral_is_that_of_the_exact_bound_and_is_approached_by_it(monkeypatch):
    """Shares of nearly 1 and 0, which take the way by draws, have nearly the bound of 1 and 0: a beta quantile."""
    monkeypatch.setattr(rates, "DRAWS", 400_000)
    near = np.array([1 - 1e-9] * 3 + [1e-9] * 27)
    assert mean_bound(near, 0.05) == pytest.approx(beta.ppf(0.95, 4, 27), rel=0.01)


def test_a_bound_rises_with_the_shares_and_with_confidence():
    few, more = np.array([0.1] * 2 + [0.0] * 28), np.array([0.2] * 2 + [0.0] * 28)
    assert mean_bound(np.zeros(30), 0.05) < mean_bound(few, 0.05) < mean_bound(more, 0.05) < mean_bound(more, 0.01)


def flagged_always(rng, clients=20, share=0.02):
    """The review's world: few clients are flagged, on all their days."""
    return 30.0 * (rng.random(clients) < share), [30] * clients


def independent(rng):
    return rng.binomial(30, 0.01, 40), [30] * 40


def independent_and_rare(rng):
    return rng.binomial(8, 0.001, 500), [8] * 500


def each_its_own_rate(rng):
    return rng.binomial(10, rng.beta(0.05, 4.95, 30)), [10] * 30


def half_the_days_of_a_few(rng):
    return (rng.random(60) < 0.05) * rng.binomial(10, 0.5, 60), [10] * 60


def often_and_each_its_own(rng):
    return rng.binomial(8, rng.beta(2, 3, 31)), [8] * 31


def more_days_more_alarms(rng):
    days = rng.integers(1, 31, 40)
    return (rng.random(40) < days / 300) * days, days


WORLDS = {  # and the mean over clients of the share of their days
    flagged_always: 0.02,
    independent: 0.01,
    independent_and_rare: 0.001,
    each_its_own_rate: 0.01,
    half_the_days_of_a_few: 0.025,
    often_and_each_its_own: 0.4,
    more_days_more_alarms: 15.5 / 300,
}


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.__name__)
def test_the_interval_holds_the_truth_as_often_as_it_says(world, monkeypatch):
    """400 worlds, each with other clients. At a coverage of 95 %, fewer than 364 hold the truth once in 3,000 times."""
    monkeypatch.setattr(rates, "DRAWS", 4000)
    rng, truth = np.random.default_rng(0), WORLDS[world]
    held = below = 0
    for _ in range(400):
        flagged, days = world(rng)
        rate = alarm_rate("all", [int(day) for day in days], [int(one) for one in flagged], 0.001)
        held += rate.low <= truth <= rate.high
        below += truth <= rate.upper_bound
    assert held >= 364
    assert below >= 364


def test_days_taken_as_independent_would_not_hold_it():
    """What was done before: of the review's world the interval over client-days holds the truth next to never."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        low, high = clopper_pearson(int(sum(flagged_always(rng)[0])), 600)
        held += low <= 0.02 <= high
    assert held < 20
