"""KServe V1 and TensorFlow Serving: `/v1/models/NAME:predict`."""

import re
from typing import Any

from unseen.guard.answering import Answering, unreadable
from unseen.guard.policy import Route
from unseen.guard.protocols.mlflow import hardened_predictions
from unseen.guard.question import Question, Telling
from unseen.guard.refusal import bad
from unseen.guard.wire import number_of_rows

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
PREDICT = re.compile(rf"/v1/models/{NAME}(?:/versions/[0-9]+)?:predict")
MODEL = re.compile(rf"/v1/models/{NAME}")


class KServeV1:
    """Instances in, predictions out. The columnar form of TensorFlow Serving (`inputs`) is refused: use instances."""

    def __init__(self, route: Route) -> None:
        self._answers = route.answers
        self._outputs = route.outputs

    def match(self, method: str, path: str) -> str | Telling | None:
        """See `question.Adapter`."""
        if method == "POST":
            return path if PREDICT.fullmatch(path) else None
        return Telling(path, frozenset({"name", "ready"})) if MODEL.fullmatch(path) else None

    def read(self, path: str, content: Any, parameters: frozenset[str]) -> Question:
        """See `question.Adapter`."""
        del parameters
        if not isinstance(content, dict) or content.keys() != {"instances"}:
            raise bad("field", "The body must have the field instances, and nothing else.")
        records = number_of_rows(content["instances"], "instances")
        return Question(path, records, content["instances"], content)

    def harden(self, question: Question, content: Any, answering: Answering) -> Any:
        """See `question.Adapter`."""
        if not isinstance(content, dict):
            raise unreadable()
        found = content.get("predictions")
        answering.dropped += len(content) - 1
        return {"predictions": hardened_predictions(found, question.records, self._answers, self._outputs, answering)}
