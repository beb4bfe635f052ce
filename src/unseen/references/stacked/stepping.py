"""One step of the optimizer on stacked weights: each number moves by its own model's gradient and learning rate."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from unseen.recipes.torch import TorchRecipe

BETAS, EPSILON = (0.9, 0.999), 1e-8  # the defaults of torch.optim, which the plain loop uses


class Stepping:
    """The optimizer's state of stacked `weights (models, ...)`; works on them in place."""

    def __init__(self, recipe: TorchRecipe, weights: Sequence[Tensor]) -> None:
        self.recipe = recipe
        self.weights = list(weights)
        self.first = [torch.zeros_like(weight) for weight in weights]
        self.second = [torch.zeros_like(weight) for weight in weights if recipe.optimizer != "sgd"]
        self.steps = [torch.zeros((), device=weight.device) for weight in weights]

    def of(self, start: int, stop: int) -> "Stepping":
        """Return the same state, of the models from `start` to `stop` only, with a count of steps of its own."""
        part = Stepping(self.recipe, [])
        part.weights, part.first, part.second = (
            [one[start:stop] for one in whole] for whole in (self.weights, self.first, self.second)
        )
        part.steps = [torch.zeros_like(one) for one in self.steps]
        return part

    @torch.no_grad()
    def step(self, gradients: list[Tensor], rate: float) -> None:
        """Move the weights once; the gradients must be laid out as the weights are."""
        decay = self.recipe.weight_decay
        if self.recipe.optimizer == "sgd":
            momenta: list[Tensor | None] = list(self.first) if self.recipe.momentum else [None] * len(gradients)
            sgd(
                self.weights,
                gradients,
                momenta,
                fused=True,
                weight_decay=decay,
                momentum=self.recipe.momentum,
                lr=rate,
                dampening=0.0,
                nesterov=False,
                maximize=False,
            )
            return
        (adam if self.recipe.optimizer == "adam" else adamw)(
            self.weights,
            gradients,
            self.first,
            self.second,
            [],
            self.steps,
            fused=True,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=rate,
            weight_decay=decay,
            eps=EPSILON,
            maximize=False,
        )
