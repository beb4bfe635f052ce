"""The declared PyTorch recipe: what it refuses, what its seed fixes, and what its fingerprint covers."""

import pickle
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from unseen.errors import DataError, ModelError, PlanError
from unseen.recipes.torch import TorchRecipe
from unseen.recipes.torch_chance import Chance, augmented

RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 6)).astype(np.float32)
Y = np.array(["a", "b", "c"])[(X[:, :3]).argmax(axis=1)]


def mlp(hidden=8, rate=0.2):
    return nn.Sequential(nn.Linear(6, hidden), nn.ReLU(), nn.Dropout(rate), nn.Linear(hidden, 3))


def one_value():
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))


RECIPE = TorchRecipe(mlp, classes=("a", "b", "c"), epochs=4, batch_size=16, learning_rate=0.02)


def answers(recipe, seed=0):
    given = recipe.refit(X, Y, seed).answer(X).log_probs
    assert given is not None
    return np.asarray(given)


def test_the_same_seed_gives_the_same_model_and_another_seed_another():
    assert np.array_equal(answers(RECIPE, 1), answers(RECIPE, 1))
    assert not np.array_equal(answers(RECIPE, 1), answers(RECIPE, 2))


def test_training_learns_and_leaves_the_callers_generator_and_threads_alone():
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    target = replace(RECIPE, epochs=30).refit(X, Y, 0)
    assert (target.classes[target.answer(X).predicted] == Y).mean() > 0.8
    assert torch.equal(state, torch.get_rng_state())
    assert threads == torch.get_num_threads()


def test_the_callers_generator_does_not_change_the_model():
    first = answers(RECIPE)
    torch.manual_seed(12345)
    assert np.array_equal(first, answers(RECIPE))


def test_the_trajectory_is_the_loss_after_each_epoch_and_its_model_is_that_of_refit():
    target, losses = RECIPE.trajectory(X, Y, 3, X[:10], Y[:10])
    assert losses.shape == (4, 10)
    log_probs = target.answer(X[:10]).log_probs
    assert log_probs is not None
    place = [["a", "b", "c"].index(label) for label in Y[:10]]
    assert np.allclose(losses[-1], -log_probs[np.arange(10), place], atol=1e-5)
    assert np.array_equal(log_probs, RECIPE.refit(X, Y, 3).answer(X[:10]).log_probs)


def test_soft_labels_that_are_certain_train_as_the_labels_do():
    certain = np.eye(3)[[["a", "b", "c"].index(label) for label in Y]]
    soft = RECIPE.refit(X, certain, 0).answer(X).log_probs
    assert np.allclose(soft, answers(RECIPE), atol=1e-5)


def test_a_regressor_gives_values_and_learns_them():
    recipe = TorchRecipe(one_value, loss="huber", epochs=60, batch_size=32, learning_rate=0.02)
    values = recipe.refit(X, X[:, 0] * 2, 0).answer(X).value
    assert values is not None
    assert np.corrcoef(values, X[:, 0])[0, 1] > 0.95


def test_a_training_set_smaller_than_a_batch_is_one_batch():
    assert np.array_equal(answers(replace(RECIPE, batch_size=96)), answers(replace(RECIPE, batch_size=1000)))


def test_a_schedule_climbs_and_falls_to_nothing():
    recipe = replace(RECIPE, schedule="linear", warmup=0.2, learning_rate=1.0)
    assert [round(recipe.rate(step, 10), 3) for step in range(10)] == [
        *(0.5, 1.0),
        *(1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125),
    ]
    cosine = [replace(recipe, schedule="cosine").rate(step, 10) for step in range(2, 10)]
    assert cosine == sorted(cosine, reverse=True)
    assert cosine[4] == pytest.approx(0.5)


def test_a_shift_moves_images_and_fills_with_zeros():
    images = torch.arange(9.0).reshape(1, 1, 3, 3) + 1
    still = augmented(images, ("shift:1",), [torch.tensor([[1, 1]])])
    moved = augmented(images, ("shift:1",), [torch.tensor([[0, 1]])])
    assert torch.equal(still, images)
    assert moved[0, 0].tolist() == [[0, 0, 0], [1, 2, 3], [4, 5, 6]]
    flipped = augmented(images, ("flip",), [torch.tensor([True])])
    assert flipped[0, 0, 0].tolist() == [3, 2, 1]


def test_dropout_keeps_its_rate_in_the_mean():
    mask = torch.empty(200, 100)
    Chance(0).fill_mask(mask, 0.3)
    assert (mask == 0).float().mean() == pytest.approx(0.3, abs=0.01)
    assert mask.mean() == pytest.approx(1.0, abs=0.02)


def test_a_training_that_diverges_is_an_error_by_name():
    with pytest.raises(FloatingPointError):
        replace(RECIPE, optimizer="sgd", learning_rate=1e30).refit(X, Y, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": "adamw"},
        {"learning_rate": 0.01},
        {"weight_decay": 0.1},
        {"epochs": 5},
        {"batch_size": 17},
        {"schedule": "cosine"},
        {"warmup": 0.1},
        {"label_smoothing": 0.1},
        {"augment": ("flip",)},
        {"dtype": "bfloat16"},
        {"shape": (6,)},
        {"classes": ("a", "c", "b")},
        {"module": partial(mlp, 9)},
        {"module": partial(mlp, 8, 0.3)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_fingerprint_changes_with_every_setting(change: dict[str, object]):
    assert replace(RECIPE, **change).fingerprint() != RECIPE.fingerprint()


def test_the_fingerprint_stays_as_long_as_nothing_changes():
    assert replace(RECIPE).fingerprint() == RECIPE.fingerprint()
    assert pickle.loads(pickle.dumps(RECIPE)).fingerprint() == RECIPE.fingerprint()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"optimizer": "adm"}, "did you mean 'adam'"),
        ({"schedule": "step"}, "schedule"),
        ({"dtype": "float16"}, "bfloat16"),
        ({"loss": "squared"}, "does not go with classes"),
        ({"classes": None, "loss": "cross-entropy"}, "does not go with no classes"),
        ({"augment": ("rotate",)}, "rotate"),
        ({"augment": ("shift:x",)}, "number of pixels"),
        ({"momentum": 0.9}, "momentum"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"warmup": 1.0}, "warmup"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"classes": ("a", "a")}, "all different"),
        ({"module": mlp()}, "builds the module anew"),
    ],
)
def test_what_is_not_understood_is_refused_in_one_sentence(change: dict[str, object], named: str):
    with pytest.raises(PlanError, match=named) as caught:
        replace(RECIPE, **change)
    assert str(caught.value).endswith(".")


def test_labels_and_outputs_that_do_not_fit_are_refused_without_quoting_them():
    with pytest.raises(DataError, match="1 of 4 classes") as caught:
        RECIPE.refit(X, np.where(np.arange(96) == 5, "secret", Y), 0)
    assert "secret" not in str(caught.value)
    with pytest.raises(DataError, match="soft labels"):
        RECIPE.refit(X, np.ones((96, 2)), 0)
    with pytest.raises(ModelError, match="2 logits"):
        replace(RECIPE, classes=("a", "b")).refit(X[:4], np.array(["a", "b", "a", "b"]), 0)
    with pytest.raises(DataError, match="no records"):
        RECIPE.refit(X[:0], Y[:0], 0)
    same = mlp()
    with pytest.raises(PlanError, match="same weights twice"):
        replace(RECIPE, module=lambda: same).refit(X, Y, 0)
    with pytest.raises(PlanError, match="height"):
        replace(RECIPE, augment=("flip",)).refit(X, Y, 0)


def test_bfloat16_products_keep_float32_weights_and_come_near_float32():
    half = replace(RECIPE, dtype="bfloat16").refit(X, Y, 0)
    assert all(weight.dtype == torch.float32 for weight in half.model.parameters())
    given = half.answer(X).log_probs
    assert given is not None
    assert 0 < np.abs(given - answers(RECIPE)).max() < 0.5
