"""What a report draws: curves where counts carry them, a band that holds leak-free models, no small cells."""

import numpy as np
import pytest

from unseen.attacks import catalogue
from unseen.curves import exposure, most_exposed, roc_curves
from unseen.policy import Policy
from unseen.stats.records import record_p_values
from unseen.stats.roc import tpr_at_fpr
from unseen.trial import Trial


def trial_of(members, non_members):
    member = np.arange(members + non_members) < members
    return Trial(member, np.array([f"r{i:05d}" for i in range(member.size)]))


def scores_of(trial, leak, seed=0):
    return np.random.default_rng(seed).normal(size=trial.member.size) + leak * trial.member


def test_a_curve_starts_at_ten_false_positives_and_agrees_with_the_estimates():
    trial = trial_of(2000, 3000)
    scores = scores_of(trial, 1.0)
    one = roc_curves([catalogue()["loss"]], {"loss": scores}, trial.member)[0]
    assert one.fpr[0] == 10 / 3000
    assert (one.fpr[-1], one.tpr[-1]) == (1.0, 1.0)
    assert one.tpr[0] == pytest.approx(tpr_at_fpr(scores, trial.member, 10 / 3000).value, abs=0.01)
    assert one.fpr == sorted(one.fpr)
    assert one.tpr == sorted(one.tpr)


def test_the_band_holds_a_leak_free_model_nineteen_times_of_twenty_at_each_rate():
    trial = trial_of(300, 400)
    outside = []
    for seed in range(300):
        one = roc_curves([catalogue()["loss"]], {"loss": scores_of(trial, 0.0, seed)}, trial.member)[0]
        tpr, low, high = map(np.array, (one.tpr, one.band_low, one.band_high))
        outside.append(((tpr < low) | (tpr > high))[:-1])
    assert np.mean(outside, axis=0).max() <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 300)


@pytest.mark.parametrize("leak", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("sizes", [(40, 40), (1000, 5000), (5000, 300)])
def test_every_bin_of_exposure_has_ten_units_a_side_and_nobody_is_lost(leak, sizes):
    trial = trial_of(*sizes)
    p_values = record_p_values(scores_of(trial, leak), trial.member)
    one = exposure("loss", p_values, trial, Policy())
    assert (sum(one.members), sum(one.non_members)) == sizes
    assert len(one.edges) == len(one.members) + 1
    assert one.edges == sorted(one.edges, reverse=True)
    assert len(one.members) == 1 or min([*one.members, *one.non_members]) >= 10


def test_fewer_than_ten_on_a_side_are_not_drawn():
    trial = trial_of(9, 100)
    assert exposure("loss", record_p_values(scores_of(trial, 1.0), trial.member), trial, Policy()) is None


def test_the_most_exposed_are_flagged_members_in_the_order_of_their_names():
    trial = trial_of(500, 1000)
    p_values = record_p_values(scores_of(trial, 3.0), trial.member)
    named = most_exposed(p_values, trial, Policy(name_ids=7))
    assert named == sorted(named)
    assert len(named) == 7
    assert (p_values[[int(name[1:]) for name in named]] <= 0.01).all()
    assert max(int(name[1:]) for name in named) < 500
    assert most_exposed(p_values, trial, Policy(name_ids=0)) == []
