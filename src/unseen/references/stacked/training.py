"""One stack of models in training: each on its own records, in its own order, for its own number of steps."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import torch
from torch import Tensor, nn

from unseen.recipes.torch import TorchRecipe
from unseen.recipes.torch_chance import Chance, augmented
from unseen.references.stacked.layers import Pass, Weights
from unseen.references.stacked.program import Program
from unseen.references.stacked.stepping import Stepping


@dataclass(frozen=True)
class Table:
    """What all models draw their records from: `features (records, *shape)` and `aims (records, ...)` on the device."""

    features: Tensor = field(repr=False)
    aims: Tensor = field(repr=False)


@dataclass(frozen=True)
class Member:
    """A model of a stack: its number, the places of its training records in the table, and its seed."""

    k: int
    rows: Tensor = field(repr=False)
    seed: int


class Training:
    """A stack under way. Models with more steps come first, so that what is still training is always a leading part.

    The models that have ended keep their weights in `weights`, of which the live ones are views.
    """

    def __init__(self, recipe: TorchRecipe, program: Program, table: Table, members: Sequence[Member]) -> None:
        self.recipe, self.program, self.table = recipe, program, table
        self.members = sorted(members, key=lambda member: -recipe.batches(len(member.rows))[1])
        plans = [recipe.batches(len(member.rows)) for member in self.members]
        self.sizes, self.width = [size for size, _ in plans], max(size for size, _ in plans)
        self.chances = [Chance(member.seed, recipe.device) for member in self.members]
        self.orders = [_orders(*one, self.width) for one in zip(self.members, plans, self.chances, strict=True)]
        modules = [recipe.build(member.seed) for member in self.members]
        self.weights = stacked(modules)
        self.trained = [name for name, weight in modules[0].named_parameters() if weight.requires_grad]
        whole = Stepping(recipe, [self.weights.parameters[name] for name in self.trained])
        steps = [recipe.epochs * steps for _, steps in plans]
        bounds = [list(places) for _, places in groupby(range(len(steps)), key=steps.__getitem__)]
        self.runs = [(steps[one[0]], one[0], one[-1] + 1, whole.of(one[0], one[-1] + 1)) for one in bounds]
        self.share = _shares(self.sizes, self.width).to(recipe.device)
        self.losses = torch.zeros(len(self.members), device=recipe.device)
        self.by_model = table.features.ndim == 2  # else images: channels of all models side by side
        self.space = torch.empty(
            (len(self.members) * self.width, *table.features.shape[1:]), device=table.features.device
        )
        self.done = 0
        self.live = self._live()

    @property
    def steps(self) -> int:
        """How many steps there are until the last model has ended."""
        return self.runs[0][0]

    def finish(self) -> None:
        """Train to the end."""
        while self.done < self.steps:
            self.step()

    def step(self) -> None:
        """Take one step with every model that has not ended."""
        if self.runs[-1][0] == self.done:
            self.runs.pop()
            self.live = self._live()
        models = self.runs[-1][2]
        at = torch.stack([next(order) for order in self.orders[:models]]).to(self.recipe.device)
        values = self._gathered(at)
        with self.recipe.products():
            output = self.program(Pass(self.live, self._mask), values)
        aims = self.table.aims.index_select(0, at.flatten())
        rows = output.transpose(0, 1).reshape(models * self.width, *output.shape[2:])
        each = self.recipe.record_loss(rows, aims, self.recipe.label_smoothing).view(models, self.width)
        losses = (each * self.share[:models]).sum(dim=1)
        gradients = torch.autograd.grad(losses.sum(), [self.live.parameters[name] for name in self.trained])
        for steps, start, stop, stepping in self.runs:
            stepping.step([one[start:stop].contiguous() for one in gradients], self.recipe.rate(self.done, steps))
        self.losses[:models] += losses.detach()
        self.done += 1

    def finite(self) -> list[bool]:
        """Return which models have only seen finite losses and have finite weights."""
        kept = torch.isfinite(self.losses)
        for weight in self.weights.parameters.values():
            kept &= torch.isfinite(weight).flatten(1).all(dim=1)
        return [bool(one) for one in kept.tolist()]

    def _live(self) -> Weights:
        models = self.runs[-1][2]
        parameters = {name: weight[:models].detach() for name, weight in self.weights.parameters.items()}
        for name in self.trained:
            parameters[name].requires_grad_()
        return Weights(parameters, {name: one[:models] for name, one in self.weights.buffers.items()})

    def _gathered(self, at: Tensor) -> Tensor:
        """Return the records at `at (models, batch)` as `(batch, models, *shape)`, augmented."""
        models, width = at.shape
        order = at if self.by_model else at.t()
        space = self.space[: models * width]
        rows = torch.index_select(self.table.features, 0, order.flatten(), out=space)
        if self.recipe.augment:
            rows = augmented(rows, self.recipe.augment, self._views(models))
        values = rows.view(*order.shape, *rows.shape[1:])
        return values.transpose(0, 1) if self.by_model else values

    def _views(self, models: int) -> list[Tensor]:
        """Return what each augmentation draws, for the rows of all models in the order of the gathered records."""
        drawn = [
            [_padded(view, self.width) for view in chance.views(self.recipe.augment, size)]
            for chance, size in zip(self.chances[:models], self.sizes[:models], strict=True)
        ]
        both = [torch.stack(one).to(self.recipe.device) for one in zip(*drawn, strict=True)]
        return [(one if self.by_model else one.transpose(0, 1)).flatten(0, 1) for one in both]

    def _mask(self, shape: tuple[int, ...], rate: float) -> Tensor:
        models = self.runs[-1][2]
        mask = torch.zeros(models, *shape, device=self.recipe.device)
        for own, chance, size in zip(mask, self.chances, self.sizes, strict=False):
            chance.fill_mask(own[:size], rate)
        return mask


def stacked(modules: Sequence[nn.Module]) -> Weights:
    """Return the weights and running statistics of modules built alike, `(models, ...)` each."""
    parameters = _joined([dict(module.named_parameters()) for module in modules])
    for name, part in modules[0].named_modules():
        if isinstance(part, nn.Linear):
            parameters[f"{name}.weight"] = parameters[f"{name}.weight"].transpose(1, 2).contiguous()
    return Weights(parameters, _joined([dict(module.named_buffers()) for module in modules]))


def _joined(each: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([one[name].detach() for one in each]) for name in each[0]}


def _orders(member: Member, plan: tuple[int, int], chance: Chance, width: int) -> Iterator[Tensor]:
    """Yield the places in the table of each batch, `(width,)`; beyond the model's own batch, whichever."""
    size, steps = plan
    while True:
        order = member.rows[chance.order(len(member.rows))]
        yield from (_padded(at, width) for at in torch.split(order[: size * steps], size))


def _padded(values: Tensor, width: int) -> Tensor:
    if len(values) == width:
        return values
    return torch.cat([values, values[:1].expand(width - len(values), *values.shape[1:])])


def _shares(sizes: Sequence[int], width: int) -> Tensor:
    """Return what each row of a batch counts for in its model's loss, `(models, width)`."""
    size = torch.tensor(sizes)[:, None]
    return (torch.arange(width) < size) / size
