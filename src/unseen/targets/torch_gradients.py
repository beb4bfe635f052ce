"""What only the holder of a PyTorch module's weights sees: each record's gradient, and its features before the end."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from unseen.errors import ModelError, TargetFailed
from unseen.features.rows import count_rows
from unseen.signal import Array, Floats
from unseen.targets.torch import TorchTarget, evaluating

MOST_NUMBERS = 1 << 24  # of gradients that are held at once where records are differentiated by themselves


@dataclass
class _Watch:
    """What was seen of one forward pass: names of the layers with weights as they ended, and the last linear one."""

    ended: list[str] = field(default_factory=list)
    linear: str | None = None
    given: Tensor = field(default_factory=lambda: torch.empty(0))
    output: Tensor = field(default_factory=lambda: torch.empty(0))


def gradient_norm(target: TorchTarget, features: Any, truth: Array) -> Floats:
    """Return the norm of each record's loss gradient in the module's last linear layer, `(records,)` float64.

    `truth (records,)` holds class indexes, or a regressor's labels; the loss is cross-entropy in nats, or half the
    squared error. Of an output z = W a + b, the gradient is dloss/dz times (a, 1), so that its norm is
    |dloss/dz| sqrt(|a|^2 + 1). Where that layer is not the output, or W is used twice, every record is differentiated
    by itself (in the last layer with weights, where none is linear).
    """
    true = np.asarray(truth)
    if true.shape != (count_rows(features),):
        raise ModelError(f"one label a record is needed for {count_rows(features)} records, got shape {true.shape}.")
    norms, start = [np.empty(0)], 0
    with evaluating(target.model):
        for batch in target.batches(features):
            part = torch.as_tensor(true[start : start + len(batch)], device=batch.device)
            norms.append(_norms(target, batch, part).to("cpu", torch.float64).numpy())
            start += len(batch)
    result = np.concatenate(norms)
    bad = int((~np.isfinite(result)).sum())
    if bad:
        raise ModelError(f"the gradient is NaN or infinite for {bad} of {result.size} records.")
    return result


def last_features(target: TorchTarget, features: Any) -> Floats:
    """Return what the module's last linear layer is given of each record, `(records, columns)` float64."""
    parts = []
    with evaluating(target.model):
        for batch in target.batches(features):
            with _watched(target.model) as watch:
                target.ask(batch.clone())
            if watch.linear is None:
                raise ModelError(f"{type(target.model).__name__} has no nn.Linear whose input could be taken.")
            parts.append(watch.given.to("cpu", torch.float64).reshape(len(batch), -1).numpy())
    return np.concatenate(parts) if parts else np.empty((0, 0))


@contextmanager
def _watched(module: nn.Module) -> Iterator[_Watch]:
    watch = _Watch()

    def note(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def hook(part: nn.Module, given: tuple[Any, ...], output: Any) -> None:
            watch.ended.append(name)
            if isinstance(part, nn.Linear) and given:
                # the output is copied: what is done to it in place afterwards would pass for the layer's own
                watch.linear, watch.given, watch.output = name, given[0].detach(), output.detach().clone()

        return hook

    with ExitStack() as hooks:
        for name, part in module.named_modules():
            if next(part.parameters(recurse=False), None) is not None:
                hooks.enter_context(part.register_forward_hook(note(name)))
        yield watch


def _norms(target: TorchTarget, batch: Tensor, true: Tensor) -> Tensor:
    with _watched(target.model) as watch:
        output = target.ask(batch.clone())
    if watch.linear is None or not _is_all_of(target.model, watch, output):
        return _one_by_one(target, batch, true, watch)
    slope = _slope(output.to(torch.float64), true, classes=target.classes.size)
    bias = target.model.get_submodule(watch.linear).bias is not None
    squared = watch.given.to(torch.float64).square().sum(dim=1) + float(bias)
    return slope.square().sum(dim=1).sqrt() * squared.sqrt()


def _is_all_of(module: nn.Module, watch: _Watch, output: Tensor) -> bool:
    """Say whether the last linear layer's output is the module's, and its weight is used there alone."""
    weight = module.get_submodule(str(watch.linear)).weight
    owners = sum(other is weight for _, other in module.named_parameters(remove_duplicate=False))
    flat = watch.given.ndim == 2 and watch.output.numel() == output.numel()
    alone = watch.ended.count(str(watch.linear)) == 1 and owners == 1
    return flat and alone and torch.equal(watch.output.reshape(-1), output.reshape(-1))


def _slope(output: Tensor, true: Tensor, classes: int) -> Tensor:
    """Return the loss's derivative by each of a record's outputs, `(records, outputs)`."""
    output = output.reshape(len(true), -1)
    if not classes:
        return output - true[:, None]
    if output.shape[1] == 1:
        return torch.sigmoid(output) - true[:, None]
    return torch.softmax(output, dim=1) - functional.one_hot(true.long(), classes)


def _loss(output: Tensor, true: Tensor, classes: int) -> Tensor:
    """Return one record's loss from its output, whatever the shape."""
    output = output.reshape(-1)
    if not classes:
        return (output - true).square().sum() / 2
    if output.numel() == 1:
        return functional.binary_cross_entropy_with_logits(output, true.to(output.dtype).reshape(1))
    return functional.cross_entropy(output[None], true.long()[None])


def _one_by_one(target: TorchTarget, batch: Tensor, true: Tensor, watch: _Watch) -> Tensor:
    """Return the norms `(records,)` by differentiating each record's loss."""
    if not watch.ended:
        raise ModelError(f"{type(target.model).__name__} has no layer with weights to differentiate by.")
    name = watch.linear if watch.linear is not None else watch.ended[-1]
    part = target.model.get_submodule(name)
    own = {f"{name}.{key}".lstrip("."): weight.detach() for key, weight in part.named_parameters(recurse=False)}

    def loss_of(weights: dict[str, Tensor], record: Tensor, label: Tensor) -> Tensor:
        return _loss(functional_call(target.model, weights, (record[None],)), label, target.classes.size)

    def squared(record: Tensor, label: Tensor) -> Tensor:
        slopes = grad(loss_of)(own, record, label)
        return torch.stack([one.to(torch.float64).square().sum() for one in slopes.values()]).sum()

    at_once = max(1, MOST_NUMBERS // sum(one.numel() for one in own.values()))
    try:
        try:
            return vmap(squared, chunk_size=at_once)(batch, true).sqrt()
        except RuntimeError:  # a module that looks at values on its way cannot be vectorized
            return torch.stack([squared(*pair) for pair in zip(batch.clone(), true, strict=True)]).sqrt()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's module raises
        raise TargetFailed(
            f"the module raised {type(error).__name__} when it was differentiated; its message is withheld because it "
            "may quote records."
        ) from None
