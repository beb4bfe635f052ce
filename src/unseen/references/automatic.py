"""The engine that chooses: stacks where the recipe can be stacked, parallel processes elsewhere."""

from collections.abc import Iterator, Sequence
from typing import Any

from unseen.reference import ReferenceAnswers, ReferenceFailure, ReferenceTask
from unseen.references.processes import Processes


class Automatic:
    """Trains declarative PyTorch recipes in stacks and everything else in processes; the references are the same.

    `said` holds what a reader should know of the last `train`.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers
        self.said: list[str] = []
        self._stacked: Any = None

    @property
    def ready(self) -> int:
        """How many references are trained and not yet handed on."""
        return 0 if self._stacked is None else self._stacked.ready

    def train(
        self, task: ReferenceTask, wanted: Sequence[int]
    ) -> Iterator[tuple[int, ReferenceAnswers | ReferenceFailure]]:
        """Yield each wanted reference as it finishes."""
        if hasattr(task.recipe, "stackable"):
            from unseen.references.stacked import Stacked  # PyTorch is there: the recipe came out of it

            self._stacked = Stacked(workers=self.workers)
            for outcome in self._stacked.train(task, wanted):
                self.said = self._stacked.said
                yield outcome
            self.said = self._stacked.said
        else:
            yield from Processes(self.workers).train(task, wanted)
