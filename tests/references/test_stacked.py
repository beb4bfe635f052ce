"""References trained in stacks are those of the plain loop, whatever their stack; what will not stack is named."""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.naive_bayes import GaussianNB
from torch import nn
from torch.nn import functional

from unseen.errors import PlanError
from unseen.recipes.torch import TorchRecipe
from unseen.reference import ReferenceAnswers, ReferenceFailure, ReferenceTask
from unseen.references.inclusion import draw_inclusion, draw_seeds
from unseen.references.processes import Processes
from unseen.references.stacked import Stacked, engine, fidelity, sizes
from unseen.references.stacked import trained as of_a_stack
from unseen.references.stacked.program import why_not
from unseen.targets.estimator import EstimatorTarget

CLOSE = 2e-4  # of margins in nats, after a few epochs; float32 sums in another order give 1e-6 to 2e-5
RNG = np.random.default_rng(0)
CLASSES = np.array(["a", "b", "c"])
INDEX = RNG.integers(0, 3, 150)
X = (RNG.normal(size=(150, 36)) + np.eye(3)[INDEX] @ RNG.normal(size=(3, 36))).astype(np.float32)
Y = CLASSES[INDEX]
IMAGE = {"shape": (1, 6, 6), "augment": ("flip", "shift:1")}


def mlp(*between):
    return nn.Sequential(nn.Linear(36, 12), *(part() for part in between), nn.Linear(12, 3))


def normed():
    """Without a bias before the batch norm: its gradient is 0 but for rounding, which Adam would make steps of."""
    return nn.Sequential(nn.Linear(36, 12, bias=False), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 3))


def cnn(*between):
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        *(part() for part in between),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 3),
    )


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.second, self.wide = nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.Conv2d(1, 4, 1)
        self.head = nn.Linear(12, 3)

    def forward(self, images):
        inner = functional.relu(self.norm(self.first(images)))
        inner = torch.relu(self.second(inner) + self.wide(images) * 0.5)
        pooled = functional.max_pool2d(inner, 2)
        both = torch.cat([pooled.mean(dim=(2, 3)), pooled.amax((-1, -2)), pooled[:, :, 0, 0]], dim=1)
        return self.head(both.view(images.size(0), -1).reshape(-1, 12).contiguous())


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.three, self.norm, self.head = nn.Linear(6, 18), nn.LayerNorm(6), nn.Linear(36, 3)

    def forward(self, rows):
        tokens = self.norm(rows.reshape(rows.shape[0], 6, 6))
        three = self.three(tokens)
        query, key, value = three[:, :, :6], three[:, :, 6:12], three[:, :, 12:]
        weights = torch.softmax(query @ key.transpose(-2, -1) / 6**0.5, dim=-1)
        return self.head((tokens + weights @ value).permute(0, 2, 1).flatten(1))


class Sequence(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv1d(1, 4, 5, stride=2, bias=False), nn.BatchNorm1d(4), nn.Linear(32, 3)

    def forward(self, rows):
        return self.head(functional.avg_pool1d(self.norm(self.conv(rows.unsqueeze(1))), 2).tanh().flatten(1))


def recipe(module, **settings):
    usual = {"epochs": 3, "batch_size": 16, "learning_rate": 0.02, "classes": CLASSES}
    return TorchRecipe(module, **{**usual, **settings})


RECIPES = {
    "sgd": recipe(partial(mlp, nn.ReLU), optimizer="sgd", learning_rate=0.1),
    "momentum and decay": recipe(partial(mlp, nn.Tanh), optimizer="sgd", momentum=0.9, weight_decay=0.01),
    "adam, decay, cosine": recipe(partial(mlp, nn.GELU), weight_decay=0.1, schedule="cosine", warmup=0.2),
    "adamw, linear, smoothing": recipe(
        partial(mlp, nn.SiLU), optimizer="adamw", weight_decay=0.1, schedule="linear", label_smoothing=0.1
    ),
    "dropout": recipe(partial(mlp, nn.ReLU, partial(nn.Dropout, 0.4))),
    "batch norm": recipe(normed),
    "layer norm, prelu": recipe(partial(mlp, partial(nn.LayerNorm, 12), nn.PReLU)),
    "convolution": recipe(partial(cnn, nn.ReLU), shape=(1, 6, 6)),
    "everything on images": recipe(
        partial(cnn, partial(nn.BatchNorm2d, 4), nn.ReLU, partial(nn.MaxPool2d, 2), partial(nn.Dropout2d, 0.2)),
        optimizer="sgd",
        momentum=0.9,
        learning_rate=0.05,
        schedule="cosine",
        warmup=0.1,
        weight_decay=1e-3,
        label_smoothing=0.1,
        **IMAGE,
    ),
    "group norm": recipe(partial(cnn, partial(nn.GroupNorm, 2, 4), nn.Hardswish), **IMAGE),
    "residual": recipe(Residual, **IMAGE),
    "attention": recipe(Attention),
    "sequence": recipe(Sequence),
    "fewer records than a batch": recipe(partial(mlp, nn.ReLU, partial(nn.Dropout, 0.4)), batch_size=75, epochs=9),
    "steps that differ": recipe(partial(mlp, nn.ReLU), batch_size=3, schedule="cosine"),
    "bfloat16": recipe(partial(mlp, nn.ReLU), dtype="bfloat16"),
}


def task(how, features=X, labels=Y, references=3, inclusion=None, scale=None):
    coins = draw_inclusion(0, references, len(labels), 0.5) if inclusion is None else inclusion
    classes = np.empty(0) if how.classes is None else CLASSES
    index = np.zeros(len(labels), dtype=np.int64) if how.classes is None else INDEX
    return ReferenceTask(how, classes, features, labels, index, coins, draw_seeds(1, len(coins)), scale)


def outcomes(engine, work, wanted=None):
    return dict(engine.train(work, range(len(work.seeds)) if wanted is None else wanted))


def furthest(ours, theirs):
    assert sorted(ours) == sorted(theirs)
    assert all(isinstance(one, ReferenceAnswers) for one in (*ours.values(), *theirs.values()))
    pairs = [(ours[k].margin, theirs[k].margin) for k in ours] + [(ours[k].loss, theirs[k].loss) for k in ours]
    return max(float(np.abs(one - other).max()) for one, other in pairs)


@pytest.mark.parametrize("name", RECIPES)
def test_a_stack_gives_what_the_plain_loop_gives(name):
    work, stacks = task(RECIPES[name]), Stacked(workers=1)
    ours, theirs = outcomes(stacks, work), outcomes(Processes(1), work)
    assert stacks.said == []
    # a bfloat16 product rounds to 1 part in 256, so a sum in another order is far from equal, and still near
    assert furthest(ours, theirs) < (0.1 if name == "bfloat16" else CLOSE)
    assert all(one.margin.dtype == one.loss.dtype == np.float32 for one in ours.values())
    assert min(np.std(one.margin) for one in ours.values()) > 100 * CLOSE


@pytest.mark.parametrize("stack", [1, 2, 5])
def test_a_model_does_not_depend_on_its_stack(stack):
    work = task(RECIPES["everything on images"], references=5)
    whole = outcomes(Stacked(stack=4, workers=1), work)
    assert furthest(outcomes(Stacked(stack=stack, workers=1), work), whole) < CLOSE


def test_only_the_wanted_ones_are_trained_and_they_are_the_same():
    work = task(RECIPES["dropout"], references=5)
    some = outcomes(Stacked(workers=1), work, [3, 1])
    assert sorted(some) == [1, 3]
    every = outcomes(Stacked(workers=1), work)
    assert furthest(some, {k: every[k] for k in some}) < CLOSE


def test_models_of_very_different_size_each_get_their_own_number_of_steps():
    inclusion = np.arange(150) < np.array([[10], [150], [40], [41], [90]])
    work = task(RECIPES["adam, decay, cosine"], inclusion=inclusion)
    assert furthest(outcomes(Stacked(stack=5, workers=1), work), outcomes(Processes(1), work)) < CLOSE


@pytest.mark.parametrize("kind", ["huber", "squared"])
@pytest.mark.parametrize("flat", [True, False])
def test_regressors_are_stacked(kind, flat):
    how = recipe(Flat if flat else partial(one_column, 36), classes=None, loss=kind)
    work = task(how, labels=X[:, 0] * 3, scale=0.5)
    stacks = Stacked(workers=1)
    assert furthest(outcomes(stacks, work), outcomes(Processes(1), work)) < CLOSE
    assert stacks.said == []


def one_column(width):
    return nn.Sequential(nn.Linear(width, 4), nn.Tanh(), nn.Linear(4, 1))


class Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Linear(36, 1)

    def forward(self, rows):
        return self.one(rows).squeeze(-1)


def test_soft_labels_are_stacked():
    soft = RNG.dirichlet(np.ones(3), 150).astype(np.float32)
    work = task(RECIPES["adamw, linear, smoothing"], labels=soft)
    assert furthest(outcomes(Stacked(workers=1), work), outcomes(Processes(1), work)) < CLOSE


def test_a_frame_and_classes_in_another_order_or_missing_are_as_in_the_plain_loop():
    frame = pl.DataFrame(X, schema=[f"column {place}" for place in range(36)])
    work = replace(
        task(replace(RECIPES["sgd"], classes=("c", "extra", "a", "b")), frame),
        classes=np.array(["a", "b", "c", "none"]),
    )
    work = replace(work, recipe=replace(work.recipe, module=partial(four, 36)))
    assert furthest(outcomes(Stacked(workers=1), work), outcomes(Processes(1), work)) < CLOSE


def four(width):
    return nn.Sequential(nn.Linear(width, 4), nn.Identity())


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Linear(36, 3)

    def forward(self, rows):
        return self.one(rows) if rows.sum() > 0 else -self.one(rows)


class Dropping(Branching):
    def forward(self, rows):
        return functional.dropout(self.one(rows), 0.1, self.training)


class Sorting(Branching):
    def forward(self, rows):
        return self.one(torch.sort(rows)[0])


class Centring(Branching):
    def forward(self, rows):
        return self.one(rows - rows.mean(dim=0))


class Bare(Branching):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, rows):
        return self.one(rows) * self.scale


REFUSED = {
    "branching": (recipe(Branching), "cannot be traced (TraceError)"),
    "functional dropout": (recipe(Dropping), "it calls dropout"),
    "unknown function": (recipe(Sorting), "it calls sort"),
    "bare weight": (recipe(Bare), "it uses scale outside a layer"),
    "unknown layer": (recipe(partial(mlp, partial(nn.AlphaDropout, 0.1))), "layer 1 is a AlphaDropout"),
    "a batch norm's plain mean": (
        recipe(partial(mlp, partial(nn.BatchNorm1d, 12, momentum=None))),
        "layer 1 is a batch",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_stacked_is_refused_by_name_and_trained_one_by_one(name):
    how, reason = REFUSED[name]
    assert reason in str(why_not(how))
    work, stacks = task(how, references=2), Stacked(workers=1)
    assert furthest(outcomes(stacks, work), outcomes(Processes(1), work)) == 0
    assert len(stacks.said) == 1
    assert reason in stacks.said[0]


def test_what_only_the_records_show_is_refused_when_it_is_tried():
    assert why_not(recipe(Centring)) is None
    stacks = Stacked(workers=1)
    assert furthest(outcomes(stacks, task(recipe(Centring))), outcomes(Processes(1), task(recipe(Centring)))) == 0
    assert "across the batch" in stacks.said[0]


def test_a_recipe_that_no_model_can_be_had_of_fails_by_name():
    same = mlp(nn.ReLU)
    for broken, reason, error in (
        (recipe(lambda: same), "not built anew", "`module` of a TorchRecipe must build"),
        (recipe(partial(nn.Linear, -1, 3)), "cannot be built", "RuntimeError"),
        (recipe(partial(mlp, nn.ReLU), classes=("a", "b")), "raised DataError", "DataError"),
    ):
        stacks = Stacked(workers=1)
        (failure,) = outcomes(stacks, task(broken, references=1)).values()
        assert failure.stage == "fit"
        assert failure.error.startswith(error)
        assert reason in stacks.said[0]


def test_an_estimator_is_trained_in_processes():
    work = replace(task(RECIPES["sgd"]), recipe=EstimatorTarget(GaussianNB().fit(X, Y)))
    stacks = Stacked(workers=1)
    assert furthest(outcomes(stacks, work), outcomes(Processes(1), work)) == 0
    assert "a EstimatorTarget is not a TorchRecipe" in stacks.said[0]


def test_batch_norm_with_fewer_records_than_a_batch_is_trained_alone():
    inclusion = np.arange(150) < np.array([[40], [150], [10]])
    work, stacks = task(RECIPES["batch norm"], inclusion=inclusion), Stacked(workers=1)
    assert furthest(outcomes(stacks, work), outcomes(Processes(1), work)) < CLOSE
    assert "fewer records than a batch" in stacks.said[0]


def test_one_that_diverges_is_named_and_the_others_are_as_without_it():
    work = task(recipe(unlucky), references=5)
    ours, theirs = outcomes(Stacked(stack=5, workers=1), work), outcomes(Processes(1), work)
    assert ours.pop(2) == theirs.pop(2) == ReferenceFailure("fit", "FloatingPointError")
    assert furthest(ours, theirs) < CLOSE


def unlucky():
    module = mlp(nn.ReLU)
    if torch.initial_seed() == draw_seeds(1, 5)[2]:
        nn.init.constant_(module[0].weight, 1e38)
    return module


def test_one_whose_module_cannot_be_built_is_named_and_the_others_are_trained():
    work = task(recipe(sometimes), references=6)
    ours = outcomes(Stacked(workers=1), work)
    failed = [k for k, one in ours.items() if one == ReferenceFailure("fit", "RuntimeError")]
    assert 0 < len(failed) < 6
    assert sorted(failed) == [k for k, one in outcomes(Processes(1), work).items() if isinstance(one, ReferenceFailure)]


def sometimes():
    if torch.initial_seed() in draw_seeds(1, 2):
        raise RuntimeError("this seed fails")
    return mlp(nn.ReLU)


def test_one_that_cannot_be_built_does_not_stop_the_choice_of_workers():
    work = task(recipe(sometimes), references=2)
    jobs = [(k, work.inclusion[k], work.seeds[k]) for k in range(2)]
    assert Stacked(workers=2)._workers(work, [jobs[:1], jobs[1:]]) == 2


def test_a_short_training_stays_in_this_process():
    work = task(RECIPES["sgd"], references=2)
    jobs = [(k, work.inclusion[k], work.seeds[k]) for k in range(2)]
    assert Stacked(workers=2)._workers(work, [jobs[:1], jobs[1:]]) == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:A worker stopped while some jobs were given:UserWarning")
def test_worker_processes_give_the_same_and_a_dead_ones_stacks_are_trained_again(monkeypatch, tmp_path):
    monkeypatch.setattr(engine, "START_UP_SECONDS", 0.0)  # else what is this quick stays in one process
    marker = tmp_path / "died"
    work = task(recipe(partial(dying, str(marker), os.getpid())), references=4)
    ours = outcomes(Stacked(stack=2, workers=2), work)
    assert marker.exists()
    assert furthest(ours, outcomes(Stacked(workers=1), work)) < CLOSE


def dying(marker, parent):
    if os.getpid() != parent and not Path(marker).exists():
        Path(marker).touch()
        os._exit(1)
    return mlp(nn.ReLU)


def test_out_of_memory_halves_the_stack_and_says_so(monkeypatch):
    start = of_a_stack.started

    def small_memory(work, jobs):
        if len(jobs) > 2:
            raise torch.OutOfMemoryError
        return start(work, jobs)

    work = task(RECIPES["dropout"], references=5)
    whole = outcomes(Stacked(workers=1), work)
    monkeypatch.setattr(of_a_stack, "started", small_memory)
    stacks = Stacked(stack=5, workers=1)
    assert furthest(outcomes(stacks, work), whole) < CLOSE
    assert "a stack of 5 models did not fit the memory" in stacks.said[0]


def test_a_larger_module_makes_a_smaller_stack():
    few, many = (sizes.stack_size(recipe(partial(wide, hidden)), torch.from_numpy(X)) for hidden in (100_000, 8))
    assert few == 1
    assert many == sizes.MOST


def wide(hidden):
    return nn.Sequential(nn.Linear(36, hidden), nn.Tanh(), nn.Linear(hidden, 3))


@pytest.mark.parametrize(("allowed", "used"), [(fidelity.MOST_SHARE, "products in bfloat16"), (0.0, "in float32")])
def test_bfloat16_is_tried_first_and_used_only_where_it_changes_little(monkeypatch, allowed, used):
    monkeypatch.setattr(engine, "MOST_SHARE", allowed)
    work, stacks = task(RECIPES["adam, decay, cosine"], references=4), Stacked(workers=1, precision="bfloat16")
    ours, full = outcomes(stacks, work), outcomes(Stacked(workers=1), work)
    assert used in stacks.said[0]
    assert (furthest(ours, full) == 0) == ("float32" in used)


def test_an_unknown_precision_or_an_empty_stack_is_refused():
    with pytest.raises(PlanError, match="float16"):
        Stacked(precision="float16")
    with pytest.raises(PlanError, match="1 model or more"):
        Stacked(stack=0)
