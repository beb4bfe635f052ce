"""Reference: a model trained like the target on other records; the task of training some; the engine that does it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from unseen.signal import Array, Bools, Floats, Ints
from unseen.target import Refittable


@dataclass(frozen=True)
class ReferenceTask:
    """What every reference of one audit has in common, and what tells them apart.

    Reference k is trained on the rows of `features` and `labels` where `inclusion[k]`, from `seeds[k]`, and asked about
    all rows, whose true classes are `label_index (records,)`.
    """

    target: Refittable = field(repr=False)
    features: Any = field(repr=False)
    labels: Array = field(repr=False)
    label_index: Ints = field(repr=False)
    inclusion: Bools = field(repr=False)
    seeds: Sequence[int]


@dataclass(frozen=True)
class ReferenceAnswers:
    """One reference's `margin` and `loss` on every record, `(records,)`; loss is None without probabilities."""

    margin: Floats | None = field(repr=False)
    loss: Floats | None = field(repr=False)


@dataclass(frozen=True)
class ReferenceFailure:
    """A reference that could not be had: the stage, and the type of the error (never its message)."""

    stage: str
    error: str


class Engine(Protocol):
    """Trains references; the same task and number give the same answers on every engine, up to stated rounding."""

    def train(
        self, task: ReferenceTask, wanted: Sequence[int]
    ) -> Iterator[tuple[int, ReferenceAnswers | ReferenceFailure]]:
        """Yield each wanted reference's answers, or why there are none, in any order as they finish."""
