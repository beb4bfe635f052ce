"""Target: a model we may question, and what it grants."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from unseen.access import Access
from unseen.signal import Array, Floats, Ints


@dataclass(frozen=True)
class Answers:
    """What a model said of some records: the predicted class index, and what more it gives.

    `predicted (records,)`; `log_probs (records, classes)` in nats, -inf where a probability is 0; or, from models
    without probabilities, `decision (records, classes)` scores in the model's own unit.
    """

    predicted: Ints = field(repr=False)
    log_probs: Floats | None = field(default=None, repr=False)
    decision: Floats | None = field(default=None, repr=False)


class Target(Protocol):
    """A model we may question: `classes (classes,)` in the order of its answers, and the access it grants."""

    @property
    def classes(self) -> Array:
        """The class labels, in the order of the columns of its answers."""

    @property
    def access(self) -> frozenset[Access]:
        """What asking it shows."""

    def answer(self, features: Any) -> Answers:
        """Answer each record of `features`."""


class Refittable(Target, Protocol):
    """A target that can be trained anew on other records."""

    def refit(self, features: Any, labels: Array, seed: int) -> Target:
        """Train an unfitted copy on these records; everything random in it follows from `seed`."""

    def fingerprint(self) -> str:
        """A digest of what would be trained: the unfitted estimator, its settings and its libraries' versions."""
