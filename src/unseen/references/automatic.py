"""The engine that chooses: stacks where the recipe can be stacked, parallel processes elsewhere."""

from collections.abc import Iterator, Sequence

from unseen.reference import ReferenceAnswers, ReferenceFailure, ReferenceTask
from unseen.references.processes import Processes


class Automatic:
    """Trains declarative PyTorch recipes in stacks and everything else in processes; the references are the same.

    `said` holds what a reader should know of the last `train`.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers
        self.said: list[str] = []

    def train(
        self, task: ReferenceTask, wanted: Sequence[int]
    ) -> Iterator[tuple[int, ReferenceAnswers | ReferenceFailure]]:
        """Yield each wanted reference as it finishes."""
        if hasattr(task.recipe, "stackable"):
            from unseen.references.stacked import Stacked  # PyTorch is there: the recipe came out of it

            engine = Stacked(workers=self.workers)
            yield from engine.train(task, wanted)
            self.said = engine.said
        else:
            yield from Processes(self.workers).train(task, wanted)
