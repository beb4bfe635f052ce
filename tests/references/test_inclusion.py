"""Coins are independent, keep their rate, and know neither how many references there are nor who is a member."""

import numpy as np
import pytest

from unseen.references.inclusion import draw_inclusion, draw_seeds


def test_the_same_seed_draws_the_same_coins():
    assert (draw_inclusion(3, 5, 200, 0.4) == draw_inclusion(3, 5, 200, 0.4)).all()
    assert (draw_inclusion(3, 5, 200, 0.4) != draw_inclusion(4, 5, 200, 0.4)).any()


def test_a_references_coins_do_not_depend_on_how_many_there_are():
    assert (draw_inclusion(0, 9, 100, 0.5)[:4] == draw_inclusion(0, 4, 100, 0.5)).all()
    assert draw_seeds(0, 9)[:4] == draw_seeds(0, 4)


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
def test_coins_keep_their_rate_per_reference_and_per_unit(rate):
    coins = draw_inclusion(0, 300, 400, rate)
    spread = np.sqrt(rate * (1 - rate))
    assert abs(coins.mean() - rate) < 4 * spread / np.sqrt(coins.size)
    assert np.abs(coins.mean(axis=1) - rate).max() < 5 * spread / np.sqrt(400)
    assert np.abs(coins.mean(axis=0) - rate).max() < 5 * spread / np.sqrt(300)


def test_coins_are_independent_and_not_balanced():
    coins = draw_inclusion(0, 40, 4000, 0.5)
    assert abs(coins.sum(axis=0).var() - 10.0) < 1.0  # binomial: 40 x 1/4; a balanced design has none
    together = np.corrcoef(coins)[np.triu_indices(40, 1)]
    assert np.abs(together).max() < 5 / np.sqrt(4000)


def test_no_references_have_no_coins():
    assert draw_inclusion(0, 0, 10, 0.5).shape == (0, 10)
    assert draw_seeds(0, 0) == []


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.01])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(ValueError, match="rate must be"):
        draw_inclusion(0, 2, 10, rate)


def test_seeds_differ_and_fit_into_every_librarys_range():
    seeds = draw_seeds(7, 500)
    assert len(set(seeds)) == 500
    assert min(seeds) >= 0
    assert max(seeds) < 2**31
    assert seeds != draw_seeds(8, 500)
