"""A PyTorch module: asked in batches, in evaluation mode, and left as it was found."""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from unseen.access import Access
from unseen.errors import DataError, ModelError, TargetFailed
from unseen.features.rows import column_names, count_rows, plain_columns, table_columns
from unseen.signal import Array
from unseen.target import Answers
from unseen.targets.answers import SUM_TOLERANCE, answers_from_logits
from unseen.targets.values import checked_values

BATCH = 1024
SQUASHING = (nn.Sigmoid, nn.Softmax)


class TorchTarget:
    """A trained `nn.Module` that gives logits `(records, classes)`; without `classes`, values `(records,)`.

    Of two classes, one column of logits is the log odds of `classes[1]`. The module is used in place, on the device
    that its weights are on (`device` only says which that has to be), and left unchanged. Features become float32, or
    what its weights are; `shape` is that of one record where the module does not take it flat.

    >>> TorchTarget(nn.Linear(2, 3), classes=np.array(["a", "b", "c"])).answer(np.zeros((4, 2))).log_probs.shape
    (4, 3)
    """

    def __init__(
        self,
        module: nn.Module,
        classes: Array | Sequence[Any] | None = None,
        batch_size: int = BATCH,
        device: str | torch.device | None = None,
        shape: Sequence[int] | None = None,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise ModelError(f"a PyTorch model is an nn.Module, got {type(module).__name__}.")
        if batch_size < 1:
            raise ModelError(f"batch_size must be 1 or more, got {batch_size}.")
        self.model = module
        self.batch_size = batch_size
        self.shape = None if shape is None else tuple(shape)
        self._classes = np.empty(0) if classes is None else np.asarray(classes)
        if classes is not None and (
            self._classes.ndim != 1 or np.unique(self._classes).size < max(2, self._classes.size)
        ):
            raise ModelError("classes must be the labels of the logits' columns, in order: two or more, all different.")
        _check_module(module, device)

    @property
    def classes(self) -> Array:
        """The class labels, in the order of the logits; empty for a regressor."""
        return self._classes

    @property
    def access(self) -> frozenset[Access]:
        """Labels, scores and weights, and a classifier's probabilities."""
        granted = {Access.LABELS, Access.SCORES, Access.WEIGHTS}
        return frozenset(granted | {Access.PROBABILITIES} if self._classes.size else granted)

    def check_columns(self, features: Any) -> None:
        """Raise `DataError` unless all of `features` are numbers."""
        as_tensor(features[:1] if hasattr(features, "__getitem__") else features)

    def answer(self, features: Any) -> Answers:
        """Answer each record; raises `TargetFailed` where the module raises, without the module's own message."""
        records = count_rows(features)
        with evaluating(self.model):
            parts = [_as_float64(self.ask(batch)) for batch in self.batches(features)]
        output = np.concatenate(parts) if parts else np.empty((0, max(self._classes.size, 1)))
        if not self._classes.size:
            return Answers(np.zeros(records, dtype=np.intp), value=checked_values(output, records))
        _check_logits(self.model, output)
        return answers_from_logits(output, records, self._classes.size)

    def batches(self, features: Any) -> Iterator[Tensor]:
        """Yield `features` as the module takes them, a batch at a time; what it writes into one reaches nobody."""
        weight = next((one for one in self.model.parameters() if one.is_floating_point()), torch.empty(0))
        table = as_tensor(features)
        for start in range(0, len(table), self.batch_size):
            batch = table[start : start + self.batch_size]
            yield _shaped(batch.to(weight.device, weight.dtype, copy=True), self.shape)

    def ask(self, batch: Tensor) -> Tensor:
        """Return what the module gives for one batch, as it gives it."""
        try:
            output = self.model(batch)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's module raises
            raise _explained(self.model, batch, error) from None
        if not isinstance(output, Tensor):
            raise ModelError(
                f"the module must give a tensor of logits or values, got {type(output).__name__}; wrap it in a module "
                "that returns the tensor."
            )
        return output


def as_tensor(features: Any) -> Tensor:
    """Return features as the training sees them: float32 on the CPU, rows first.

    NumPy, SciPy, pandas and polars tables and tensors; whole numbers and truth values count as numbers. It may share
    memory with a float32 array. Raises `DataError` where a column holds anything else.
    """
    if isinstance(features, Tensor):
        if features.is_complex():
            raise DataError(f"a PyTorch module takes numbers, got a tensor of {features.dtype}.")
        return features.detach().to("cpu", torch.float32)
    count_rows(features)
    if sparse.issparse(features):
        features = features.toarray()
    names = column_names(features)
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and shows in the answers
        array = np.asarray(features) if names is None else _numbers(features, names)
        if array.dtype.kind not in "biuf":
            raise DataError(f"a PyTorch module takes numbers, got an array of {array.dtype}.")
        return torch.from_numpy(np.require(array, np.float32, ["C", "W"]))


def _numbers(table: Any, names: Sequence[str]) -> Array:
    raw, plain = table_columns(table), plain_columns(table)
    wrong = [
        name
        for name, one, two in zip(names, raw, plain, strict=True)
        if one.dtype.kind in "mM" or two.dtype.kind not in "biuf"
    ]
    if wrong:
        raise DataError(
            f"a PyTorch module takes numbers, and {len(wrong)} of {len(names)} columns hold other values: {wrong[:3]}; "
            "encode them as at its training, or drop them (plan: data.drop)."
        )
    return np.column_stack([values.astype(np.float32) for values in plain])


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put every part of `module` in evaluation mode, without gradients, on one thread; and all as it was, after."""
    before = [(part, part.training) for part in module.modules()]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        module.eval()
        with torch.no_grad():
            yield
    finally:
        torch.set_num_threads(threads)
        for part, training in before:
            part.training = training


def _check_module(module: nn.Module, device: str | torch.device | None) -> None:
    weights = [*module.parameters(), *module.buffers()]
    if any(nn.parameter.is_lazy(weight) for weight in weights):
        raise ModelError(f"{type(module).__name__} has layers without weights yet: it was never trained.")
    if device is None:
        return
    wanted = torch.device(device)
    elsewhere = {
        str(weight.device)
        for weight in weights
        if weight.device.type != wanted.type or wanted.index not in {None, weight.device.index}
    }
    if elsewhere:
        raise ModelError(
            f"the module has weights on {sorted(elsewhere)} and device is {str(wanted)!r}; it is used in place, so "
            "move it there (module.to(device)), or leave device out."
        )


def _shaped(batch: Tensor, shape: tuple[int, ...] | None) -> Tensor:
    if shape is None:
        return batch
    width = batch[0].numel()
    if math.prod(shape) != width:
        raise ModelError(f"shape {shape} takes {math.prod(shape)} numbers a record, the table has {width}.")
    return batch.reshape(-1, *shape)


def _as_float64(output: Tensor) -> Array:
    return np.asarray(output.detach().to("cpu", torch.float64).numpy())


def _check_logits(module: nn.Module, output: Array) -> None:
    """Raise where the module's answers are probabilities: as logits they would all be nearly alike."""
    last = list(module.modules())[-1]
    inside = output.size > 0 and bool(((output >= 0) & (output <= 1)).all())
    ones = output.ndim == 2 and output.shape[1] > 1 and bool((np.abs(output.sum(axis=1) - 1) < SUM_TOLERANCE).all())
    if inside and (ones or isinstance(last, SQUASHING)):
        raise ModelError(
            "the module gives probabilities, not logits; leave out its last layer, the softmax or sigmoid."
        )


def _explained(module: nn.Module, batch: Tensor, error: BaseException) -> ModelError | TargetFailed:
    """Return the error to raise where `module` raised: a wrong width where that is why, found by asking once more."""
    found: list[str] = []
    with ExitStack() as hooks:
        for part in module.modules():
            if isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
                hooks.enter_context(part.register_forward_pre_hook(lambda *call: found.extend(_misfit(*call))))
        hooks.enter_context(suppress(Exception, SystemExit))  # the same once more
        module(batch)
    if found:
        return ModelError(found[0])
    return TargetFailed(
        f"the module raised {type(error).__name__} on a batch of {len(batch)} records; its message is withheld because "
        "it may quote them: call it on the same records to see it."
    )


def _misfit(part: Any, inputs: tuple[Any, ...]) -> Iterator[str]:
    """Yield what is wrong with the width of a layer's input, if anything is."""
    if isinstance(part, nn.Linear):
        axis, wanted, what = -1, part.in_features, "numbers"
    else:
        axis, wanted, what = -1 - len(part.kernel_size), part.in_channels, "channels"
    shape = tuple(inputs[0].shape)
    if len(shape) < -axis or shape[axis] != wanted:
        yield (
            f"a {type(part).__name__} layer of the module takes {wanted} {what} a record and was given shape "
            f"{shape[1:]}; hand in the table that the module was trained on, with shape= where it takes no flat rows."
        )
