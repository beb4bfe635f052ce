"""Chance in one model's training: the order of its records, its dropout masks, its augmentation.

Every stream belongs to one model and starts from that model's seed, so that a model comes out the same alone, in a
stack of others, or in another process.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from unseen.errors import PlanError, did_you_mean

STREAM = 0x70C4  # keeps these generators apart from every other use of the seed
DROPOUTS: dict[type[nn.Module], int] = {
    nn.Dropout: 0,
    nn.Dropout1d: 1,
    nn.Dropout2d: 2,
    nn.Dropout3d: 3,
}  # trailing axes that fall together
AUGMENTATIONS = ("flip", "shift")


class Chance:
    """The generators of one model; `device` is where its masks are drawn."""

    def __init__(self, seed: int, device: str | torch.device = "cpu") -> None:
        self._order, self._views = _generator(seed, 0, "cpu"), _generator(seed, 1, "cpu")
        self._masks = _generator(seed, 2, device)

    def order(self, records: int) -> Tensor:
        """Return the next epoch's order of the training records, `(records,)`."""
        return torch.randperm(records, generator=self._order)

    def fill_mask(self, mask: Tensor, rate: float) -> None:
        """Fill a contiguous `mask` with what dropout multiplies by: 0 with probability `rate`, else 1 / (1 - rate)."""
        mask.bernoulli_(1 - rate, generator=self._masks)
        if rate < 1:
            mask.div_(1 - rate)

    def views(self, augment: Sequence[str], records: int) -> list[Tensor]:
        """Return what each augmentation draws for one batch: flips `(records,)`, shifts `(records, 2)`."""
        return [self._view(*parsed(name), records) for name in augment]

    def _view(self, name: str, by: int, records: int) -> Tensor:
        if name == "flip":
            return torch.rand(records, generator=self._views) < 0.5
        return torch.randint(0, 2 * by + 1, (records, 2), generator=self._views)


def _generator(seed: int, stream: int, device: str | torch.device) -> torch.Generator:
    state = np.random.SeedSequence([seed, STREAM, stream]).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(state[0] >> np.uint64(1)))


def parsed(name: str) -> tuple[str, int]:
    """Return an augmentation's name and size, or raise `PlanError`.

    >>> parsed("shift:4")
    ('shift', 4)
    """
    kind, _, size = name.partition(":")
    if kind not in AUGMENTATIONS:
        raise PlanError(
            f"there is no augmentation {name!r}{did_you_mean(kind, AUGMENTATIONS)}; there are flip, shift:4."
        )
    if kind == "flip" and not size:
        return kind, 0
    if kind == "flip" or not size.isdecimal() or int(size) < 1:
        raise PlanError(f"an augmentation is 'flip' or 'shift:' and a number of pixels, got {name!r}.")
    return kind, int(size)


def augmented(images: Tensor, augment: Sequence[str], views: Sequence[Tensor]) -> Tensor:
    """Return `(rows, channels, height, width)` as the drawn `views` change them; what is shifted in is 0."""
    if augment and images.ndim != 4:
        raise PlanError(
            f"augmentation takes records of (channels, height, width), got {tuple(images.shape[1:])}; hand in `shape`."
        )
    for name, view in zip(augment, views, strict=True):
        kind, by = parsed(name)
        images = _flipped(images, view) if kind == "flip" else _shifted(images, by, view)
    return images


def _flipped(images: Tensor, flips: Tensor) -> Tensor:
    return torch.where(flips[:, None, None, None], images.flip(-1), images)


def _shifted(images: Tensor, by: int, shifts: Tensor) -> Tensor:
    rows, channels, height, width = images.shape
    padded = functional.pad(images, (by, by, by, by))
    here = torch.arange(height, device=images.device) + shifts[:, :1]
    there = torch.arange(width, device=images.device) + shifts[:, 1:]
    row = torch.arange(rows, device=images.device)[:, None, None, None]
    channel = torch.arange(channels, device=images.device)[None, :, None, None]
    return padded[row, channel, here[:, None, :, None], there[:, None, None, :]]


def mask_shape(part: nn.Module, shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of a dropout layer's mask for an input of `shape`: channels fall whole in Dropout2d."""
    together = DROPOUTS[type(part)]
    return (*shape[: len(shape) - together], *(1,) * together)


@contextmanager
def own_masks(module: nn.Module, chance: Chance) -> Iterator[None]:
    """Let the dropout layers of `module` take their masks from `chance` instead of the generator that all share."""
    parts: list[Any] = [part for part in module.modules() if type(part) in DROPOUTS]
    try:
        for part in parts:
            part.forward = partial(_dropout, part, chance)
        yield
    finally:
        for part in parts:
            del part.forward


def _dropout(part: Any, chance: Chance, values: Tensor) -> Tensor:
    if not part.training or part.p == 0:
        return values
    mask = torch.empty(mask_shape(part, values.shape), device=values.device)
    chance.fill_mask(mask, part.p)
    return values * mask
