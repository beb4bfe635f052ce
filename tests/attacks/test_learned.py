"""Learned: it keeps every promise, learns from references alone, and finds more than what it learns from."""

import numpy as np
import pytest

from unseen.attacks.base import base
from unseen.attacks.learned import LEARNED, LEARNED_NEAR, learned, learned_near
from unseen.attacks.moderated_t_trend import moderated_t_trend
from unseen.attacks.rank_combined import rank_combined
from unseen.moments import logistic
from unseen.moments.logistic import fit_logistic
from unseen.moments.near import MOST, means_near, neighbourhoods
from unseen.stats.roc import auc
from unseen.testing.checks import checks
from unseen.testing.worlds import classifier

ATTACKS = (LEARNED, LEARNED_NEAR)
PROMISES = [pytest.param(check, id=name) for name, check in checks()]


def moved(seed, records=1500, references=6, spread=1.5, leak=1.0):
    """Margins of a world in which every model treats each class, and each of its two sorts, more kindly or less."""
    rng = np.random.default_rng(seed)
    label, sort = rng.integers(5, size=records), rng.integers(2, size=records)
    seen = rng.random((references + 1, records)) < 0.5
    shared = spread * rng.normal(size=(references + 1, 5, 2))[:, label, sort]
    m = rng.normal(size=records) + leak * seen + shared + rng.normal(size=seen.shape)
    features = np.column_stack([sort, rng.normal(size=records)])
    loss = np.logaddexp(0, -m)
    return (
        seen,
        {"margin": m[0], "ref_margin": m[1:], "ref_member": seen[1:], "loss": loss[0], "ref_loss": loss[1:]},
        features,
        label,
    )


@pytest.mark.parametrize("check", PROMISES)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda one: one.name)
def test_it_keeps_every_promise(attack, check):
    check(attack)


@pytest.mark.parametrize("references", [4, 8])
def test_where_nothing_leaks_the_area_is_a_half_on_average(references):
    for attack in ATTACKS:
        areas = []
        for seed in range(12):
            world = classifier(seed, 500, references, leak=0.0)
            areas.append(auc(attack(world.signals).values, world.member).value)
        # an area of 500 records has a standard deviation of 0.026: four standard errors of twelve are 0.030
        assert abs(np.mean(areas) - 0.5) < 0.03, attack.name


def test_where_models_differ_by_class_and_nothing_leaks_neighbours_give_nothing_away():
    areas = []
    for seed in range(12):
        seen, given, features, label = moved(seed, leak=0.0)
        areas.append(auc(learned_near(**given, features=features, label=label), seen[0]).value)
    assert abs(np.mean(areas) - 0.5) < 4 * 0.015 / np.sqrt(12)  # 0.015: one area of 1,500 records


def test_neighbours_tell_what_a_model_does_to_a_whole_neighbourhood_from_membership():
    gains = []
    for seed in range(3):
        seen, given, features, label = moved(seed)
        near = learned_near(**given, features=features, label=label)
        gains.append(auc(near, seen[0]).value - auc(learned(**given), seen[0]).value)
    assert min(gains) > 0.08


def test_it_finds_at_least_what_either_score_it_learns_from_finds_within_noise():
    world = classifier(3, 4000, 8)
    s = world.signals
    found = auc(LEARNED(s).values, world.member).value
    one = auc(moderated_t_trend(s["margin"], s["ref_margin"], s["ref_member"]), world.member).value
    two = auc(base(s["loss"], s["ref_loss"]), world.member).value
    assert found > max(one, two) - 0.005


def test_with_three_references_it_is_the_rank_combination():
    _, given, features, label = moved(0, records=200, references=3)
    plain = rank_combined(**given)
    assert np.array_equal(learned(**given), plain)
    assert np.array_equal(learned_near(**given, features=features, label=label), plain)


def test_how_many_references_had_a_record_is_no_clue():
    areas = []
    for seed in range(8):
        world = classifier(seed, 500, 6)
        count = world.signals["ref_member"].sum(axis=0).astype(float)
        areas.append(np.corrcoef(LEARNED(world.signals).values[world.member], count[world.member])[0, 1])
    assert abs(np.mean(areas)) < 0.2


def test_logistic_weights_are_where_the_penalised_likelihood_is_flat():
    rng = np.random.default_rng(0)
    clues = rng.normal(size=(500, 3))
    member = rng.random(500) < 1 / (1 + np.exp(-clues[:, 0]))
    model = fit_logistic(clues, member, (0,))
    order = rng.permutation(500)
    again = fit_logistic(clues[order], member[order], (0,))
    assert np.abs(model.weight - again.weight).max() < 1e-9
    rate = 1 / (1 + np.exp(-model.log_odds(clues)))
    assert abs((member - rate).sum() - model.weight[0]) < 1e-6  # the slope of the constant: residuals less its penalty


def test_log_odds_of_many_records_are_those_of_a_few_at_a_time(monkeypatch):
    rng = np.random.default_rng(0)
    clues = rng.normal(size=(500, 3))
    model = fit_logistic(clues, clues[:, 0] > 0, (0,))
    whole = model.log_odds(clues)
    monkeypatch.setattr(logistic, "CHUNK", 7)
    assert np.allclose(model.log_odds(clues), whole, rtol=0, atol=1e-12)
    assert model.log_odds(clues[:0]).shape == (0,)


def all_means(values, near):
    means = np.zeros((values.size, 3))
    for rows, found in means_near(values[:, None], near):
        means[rows] = found[:, :, 0].T
    return means


def test_means_over_neighbours_leave_the_record_itself_out_and_stay_in_its_class():
    label = np.repeat([0, 1, 2], [3, 4, 1])
    means = all_means(np.arange(8.0), neighbourhoods(np.zeros((8, 2)), label))
    assert means[:3].tolist() == [[1.5] * 3, [1.0] * 3, [0.5] * 3]
    assert np.allclose(means[3:7], np.array([[5.0], [14 / 3], [13 / 3], [4.0]]))
    assert means[7].tolist() == [0.0] * 3  # alone in its class


def test_a_large_class_is_cut_so_that_equal_records_stay_together_and_order_does_not_matter():
    rng = np.random.default_rng(0)
    features = np.repeat(rng.normal(size=(1300, 4)), 2, axis=0)
    found = neighbourhoods(features, np.zeros(2600, dtype=int))
    assert max(rows.size for rows in found.blocks) <= MOST
    assert sorted(np.concatenate(found.blocks)) == list(range(2600))
    assert all({row ^ 1 for row in rows} == set(rows) for rows in found.blocks)
    values, order = rng.normal(size=2600), rng.permutation(2600)
    after = all_means(values[order], neighbourhoods(features[order], np.zeros(2600, dtype=int)))
    assert np.allclose(after, all_means(values, found)[order], atol=1e-9)


def test_many_records_that_are_all_equal_have_no_neighbours():
    assert neighbourhoods(np.ones((MOST + 1, 2)), np.zeros(MOST + 1, dtype=int)).blocks == []


def test_a_missing_value_lies_at_the_mean_of_its_column():
    features = np.array([[0.0, 1.0], [np.nan, 2.0], [4.0, 3.0], [2.0, 1.5]])
    near = neighbourhoods(features, np.zeros(4, int))
    assert near.scaled[1, 0] == 0.0
    assert np.isfinite(all_means(np.arange(4.0), near)).all()
