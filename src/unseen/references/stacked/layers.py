"""Layers of many models at once: each does to `(batch, models, ...)` what the module does to `(batch, ...)`.

Weights come stacked, `(models, ...)`. A layer that is not in these tables is not stacked.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from unseen.recipes.torch_chance import DROPOUTS, mask_shape


class CannotStack(Exception):
    """What in a module cannot be stacked, by name."""


@dataclass(frozen=True)
class Weights:
    """The weights and buffers of a stack by their names in the module, `(models, ...)` each.

    Those of linear layers are `(models, inputs, outputs)`: so their gradients come in the order of the weights, which
    fused optimizers take for granted.
    """

    parameters: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]


@dataclass(frozen=True)
class Pass:
    """One run through the program: its weights, and how to draw dropout's masks; in evaluation there are none.

    `mask(shape, rate)` takes the shape that one model's mask has, batch first, and returns `(models, *shape)`.
    """

    weights: Weights
    mask: Callable[[tuple[int, ...], float], Tensor] | None = None

    @property
    def training(self) -> bool:
        """Whether this is a training step."""
        return self.mask is not None


Op = Callable[..., Any]


def layer(name: str, part: Any) -> Op:
    """Return what does the work of the layer `part`; raises `CannotStack` for one that is not understood."""
    kind = type(part)
    if part._forward_hooks or part._forward_pre_hooks or hasattr(part, "parametrizations"):  # noqa: SLF001
        raise CannotStack(f"layer {name} has hooks or parametrizations")
    if kind in POINTWISE:
        return lambda _run, values: part(values)
    if kind in PER_CHANNEL:
        if getattr(part, "return_indices", False):
            raise CannotStack(f"layer {name} returns indices")
        return lambda _run, values: _per_channel(part, values)
    if kind in BY_VMAP:
        return _by_vmap(name, part)
    if kind not in BUILDERS:
        raise CannotStack(f"layer {name} is a {kind.__name__}")
    return BUILDERS[kind](name, part)


def _linear(name: str, _part: nn.Linear) -> Op:
    def op(run: Pass, values: Tensor) -> Tensor:
        weight, bias = run.weights.parameters[f"{name}.weight"], run.weights.parameters.get(f"{name}.bias")
        rows = values.transpose(0, 1)
        flat = rows if rows.ndim == 3 else rows.reshape(rows.shape[0], -1, rows.shape[-1])
        out = torch.bmm(flat, weight) if bias is None else torch.baddbmm(bias[:, None], flat, weight)
        return (out if rows.ndim == 3 else out.view(*rows.shape[:-1], -1)).transpose(0, 1)

    return op


def _conv(name: str, part: Any) -> Op:
    if part.padding_mode != "zeros":
        raise CannotStack(f"layer {name} pads by {part.padding_mode}")
    convolve = functional.conv1d if isinstance(part, nn.Conv1d) else functional.conv2d

    def op(run: Pass, values: Tensor) -> Tensor:
        weight, bias = run.weights.parameters[f"{name}.weight"], run.weights.parameters.get(f"{name}.bias")
        batch, models = values.shape[:2]
        out = convolve(
            values.reshape(batch, models * values.shape[2], *values.shape[3:]),
            weight.flatten(0, 1),
            None if bias is None else bias.flatten(),
            part.stride,
            part.padding,
            part.dilation,
            models * part.groups,
        )
        return out.view(batch, models, -1, *out.shape[2:])

    return op


def _batch_norm(name: str, part: Any) -> Op:
    if part.momentum is None or not part.track_running_stats:
        raise CannotStack(f"layer {name} is a batch norm without running statistics, or with their plain mean")

    def op(run: Pass, values: Tensor) -> Tensor:
        weight, bias = (run.weights.parameters.get(f"{name}.{one}") for one in ("weight", "bias"))
        mean, variance = (run.weights.buffers[f"{name}.running_{one}"] for one in ("mean", "var"))
        out = functional.batch_norm(
            values.reshape(values.shape[0], -1, *values.shape[3:]),
            mean.flatten(),
            variance.flatten(),
            None if weight is None else weight.flatten(),
            None if bias is None else bias.flatten(),
            run.training,
            part.momentum,
            part.eps,
        )
        return out.view(values.shape)

    return op


def _dropout(_name: str, part: Any) -> Op:
    def op(run: Pass, values: Tensor) -> Tensor:
        if run.mask is None or part.p == 0:
            return values
        one = (values.shape[0], *values.shape[2:])
        return values * run.mask(mask_shape(part, one), part.p).transpose(0, 1)

    return op


def _flatten(_name: str, part: nn.Flatten) -> Op:
    return lambda _run, values: flatten(values, part.start_dim, part.end_dim)


def flatten(values: Tensor, start: int = 0, end: int = -1) -> Tensor:
    """Flatten axes `start` to `end` of each model's `(batch, ...)`, which must leave the batch alone."""
    return values.flatten(axis(values, start), axis(values, end))


def axis(values: Tensor, one: int) -> int:
    """Return where a model's axis stands in the stack's array; raises `CannotStack` for that of the batch."""
    own = values.ndim - 1
    place = one + own if one < 0 else one
    if not 0 < place < own:
        raise CannotStack(f"an operation works along axis {one} of {own}, across the batch")
    return place + 1


def _per_channel(part: nn.Module, values: Tensor) -> Tensor:
    out: Tensor = part(values.reshape(values.shape[0], prod(values.shape[1:3]), *values.shape[3:]))
    return out.view(*values.shape[:3], *out.shape[2:])


def _by_vmap(name: str, part: nn.Module) -> Op:
    own = [key for key, _ in part.named_parameters()]

    def one(weights: dict[str, Tensor], values: Tensor) -> Tensor:
        out: Tensor = functional_call(part, weights, (values,))
        return out

    over_models = torch.vmap(one, in_dims=(0, 1), out_dims=1)

    def op(run: Pass, values: Tensor) -> Tensor:
        if not own:
            return torch.vmap(part, in_dims=1, out_dims=1)(values)
        return over_models({key: run.weights.parameters[f"{name}.{key}"] for key in own}, values)

    return op


POINTWISE = {
    *(nn.Identity, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh),
    *(nn.Sigmoid, nn.LogSigmoid, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.Softplus, nn.Softsign, nn.Softshrink),
    *(nn.Hardshrink, nn.Tanhshrink, nn.Threshold),
}
PER_CHANNEL = {
    *(nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.LPPool1d, nn.LPPool2d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d),
    *(nn.ZeroPad1d, nn.ZeroPad2d, nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.Upsample),
}
BY_VMAP = {  # weights, but neither chance nor buffers
    *(nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.PReLU, nn.Softmax, nn.LogSoftmax, nn.Unflatten),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.LocalResponseNorm),
}
BUILDERS: dict[type, Callable[[str, Any], Op]] = {
    nn.Linear: _linear,
    nn.Conv1d: _conv,
    nn.Conv2d: _conv,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.Flatten: _flatten,
    **dict.fromkeys(DROPOUTS, _dropout),
}
