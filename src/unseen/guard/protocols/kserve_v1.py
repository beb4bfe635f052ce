"""KServe V1 and TensorFlow Serving: `/v1/models/NAME:predict`."""

import binascii
import re
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Any

from unseen.errors import PolicyError
from unseen.guard.answering import Answering, unreadable
from unseen.guard.fitting import fitted
from unseen.guard.policy import Route
from unseen.guard.protocols.mlflow import hardened_predictions
from unseen.guard.question import Question, Telling
from unseen.guard.refusal import bad
from unseen.guard.wire import number_of_rows

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
ONE = re.compile(rf"/v1/models/{NAME}(?:/versions/[0-9]+)?")  # model
PREDICT = re.compile(rf"{ONE.pattern}:predict")
MODEL = re.compile(rf"/v1/models/{NAME}")
BYTES = {"b64"}  # the one field of an object that is bytes


class KServeV1:
    """Instances in, predictions out. The columnar form of TensorFlow Serving (`inputs`) is refused: use instances."""

    def __init__(self, route: Route) -> None:
        if route.path and not ONE.fullmatch(route.path):
            raise PolicyError(
                "path is the one model that may be asked, '/v1/models/NAME' or '/v1/models/NAME/versions/N'."
            )
        if BYTES & set(route.features):
            raise PolicyError("features names b64, by which V1 marks bytes: name the value itself, such as 'image'.")
        self._route = route
        self._predict = re.compile(re.escape(f"{route.path}:predict")) if route.path else PREDICT
        self._model = re.compile(re.escape(route.path)) if route.path else MODEL

    def match(self, method: str, path: str) -> str | Telling | None:
        """See `question.Adapter`."""
        if method == "POST":
            return path if self._predict.fullmatch(path) else None
        return Telling(path, frozenset({"name", "ready"})) if self._model.fullmatch(path) else None

    def read(self, path: str, content: Any, parameters: frozenset[str]) -> Question:
        """See `question.Adapter`."""
        del parameters
        if not isinstance(content, dict) or content.keys() != {"instances"}:
            raise bad("field", "The body must have the field instances, and nothing else.")
        records = number_of_rows(content["instances"], "instances")
        rows = content["instances"]
        if self._route.b64:
            rows = [_without_bytes(row) for row in rows]
        elif any(isinstance(row, dict) and row.keys() == BYTES for row in rows):
            raise bad("shape", "A record is bytes only where the policy says so.")
        return Question(path, records, fitted(rows, self._route), content)

    def harden(self, question: Question, content: Any, answering: Answering) -> Any:
        """See `question.Adapter`."""
        if not isinstance(content, dict):
            raise unreadable()
        found = content.get("predictions")
        answering.dropped += len(content) - 1
        return {"predictions": hardened_predictions(found, question.records, self._route, answering)}


def _without_bytes(row: Any) -> Any:
    """Return a record with a digest for bytes, which are the record or one of its values."""
    if isinstance(row, dict) and row.keys() != BYTES:
        return {name: _digested(value) for name, value in row.items()}
    return [_digested(value) for value in row] if isinstance(row, list) else _digested(row)


def _digested(value: Any) -> Any:
    """Return what stands for `{"b64": TEXT}`, and anything else as it is; one text alone is right for some bytes."""
    if not isinstance(value, dict) or value.keys() != BYTES:
        return value
    text = value["b64"]
    try:
        held = b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        held = b""
    if b64encode(held).decode() != text:
        raise bad("shape", "The value of b64 is bytes in base64, with its padding and nothing else.")
    return f"b64:{sha256(held).hexdigest()}"
