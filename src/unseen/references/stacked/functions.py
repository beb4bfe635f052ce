"""Functions and methods inside a module's forward, for many models at once: `(batch, models, ...)` in and out."""

import operator
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from unseen.references.stacked.layers import CannotStack, Op, Pass, axis, flatten


def _pointwise(function: Callable[..., Any]) -> Op:
    """Apply to each number; of two arrays, only such as have equally many axes in the module."""

    def op(_run: Pass, *args: Any, **keywords: Any) -> Any:
        ranks = {one.ndim for one in (*args, *keywords.values()) if isinstance(one, Tensor)}
        if len(ranks) > 1:
            raise CannotStack(f"{_named(function)} of arrays with different numbers of axes")
        return function(*args, **keywords)

    return op


def _along(function: Callable[..., Any]) -> Op:
    """Apply along the axis or axes named by `dim`."""

    def op(_run: Pass, values: Tensor, dim: Any = None, *args: Any, **keywords: Any) -> Any:
        if dim is None:
            raise CannotStack(f"{_named(function)} over all axes")
        places = tuple(axis(values, one) for one in dim) if isinstance(dim, Sequence) else axis(values, dim)
        return function(values, places, *args, **keywords)

    return op


def _per_channel(function: Callable[..., Tensor]) -> Op:
    def op(_run: Pass, values: Tensor, *args: Any, **keywords: Any) -> Tensor:
        out = function(values.reshape(values.shape[0], prod(values.shape[1:3]), *values.shape[3:]), *args, **keywords)
        return out.view(*values.shape[:3], *out.shape[2:])

    return op


def _cat(_run: Pass, parts: Sequence[Tensor], dim: int = 0) -> Tensor:
    return torch.cat(list(parts), axis(parts[0], dim))


def _flatten(_run: Pass, values: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    return flatten(values, start_dim, end_dim)


def _reshape(_run: Pass, values: Tensor, *shape: Any) -> Tensor:
    wanted = tuple(shape[0]) if isinstance(shape[0], Sequence) else shape
    batch, models = values.shape[:2]
    rest = tuple(wanted[1:])
    known = -1 not in rest and batch * models * prod(rest) == values.numel()
    if wanted[0] != batch and not (wanted[0] == -1 and known):
        raise CannotStack("a reshape that mixes the batch with other axes")
    return values.reshape(batch, models, *rest)


def _size(_run: Pass, values: Tensor, dim: int | None = None) -> Any:
    own = (values.shape[0], *values.shape[2:])
    return own if dim is None else own[dim]


def _attribute(run: Pass, values: Any, name: str) -> Any:
    if name == "shape" and isinstance(values, Tensor):
        return _size(run, values)
    raise CannotStack(f"the attribute {name} of an array")


def _item(_run: Pass, values: Any, key: Any) -> Any:
    if not isinstance(values, Tensor):
        return values[key]
    if not isinstance(key, tuple) or key[0] != slice(None) or Ellipsis in key:
        raise CannotStack("an index into the batch")
    return values[(key[0], slice(None), *key[1:])]


def _transpose(_run: Pass, values: Tensor, dim0: int, dim1: int) -> Tensor:
    return values.transpose(axis(values, dim0), axis(values, dim1))


def _permute(_run: Pass, values: Tensor, *dims: Any) -> Tensor:
    wanted = tuple(dims[0]) if isinstance(dims[0], Sequence) else dims
    if wanted[0] != 0:
        raise CannotStack("a permutation that moves the batch")
    return values.permute(0, 1, *(axis(values, one) for one in wanted[1:]))


def _unsqueeze(_run: Pass, values: Tensor, dim: int) -> Tensor:
    own = values.ndim - 1
    place = dim + own + 1 if dim < 0 else dim
    if place == 0:
        raise CannotStack("a new axis before the batch")
    return values.unsqueeze(place + 1)


def _matmul(_run: Pass, one: Any, other: Any) -> Tensor:
    if one.ndim != other.ndim or one.ndim < 4:
        raise CannotStack("a matrix product across the batch")
    return torch.matmul(one, other)


def _named(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", function))


NAMES = (  # on one number each, as torch.X, as functional.X and as a method
    *("relu", "tanh", "sigmoid", "exp", "log", "abs", "neg", "sqrt", "square", "clamp", "pow", "add", "sub", "mul"),
    *("div", "true_divide", "maximum", "minimum", "gelu", "silu", "elu", "selu", "celu", "leaky_relu", "softplus"),
    *("mish", "hardswish", "hardtanh", "hardsigmoid", "relu6", "logsigmoid", "softsign", "contiguous", "float"),
)
ALONG = ("mean", "sum", "amax", "amin", "softmax", "log_softmax", "squeeze", "logsumexp")
POOLS = ("max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d", "adaptive_avg_pool1d", "adaptive_avg_pool2d")
SHAPES: dict[str, Op] = {
    "flatten": _flatten,
    "reshape": _reshape,
    "view": _reshape,
    "size": _size,
    "transpose": _transpose,
    "permute": _permute,
    "unsqueeze": _unsqueeze,
    "matmul": _matmul,
    "cat": _cat,
    "concat": _cat,
}
HOMES: tuple[Any, ...] = (torch, functional)
OPERATORS = ("add", "sub", "mul", "truediv", "floordiv", "neg", "pow", "iadd", "isub", "imul")
METHODS: dict[str, Op] = {
    **{name: _pointwise(getattr(Tensor, name)) for name in NAMES if hasattr(Tensor, name)},
    **{name: _along(getattr(Tensor, name)) for name in ALONG},
    **{name: op for name, op in SHAPES.items() if hasattr(Tensor, name)},
}
FUNCTIONS: dict[Any, Op] = {
    **{getattr(home, name): _pointwise(getattr(home, name)) for home in HOMES for name in NAMES if hasattr(home, name)},
    **{getattr(home, name): _along(getattr(home, name)) for home in HOMES for name in ALONG if hasattr(home, name)},
    **{
        getattr(home, name): _per_channel(getattr(home, name))
        for home in HOMES
        for name in POOLS
        if hasattr(home, name)
    },
    **{getattr(torch, name): op for name, op in SHAPES.items() if hasattr(torch, name)},
    **{getattr(operator, name): _pointwise(getattr(operator, name)) for name in OPERATORS},
    operator.getitem: _item,
    operator.matmul: _matmul,
    getattr: _attribute,
}
