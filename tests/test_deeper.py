"""Attacks that take more than answers: run on a sign only, on a network of digits, end to end."""

from functools import cache

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import unseen
from unseen.errors import DataError, PlanError

IMAGES, DIGITS = load_digits(return_X_y=True)
ORDER = np.random.default_rng(0).permutation(len(DIGITS))
X, Y = (IMAGES[ORDER] / 16).astype(np.float32), DIGITS[ORDER]
NOISY = Y.copy()
NOISY[::5] = (NOISY[::5] + 1) % 10  # one label of five is wrong: there is something to remember
IN, OUT, OTHERS = slice(0, 400), slice(400, 800), slice(800, 1600)
AUGMENTED = ["moderated-t-augmented", "lira-augmented", "rmia-augmented"]
ALONE = ["moderated-t-trend", "lira-online-shared", "rmia-online"]
OF_WEIGHTS = ["leverage", "white-box-gradient"]


def network():
    return torch.nn.Sequential(torch.nn.Linear(64, 96), torch.nn.Tanh(), torch.nn.Linear(96, 10))


def pictures():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 256), torch.nn.Tanh(), torch.nn.Linear(256, 10))


RECIPE = unseen.TorchRecipe(network, classes=range(10), epochs=160, batch_size=32)
ON_COPIES = unseen.TorchRecipe(
    pictures, classes=range(10), epochs=120, batch_size=32, shape=(1, 8, 8), augment=("flip", "shift:1")
)


@cache
def trained():
    model, log = RECIPE.trajectory(X[IN], NOISY[IN], 1, X[:800], NOISY[:800])
    return model, log.T


def audited(references=4, **settings):
    sides = (X[IN], NOISY[IN]), (X[OUT], NOISY[OUT]), (X[OTHERS], NOISY[OTHERS])
    settings = {"recipe": RECIPE, "copies": 2, "engine": "stacked", "workers": 1} | settings
    return unseen.audit(trained()[0], *sides, references=references, **settings)


def area(outcome, name):
    return next(e for e in outcome.estimates if e.attack == name and e.quantity == "auc" and not e.slice)


@cache
def everything():
    return audited(attacks=["imitation", "loss-trajectory", *OF_WEIGHTS], trajectory=trained()[1])


@pytest.mark.parametrize("name", ["imitation", "loss-trajectory", *OF_WEIGHTS])
def test_each_attack_that_takes_more_than_answers_finds_what_a_network_remembers(name):
    assert area(everything(), name).low > 0.55


@cache
def on_copies():
    model = ON_COPIES.refit(X[IN], NOISY[IN], 1)
    sides = (X[IN], NOISY[IN]), (X[OUT], NOISY[OUT]), (X[OTHERS], NOISY[OTHERS])
    engine = {"recipe": ON_COPIES, "engine": "stacked", "workers": 1}
    return unseen.audit(model, *sides, references=4, attacks=[*AUGMENTED, *ALONE], image=(8, 8), **engine)


@pytest.mark.parametrize(("copied", "alone"), list(zip(AUGMENTED, ALONE, strict=True)))
def test_copies_say_more_than_the_record_alone_of_a_network_that_was_trained_on_them(copied, alone):
    assert area(on_copies(), copied).value > area(on_copies(), alone).value


def test_copies_are_asked_and_counted():
    assert on_copies().report.target.queries == 1600 + 17 * 800


def test_the_report_no_longer_says_that_weights_were_not_looked_at():
    assert not [line for line in everything().report.not_tested if "weights" in line]


def test_without_a_sign_none_of_them_runs():
    names = {one.name for one in audited(references=0).report.attacks}
    assert not names & {"imitation", "loss-trajectory", *AUGMENTED, *OF_WEIGHTS}
    told = audited(references=0, context=unseen.Context(access="public_weights")).report
    assert {one.name for one in told.attacks if one.estimates} >= set(OF_WEIGHTS)
    assert not [line for line in told.not_tested if "weights" in line]


def test_a_model_whose_weights_are_not_there_is_not_looked_into():
    model = LogisticRegression(max_iter=200).fit(X[IN], NOISY[IN])
    outcome = unseen.audit(model, (X[IN], NOISY[IN]), (X[OUT], NOISY[OUT]), references=0, attacks=["loss", *OF_WEIGHTS])
    states = {one.name: one.state for one in outcome.report.attacks}
    assert states == {"loss": states["loss"], "leverage": "not_applicable", "white-box-gradient": "not_applicable"}


def test_imitation_of_a_model_that_cannot_be_taught_probabilities_is_refused():
    def train(features, labels, seed):
        return LogisticRegression(max_iter=200).fit(features, labels)

    with pytest.raises(PlanError, match="imitation needs a TorchRecipe"):
        audited(attacks=["imitation"], recipe=train)


@pytest.mark.parametrize("spoil", [lambda log: log[:-1], lambda log: log[:, 0], lambda log: log * np.nan])
def test_a_log_that_does_not_fit_is_refused(spoil):
    with pytest.raises(DataError, match="trajectory"):
        audited(references=0, attacks=["loss-trajectory"], trajectory=spoil(trained()[1]))


def test_images_of_another_shape_are_refused():
    with pytest.raises(DataError, match="shape"):
        audited(references=0, image=(9, 9))
