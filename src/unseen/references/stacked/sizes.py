"""How many models go into a stack: as many as work in the processor's cache, or in the accelerator's memory."""

import torch
from torch import Tensor

from unseen.recipes.torch import TorchRecipe
from unseen.references.stacked.layers import Pass
from unseen.references.stacked.program import Program
from unseen.references.stacked.training import stacked

CACHE_BYTES = 16 * 2**20  # heuristic: a core's share of the last cache; see benchmarks/speed/stacked.md
MOST, MOST_ON_DEVICE = 64, 1024
MEMORY_SHARE = 0.5  # of what is free on an accelerator
COPIES = 4  # of each weight: itself, its gradient and two moments


def stack_size(recipe: TorchRecipe, features: Tensor) -> int:
    """Return how many models of `recipe` to train at once on records like `features`."""
    room, most = float(CACHE_BYTES), MOST
    if (device := torch.device(recipe.device)).type == "cuda":
        room, most = torch.cuda.mem_get_info(device)[0] * MEMORY_SHARE, MOST_ON_DEVICE
    return int(min(max(room // model_bytes(recipe, features), 1), most))


def model_bytes(recipe: TorchRecipe, features: Tensor) -> int:
    """Return what one model's step works on: its records, what each layer gives, its weights and their copies."""
    module, batch = recipe.build(0), features[: recipe.batch_size].to(recipe.device)
    with torch.no_grad():
        inside = Program(module).inside(Pass(stacked([module])), batch.unsqueeze(1))
    numbers = sum(one.numel() for one in inside.values() if isinstance(one, Tensor))
    return 4 * (COPIES * sum(weight.numel() for weight in module.parameters()) + numbers)
