"""Target: a model we may question, and what it grants."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from unseen.access import Access
from unseen.signal import Array, Floats, Ints


@dataclass(frozen=True)
class Answers:
    """What a model said of some records: the predicted class index, and what more it gives.

    `predicted (records,)`; `log_probs (records, classes)` in nats, -inf where a probability is 0; or, from models
    without probabilities, `decision (records, classes)` scores in the model's own unit. A regressor gives
    `value (records,)` in the unit of its labels, and its `predicted` is 0 throughout.
    """

    predicted: Ints = field(repr=False)
    log_probs: Floats | None = field(default=None, repr=False)
    decision: Floats | None = field(default=None, repr=False)
    value: Floats | None = field(default=None, repr=False)


class Target(Protocol):
    """A model we may question: `classes (classes,)` in the order of its answers, and the access it grants.

    A regressor has no classes: the array is empty.
    """

    @property
    def classes(self) -> Array:
        """The class labels, in the order of the columns of its answers."""

    @property
    def access(self) -> frozenset[Access]:
        """What asking it shows."""

    def answer(self, features: Any) -> Answers:
        """Answer each record of `features`."""
