"""Reference: a model trained like the target on other records; the task of training some; the engine that does it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from unseen.recipe import Recipe
from unseen.signal import Array, Bools, Floats, Ints


@dataclass(frozen=True)
class ReferenceTask:
    """What every reference of one audit has in common, and what tells them apart.

    Reference k is trained by `recipe` on the rows of `features` and `labels` where `inclusion[k]`, from `seeds[k]`, and
    asked about all rows. A classifier's `classes` are the target's, and `label_index (records,)` the true ones' places
    among them; of a regressor, `classes` is empty and `scale` the unit of residuals (see `signals.residual`). `cuts`
    are numbers of references, ascending, at which those before may be asked for alone. `scored` says that the target
    gives probabilities or scores, and so must references.
    """

    recipe: Recipe = field(repr=False)
    classes: Array = field(repr=False)
    features: Any = field(repr=False)
    labels: Array = field(repr=False)
    label_index: Ints = field(repr=False)
    inclusion: Bools = field(repr=False)
    seeds: Sequence[int]
    scale: float | None = None
    cuts: tuple[int, ...] = ()
    scored: bool = False


def some_of(task: ReferenceTask, numbers: Sequence[int]) -> ReferenceTask:
    """Return the task of these references alone, numbered from 0 in the order given."""
    chosen = list(numbers)
    return replace(task, inclusion=task.inclusion[chosen], seeds=[task.seeds[k] for k in chosen], cuts=())


@dataclass(frozen=True)
class ReferenceAnswers:
    """One reference's `margin` and `loss` on every record, `(records,)`; loss is None without probabilities.

    `member (records,)` says which records it was trained on, where that is not the task's row of inclusion.
    """

    margin: Floats | None = field(repr=False)
    loss: Floats | None = field(repr=False)
    member: Bools | None = field(default=None, repr=False)


@dataclass(frozen=True)
class ReferenceFailure:
    """A reference that could not be had: the stage, and the type of the error; its message only where it is ours."""

    stage: str
    error: str


class Engine(Protocol):
    """Trains references; the same task and number give the same answers on every engine, up to stated rounding."""

    def train(
        self, task: ReferenceTask, wanted: Sequence[int]
    ) -> Iterator[tuple[int, ReferenceAnswers | ReferenceFailure]]:
        """Yield each wanted reference's answers, or why there are none, in any order as they finish."""
