"""A plain function from features to probabilities."""

from collections.abc import Callable
from typing import Any

import numpy as np

from unseen.access import Access
from unseen.errors import TargetFailed
from unseen.features.rows import count_rows
from unseen.signal import Array
from unseen.target import Answers
from unseen.targets.answers import answers_from_probs, checked_probs


class FunctionTarget:
    """A callable `predict_proba(features) -> (records, classes)`; it can be asked, not retrained."""

    def __init__(self, predict_proba: Callable[[Any], Array], classes: Array) -> None:
        self._ask = predict_proba
        self._classes = np.asarray(classes)

    @property
    def classes(self) -> Array:
        """The class labels, in the order of the probabilities."""
        return self._classes

    @property
    def access(self) -> frozenset[Access]:
        """Labels, scores and probabilities."""
        return frozenset({Access.LABELS, Access.SCORES, Access.PROBABILITIES})

    def answer(self, features: Any) -> Answers:
        """Ask the function once for all records."""
        try:
            answer = self._ask(features)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's function raises
            raise TargetFailed(
                f"the function raised {type(error).__name__} on {count_rows(features)} records; its message is "
                "withheld because it may quote them."
            ) from None
        return answers_from_probs(checked_probs(answer, count_rows(features), self._classes.size))
