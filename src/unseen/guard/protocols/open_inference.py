"""Open Inference Protocol V2 over REST: KServe, MLServer, Triton, TorchServe."""

import math
import re
from typing import Any

from unseen.guard.answering import Answering, unreadable
from unseen.guard.policy import Kind, Route
from unseen.guard.question import Question, Telling
from unseen.guard.refusal import Refused, bad
from unseen.guard.wire import number_of_rows

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
INFER = re.compile(rf"/v2/models/{NAME}(?:/versions/{NAME})?/infer")
MODEL = re.compile(rf"/v2/models/{NAME}(?:/versions/{NAME})?(/ready)?")
SERVER = {
    "/v2": frozenset({"name", "extensions"}),
    "/v2/health/live": frozenset({"live"}),
    "/v2/health/ready": frozenset({"ready"}),
}
TOLD = frozenset({"name", "versions", "platform", "inputs", "outputs", "ready"})
REQUEST, OUTPUT = {"id", "inputs", "outputs", "parameters"}, ("name", "shape", "datatype", "data")
INPUT = {*OUTPUT, "parameters"}
SCALARS = {int, float, str, bool}
AXES = 8  # most that a shape may have
LONGEST = 256  # characters of an id or a name
FLOATS = {"FP16", "FP32", "FP64", "BF16"}
INTEGERS = {f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)}
WHOLE = {"BOOL", "BYTES", *INTEGERS}
DATATYPES = FLOATS | WHOLE
CONTENT_TYPES = ("np", "pd", "str")


class OpenInference:
    """Tensors by name; the first axis counts the records."""

    def __init__(self, route: Route) -> None:
        self._answers = route.answers
        self._outputs = route.outputs

    def match(self, method: str, path: str) -> str | Telling | None:
        """See `question.Adapter`."""
        if method == "POST":
            return path if INFER.fullmatch(path) else None
        if path in SERVER:
            return Telling(path, SERVER[path])
        return Telling(path, TOLD) if MODEL.fullmatch(path) else None

    def read(self, path: str, content: Any, parameters: frozenset[str]) -> Question:
        """See `question.Adapter`. Parameters other than a content type are dropped."""
        del parameters
        if not isinstance(content, dict) or not content.keys() <= REQUEST:
            raise bad("field", f"An inference request has the fields {sorted(REQUEST)} and no others.")
        inputs = content.get("inputs")
        number_of_rows(inputs, "inputs")
        tensors = [_tensor(tensor) for tensor in inputs or []]
        count = tensors[0][0][0]
        if any(shape[0] != count for shape, _ in tensors):
            raise bad("shape", "Every input must have the same number of records along its first axis.")
        kept = [_kept(tensor, flat) for tensor, (_, flat) in zip(inputs or [], tensors, strict=True)]
        _refuse_repeats([tensor["name"] for tensor in kept])
        body: dict[str, Any] = {"inputs": kept}
        if content.get("id") is not None:
            body["id"] = _text(content["id"])
        if content.get("outputs") is not None:
            body["outputs"] = [{"name": _name(output)} for output in _list(content["outputs"])]
            _refuse_repeats([output["name"] for output in body["outputs"]])
        dropped: tuple[str, ...] = ()
        if content.get("parameters") is not None:
            body["parameters"] = _content_type(content)
            dropped = tuple(sorted(content["parameters"].keys() - {"content_type"}))
        return Question(path, count, _rows(tensors, count), body, dropped=dropped)

    def harden(self, question: Question, content: Any, answering: Answering) -> Any:
        """See `question.Adapter`. Of the answer, name, id and the tensors are passed on, without their parameters."""
        outputs = content.get("outputs") if isinstance(content, dict) else None
        if not isinstance(outputs, list):
            raise unreadable()
        datatypes = [_datatype(output) for output in outputs]
        floats = sum(datatype in FLOATS for datatype in datatypes)
        numbers = floats + sum(datatype in INTEGERS for datatype in datatypes)
        found = [self._output(output, question, answering, floats, numbers) for output in outputs]
        hardened = [tensor for tensor in found if tensor is not None]
        if not hardened:
            raise unreadable()
        kept = {name: content[name] for name in ("model_name", "id") if isinstance(content.get(name), str)}
        return kept | {"outputs": hardened}

    def _output(self, output: Any, question: Question, answering: Answering, floats: int, numbers: int) -> Any:
        if not isinstance(output, dict) or not isinstance(output.get("name"), str):
            raise unreadable()
        name, datatype = output["name"], _datatype(output)
        kind = self._outputs.get(name) or self._kind(datatype, output.get("shape"), floats, numbers)
        if kind is None:
            if not answering.strict:
                return {field: output[field] for field in OUTPUT if field in output}
            answering.dropped += 1
            return None
        shape, flat = _tensor(output, upstream=True)
        if shape[0] != question.records or (kind != "labels" and len(shape) > 2):
            raise unreadable()
        if kind == "labels":
            data = answering.rows("labels", flat, len(flat))
        else:
            width = len(flat) // shape[0]
            rows = [flat[at : at + width] for at in range(0, len(flat), width)]
            data = answering.rows(kind, rows if len(shape) == 2 else flat, question.records)
            data = [value for row in data for value in row] if len(shape) == 2 else data
            datatype = datatype if datatype in FLOATS else "FP64"
        return {"name": name, "shape": shape, "datatype": datatype, "data": data}

    def _kind(self, datatype: str, shape: Any, floats: int, numbers: int) -> Kind | None:
        """Return what an output is that the policy does not name, or None.

        The only one with fractions is what the route answers. Of the others, a text, a truth value or a whole number
        for each record is a label, unless the route answers with values; a row of whole numbers may be probabilities
        in disguise, and is what the route answers if no other output has numbers.
        """
        if datatype in FLOATS:
            return self._answers if floats == 1 and not self._outputs else None
        if datatype not in WHOLE or not isinstance(shape, list):
            return None
        if self._answers == "labels" and not self._outputs:
            return "labels"
        one = shape[1:].count(1) == len(shape) - 1
        if datatype in INTEGERS and not self._outputs and (self._answers == "values" or not one):
            return self._answers if numbers == 1 else None
        return "labels" if one else None


def _tensor(tensor: Any, *, upstream: bool = False) -> tuple[list[int], list[Any]]:
    """Return shape and flat data of a tensor, which must agree."""
    if not isinstance(tensor, dict) or not (upstream or tensor.keys() <= INPUT):
        raise _misshapen(upstream=upstream)
    shape, data = tensor.get("shape"), tensor.get("data")
    if not isinstance(shape, list) or len(shape) > AXES or set(map(type, shape)) != {int} or min(shape) < 1:
        raise _misshapen(upstream=upstream)
    if not isinstance(data, list) or _datatype(tensor) not in DATATYPES:
        raise _misshapen(upstream=upstream)
    flat = _flat(data)
    if flat is None:
        raise unreadable() if upstream else bad("shape", "A tensor holds numbers, texts or truth values, evenly.")
    if len(flat) != math.prod(shape):
        raise unreadable() if upstream else bad("shape", "The data must be as long as the shape says.")
    return shape, flat


def _datatype(tensor: Any) -> str:
    said = tensor.get("datatype") if isinstance(tensor, dict) else None
    return said if isinstance(said, str) else ""


def _misshapen(*, upstream: bool) -> Refused:
    return unreadable() if upstream else bad("shape", "An input needs a name, a shape, a datatype and data.")


def _flat(data: list[Any]) -> list[Any] | None:
    """Return what nested arrays hold; None where it is no tensor."""
    while data and isinstance(data[0], list):
        if not all(isinstance(row, list) for row in data):
            return None
        data = [value for row in data for value in row]
    return data if set(map(type, data)) <= SCALARS else None


def _kept(tensor: dict[str, Any], flat: list[Any]) -> dict[str, Any]:
    """Return an input as it is sent on: flat, so that its shape alone says what its rows are."""
    kept = {"name": _name(tensor), "shape": tensor["shape"], "datatype": tensor["datatype"], "data": flat}
    return kept if tensor.get("parameters") is None else {**kept, "parameters": _content_type(tensor)}


def _content_type(holder: dict[str, Any]) -> dict[str, str]:
    """Return what is kept of parameters: the content type that MLServer decodes by."""
    parameters = holder["parameters"]
    if not isinstance(parameters, dict):
        raise bad("field", "parameters must be an object.")
    said = parameters.get("content_type")
    if said is None:
        return {}
    if said not in CONTENT_TYPES:
        raise bad("field", "The content types np, pd and str are understood, and no others.")
    return {"content_type": said}


def _name(tensor: Any) -> str:
    if not isinstance(tensor, dict):
        raise bad("field", "An output that is asked for is an object with a name.")
    return _text(tensor.get("name"))


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST:
        raise bad("field", f"An id and a name are texts of {LONGEST} characters at most.")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise bad("field", "outputs must be an array.")
    return value


def _refuse_repeats(names: list[str]) -> None:
    if len(set(names)) < len(names):
        raise bad("duplicate", "Two tensors have one name.")


def _rows(tensors: list[tuple[list[int], list[Any]]], count: int) -> list[list[Any]]:
    if count == 1:
        return [[value for _, flat in tensors for value in flat]]
    rows: list[list[Any]] = [[] for _ in range(count)]
    for _, flat in tensors:
        width = len(flat) // count
        for number, row in enumerate(rows):
            row.extend(flat[number * width : (number + 1) * width])
    return rows
