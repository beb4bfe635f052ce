"""What the models of a stack answer to all records, as signals."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from unseen.recipes.torch import TorchRecipe
from unseen.reference import ReferenceAnswers, ReferenceFailure, ReferenceTask
from unseen.references.signals_of import signals_of
from unseen.references.stacked.layers import Pass, Weights
from unseen.references.stacked.program import Program
from unseen.target import Answers

FEWEST_ROWS = 256  # asked at once


def answered(
    recipe: TorchRecipe, program: Program, weights: Weights, features: Tensor, task: ReferenceTask
) -> Iterator[ReferenceAnswers | ReferenceFailure]:
    """Yield each model's signals, in the order of the stack; the same as `signals_of` finds, up to float rounding."""
    outputs = _outputs(recipe, program, weights, features)
    parts = [_measured(recipe, output, at, task) for at, output in outputs]
    signals = torch.cat([signal for signal, _ in parts]).numpy()
    finite = torch.cat([kept for _, kept in parts]).all(dim=0).tolist()
    for signal, kept in zip(signals.T, finite, strict=True):
        if not kept:
            yield ReferenceFailure("answer", "ModelError")
        elif recipe.classes is None:
            yield signals_of(Answers(np.zeros(len(signal), dtype=np.intp), value=signal), np.empty(0), task)
        else:
            yield ReferenceAnswers(signal.astype(np.float32), np.logaddexp(0.0, -signal).astype(np.float32))


@torch.no_grad()
def _outputs(
    recipe: TorchRecipe, program: Program, weights: Weights, features: Tensor
) -> Iterator[tuple[slice, Tensor]]:
    rows = max(recipe.batch_size, FEWEST_ROWS)
    models = len(next(iter(weights.parameters.values())))
    for start in range(0, len(features), rows):
        some = features[start : start + rows].unsqueeze(1)
        output = program(Pass(weights), some.expand(-1, models, *some.shape[2:]))
        yield slice(start, start + rows), output.to(torch.float64)


def _measured(recipe: TorchRecipe, output: Tensor, at: slice, task: ReferenceTask) -> tuple[Tensor, Tensor]:
    """Return margins, or a regressor's values, `(rows, models)`; and which of them come of finite numbers."""
    finite = torch.isfinite(output.flatten(2) if output.ndim > 2 else output.unsqueeze(2)).all(dim=2)
    if recipe.classes is None:
        return output.reshape(finite.shape).cpu(), finite.cpu()
    place = {label: column for column, label in enumerate(recipe.classes)}
    places = [place.get(label, len(place)) for label in task.classes.tolist()]
    if places != list(range(len(place))):  # a class that the recipe lacks has probability 0
        output = functional.pad(output, (0, 1), value=-torch.inf)[..., places]
    label = torch.from_numpy(task.label_index[at].astype(np.int64)).to(output.device)[:, None, None]
    label = label.expand(-1, output.shape[1], 1)
    own = output.gather(2, label)
    others = output.scatter(2, label, -torch.inf).logsumexp(dim=2)
    return (own[..., 0] - others).cpu(), finite.cpu()
