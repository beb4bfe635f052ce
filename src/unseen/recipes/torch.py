"""A declared PyTorch training: every setting a field, so that an engine may train many such models at once.

`refit` is the plain loop over one model, and the truth that faster engines are tested against.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from hashlib import blake2b
from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from unseen.errors import DataError, ModelError, PlanError, did_you_mean
from unseen.recipes.torch_chance import Chance, augmented, own_masks, parsed
from unseen.signal import Array, Floats
from unseen.targets.sources import code_digest
from unseen.targets.torch import TorchTarget, as_tensor, evaluating

WORDS = {
    "optimizer": ("sgd", "adam", "adamw"),
    "schedule": ("constant", "cosine", "linear"),
    "dtype": ("float32", "bfloat16"),
    "loss": ("cross-entropy", "squared", "huber"),
}
AtEpoch = Callable[[nn.Module], None]


@dataclass(frozen=True)
class TorchRecipe:
    """How to train a module: `module()` builds it, with logits `(rows, classes)`, or values `(rows,)` or `(rows, 1)`.

    `classes` are the labels of the logits' columns; None means regression, on the labels as they are. `loss` is
    cross-entropy of classes and squared error of values unless said otherwise. `warmup` is the share of the steps in
    which the learning rate climbs, before `schedule` takes it to 0 or leaves it. `shape` is that of one record where
    the table holds it flat. `bfloat16` multiplies in that precision and keeps float32 weights.

    Weights are initialised from the seed, without touching the caller's generator; order, dropout masks and
    augmentation come from streams of the model's own. Every epoch is a new order cut into full batches; what is left
    over waits for the next. A training set smaller than a batch is one batch.
    """

    module: Callable[[], nn.Module] = field(repr=False)
    classes: Sequence[Any] | None = field(default=None, repr=False)
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.0
    weight_decay: float = 0.0
    epochs: int = 30
    batch_size: int = 128
    schedule: str = "constant"
    warmup: float = 0.0
    label_smoothing: float = 0.0
    augment: Sequence[str] = ()
    dtype: str = "float32"
    device: str = "cpu"
    loss: str | None = None
    shape: Sequence[int] | None = None
    stackable: ClassVar[bool] = True  # engines may look inside, and say what they cannot stack

    def __post_init__(self) -> None:
        """Refuse what is not understood; raises `PlanError`."""
        for name in ("classes", "augment", "shape"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else tuple(np.asarray(value).tolist()))
        if self.loss is None:
            object.__setattr__(self, "loss", "squared" if self.classes is None else "cross-entropy")
        _check_words(self)
        _check_numbers(self)

    def refit(self, features: Any, labels: Array, seed: int) -> TorchTarget:
        """Train one module; `labels` are classes, soft labels `(records, classes)` that sum to 1, or values.

        Raises `FloatingPointError` where a loss or a weight is not finite.
        """
        return self._train(features, labels, seed, _unnoted)

    def trajectory(
        self, features: Any, labels: Array, seed: int, asked_features: Any, asked_labels: Array
    ) -> tuple[TorchTarget, Floats]:
        """Return the model that `refit` gives, and the loss of the asked records after each epoch, `(epochs, records)`.

        In evaluation mode, without label smoothing, float32.
        """
        asked, aims, losses = as_tensor(asked_features), self.aims(asked_labels), []

        def note(module: nn.Module) -> None:
            target = self._target(module)
            with evaluating(module):
                answers = torch.cat([target.ask(batch).to("cpu", torch.float32) for batch in target.batches(asked)])
            losses.append(self.record_loss(answers, aims, smoothing=0.0).numpy())

        return self._train(features, labels, seed, note), np.stack(losses)

    def fingerprint(self) -> str:
        """Return a digest of all settings, the code that builds the module, what it builds, and library versions."""
        settings = [f"{one.name}={getattr(self, one.name)!r}" for one in fields(self) if one.name != "module"]
        built = self.build(0)
        own = sorted({code_digest(type(part)) for part in built.modules()})
        parts = [*settings, code_digest(self.module), repr(built), *own, version("torch"), version("numpy")]
        return blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()

    def build(self, seed: int) -> nn.Module:
        """Return the module as it is before training with `seed`; the generator that all share is left as it was."""
        with _forked(self.device):
            torch.manual_seed(seed)
            return self.module().to(self.device)

    def gives_again(self, module: nn.Module) -> bool:
        """Say whether another call builds with weights of this same `module`, so that models would share them."""
        own = {id(weight) for weight in module.parameters()}
        return any(id(weight) in own for weight in self.build(0).parameters())

    def aims(self, labels: Any) -> Tensor:
        """Return labels as the loss takes them: places among the classes, soft labels, or values."""
        array = np.asarray(labels)
        if self.classes is None:
            return torch.from_numpy(array.astype(np.float32).reshape(-1))
        if array.ndim == 2:
            if array.shape[1] != len(self.classes) or array.dtype.kind != "f":
                raise DataError(
                    f"soft labels are floats, one column a class: {len(self.classes)}, got {array.shape[1]} "
                    f"of {array.dtype}."
                )
            return torch.from_numpy(array.astype(np.float32))
        known, index = np.unique(array, return_inverse=True)
        place = {label: column for column, label in enumerate(self.classes)}
        if unknown := sum(label not in place for label in known.tolist()):
            raise DataError(f"{unknown} of {known.size} classes among the labels are not in the recipe's `classes`.")
        return torch.from_numpy(np.array([place[label] for label in known.tolist()], dtype=np.int64)[index])

    def records(self, features: Any) -> Tensor:
        """Return features as the module takes them, float32 `(records, *shape)`."""
        table = as_tensor(features)
        return table if self.shape is None else table.reshape(-1, *self.shape)

    def record_loss(self, output: Tensor, aims: Tensor, smoothing: float) -> Tensor:
        """Return each record's loss, `(records,)`, from what the module gave for it."""
        output = output.float()
        if self.classes is not None:
            if output.shape != (len(aims), len(self.classes)):
                raise ModelError(
                    f"the module must give {len(self.classes)} logits a record, got shape {tuple(output.shape[1:])}."
                )
            return functional.cross_entropy(output, aims, reduction="none", label_smoothing=smoothing)
        if output.numel() != len(aims):
            raise ModelError(f"a regressor gives one value a record, got shape {tuple(output.shape[1:])}.")
        error = functional.huber_loss if self.loss == "huber" else functional.mse_loss
        return error(output.reshape(-1), aims, reduction="none")

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of one step of `steps`, counted from 0."""
        climb = int(self.warmup * steps)
        if step < climb:
            return self.learning_rate * (step + 1) / climb
        if self.schedule == "constant":
            return self.learning_rate
        done = (step - climb) / (steps - climb)
        left = (1 + math.cos(math.pi * done)) / 2 if self.schedule == "cosine" else 1 - done
        return self.learning_rate * left

    def batches(self, records: int) -> tuple[int, int]:
        """Return how many records a batch has, and how many batches an epoch."""
        if records == 0:
            raise DataError("there are no records to train on.")
        size = min(self.batch_size, records)
        return size, records // size

    def products(self) -> torch.autocast:
        """Return the context in which the module is run at training: products in `dtype`."""
        half = self.dtype == "bfloat16"
        return torch.autocast(torch.device(self.device).type, dtype=torch.bfloat16, enabled=half)

    def _train(self, features: Any, labels: Array, seed: int, at_epoch: AtEpoch) -> TorchTarget:
        rows, aims = self.records(features).to(self.device), self.aims(labels).to(self.device)
        size, steps = self.batches(len(rows))
        chance, module = Chance(seed, self.device), self.build(seed)
        if self.gives_again(module):
            raise PlanError(
                "`module` of a TorchRecipe must build a new module at each call; it gave the same weights twice."
            )
        weights = [weight for weight in module.parameters() if weight.requires_grad]
        optimizer = self._optimizer(weights)
        with one_thread(), _forked(self.device), own_masks(module, chance):
            torch.manual_seed(seed)  # for what is random in the module and no dropout layer
            for epoch in range(self.epochs):
                module.train()
                total, order = torch.zeros((), device=self.device), chance.order(len(rows)).to(self.device)
                for step, at in enumerate(torch.split(order[: steps * size], size)):
                    optimizer.param_groups[0]["lr"] = self.rate(epoch * steps + step, self.epochs * steps)
                    views = [view.to(self.device) for view in chance.views(self.augment, size)]
                    with self.products():
                        output = module(augmented(rows[at], self.augment, views))
                    loss = self.record_loss(output, aims[at], self.label_smoothing).mean()
                    optimizer.zero_grad()
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimizer.step()
                    total += loss.detach()
                if not all(map(_finite, [total, *weights])):
                    raise FloatingPointError("the training diverged: a loss or a weight is not finite.")
                at_epoch(module)
        return self._target(module)

    def _optimizer(self, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        if self.optimizer == "sgd":
            return torch.optim.SGD(weights, self.learning_rate, self.momentum, weight_decay=self.weight_decay)
        kind = torch.optim.Adam if self.optimizer == "adam" else torch.optim.AdamW
        return kind(weights, self.learning_rate, weight_decay=self.weight_decay)

    def _target(self, module: nn.Module) -> TorchTarget:
        return TorchTarget(module, None if self.classes is None else np.asarray(self.classes), shape=self.shape)


def _unnoted(_module: nn.Module) -> None:
    """Nothing is asked of the module after an epoch."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread: with more, small products take longer, and workers get in each other's way."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _forked(device: str) -> Any:
    where = torch.device(device)
    return torch.random.fork_rng(devices=[] if where.type == "cpu" else [where], device_type=where.type)


def _finite(values: Tensor) -> bool:
    return bool(torch.isfinite(values).all())


def _check_words(recipe: TorchRecipe) -> None:
    if not callable(recipe.module) or isinstance(recipe.module, nn.Module):
        raise PlanError("a TorchRecipe takes a function that builds the module anew, not the module itself.")
    for name, known in WORDS.items():
        word = getattr(recipe, name)
        if word not in known:
            near = did_you_mean(str(word), known)
            raise PlanError(f"a TorchRecipe has no {name} {word!r}{near}; there are {', '.join(known)}.")
    for name in recipe.augment:
        parsed(str(name))
    if (recipe.loss == "cross-entropy") == (recipe.classes is None):
        raise PlanError(
            f"loss {recipe.loss!r} does not go with {'no classes' if recipe.classes is None else 'classes'}: classes "
            "take cross-entropy, values squared or huber."
        )
    if recipe.classes is not None and len(set(recipe.classes)) < max(2, len(recipe.classes)):
        raise PlanError("`classes` are the labels of the logits' columns: two or more, all different.")


def _check_numbers(recipe: TorchRecipe) -> None:
    rules = {
        "learning_rate": ("above 0", recipe.learning_rate > 0),
        "momentum": ("in [0, 1), and 0 unless the optimizer is sgd", 0 <= recipe.momentum < 1),
        "weight_decay": ("0 or more", recipe.weight_decay >= 0),
        "epochs": ("1 or more", recipe.epochs >= 1),
        "batch_size": ("1 or more", recipe.batch_size >= 1),
        "warmup": ("in [0, 1)", 0 <= recipe.warmup < 1),
        "label_smoothing": ("in [0, 1), and 0 in regression", 0 <= recipe.label_smoothing < 1),
    }
    rules["momentum"] = (
        rules["momentum"][0],
        rules["momentum"][1] and (recipe.optimizer == "sgd" or not recipe.momentum),
    )
    smooth = recipe.classes is not None or recipe.label_smoothing == 0
    rules["label_smoothing"] = (rules["label_smoothing"][0], rules["label_smoothing"][1] and smooth)
    for name, (wanted, kept) in rules.items():
        if not kept:
            raise PlanError(f"{name} of a TorchRecipe must be {wanted}, got {getattr(recipe, name)}.")
