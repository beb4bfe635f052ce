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
INFER = re.compile(rf"^/v2/models/{NAME}(?:/versions/{NAME})?/infer$")
MODEL = re.compile(rf"^/v2/models/{NAME}(?:/versions/{NAME})?(/ready)?$")
SERVER = {
    "/v2": frozenset({"name", "extensions"}),
    "/v2/health/live": frozenset({"live"}),
    "/v2/health/ready": frozenset({"ready"}),
}
TOLD = frozenset({"name", "versions", "platform", "inputs", "outputs", "ready"})
REQUEST, INPUT = {"id", "inputs", "outputs", "parameters"}, {"name", "shape", "datatype", "data", "parameters"}
SCALARS = {int, float, str, bool}
FLOATS = {"FP16", "FP32", "FP64", "BF16"}
WHOLE = {"BOOL", "BYTES", *(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64))}
DATATYPES = FLOATS | WHOLE


class OpenInference:
    """Tensors by name; the first axis counts the records."""

    def __init__(self, route: Route) -> None:
        self._answers = route.answers
        self._outputs = route.outputs

    def match(self, method: str, path: str) -> str | Telling | None:
        """See `question.Adapter`."""
        if method == "POST":
            return path if INFER.match(path) else None
        if path in SERVER:
            return Telling(path, SERVER[path])
        return Telling(path, TOLD) if MODEL.match(path) else None

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
        body: dict[str, Any] = {"inputs": [_kept(tensor) for tensor in inputs or []]}
        if isinstance(content.get("id"), str):
            body["id"] = content["id"][:256]
        if isinstance(wanted := content.get("outputs"), list):
            body["outputs"] = [{"name": _name(output)} for output in wanted]
        dropped: tuple[str, ...] = ()
        if "parameters" in content:
            body["parameters"] = _content_type(content)
            dropped = tuple(sorted(content["parameters"].keys() - {"content_type"}))
        return Question(path, count, _rows(tensors, count), body, dropped=dropped)

    def harden(self, question: Question, content: Any, answering: Answering) -> Any:
        """See `question.Adapter`. Of the answer, name, id and the tensors are passed on, without their parameters."""
        outputs = content.get("outputs") if isinstance(content, dict) else None
        if not isinstance(outputs, list):
            raise unreadable()
        floats = sum(isinstance(output, dict) and output.get("datatype") in FLOATS for output in outputs)
        hardened: list[dict[str, Any]] = []
        for output in outputs:
            tensor = self._output(output, question, answering, alone=floats == 1)
            hardened += [] if tensor is None else [tensor]
        kept = {name: content[name] for name in ("model_name", "id") if isinstance(content.get(name), str)}
        return kept | {"outputs": hardened}

    def _output(self, output: Any, question: Question, answering: Answering, *, alone: bool) -> Any:
        if not isinstance(output, dict) or not isinstance(output.get("name"), str):
            raise unreadable()
        name, datatype = output["name"], output.get("datatype")
        kind = self._outputs.get(name) or self._kind(datatype, alone=alone)
        if kind is None:
            if not answering.strict:
                return {"name": name, "shape": output["shape"], "datatype": datatype, "data": output["data"]}
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
        return {"name": name, "shape": shape, "datatype": datatype, "data": data}

    def _kind(self, datatype: Any, *, alone: bool) -> Kind | None:
        if datatype in WHOLE:
            return "labels"
        return self._answers if datatype in FLOATS and alone and not self._outputs else None


def _tensor(tensor: Any, *, upstream: bool = False) -> tuple[list[int], list[Any]]:
    """Return shape and flat data of a tensor, which must agree."""
    if not isinstance(tensor, dict) or not (upstream or tensor.keys() <= INPUT):
        raise _misshapen(upstream=upstream)
    shape, data = tensor.get("shape"), tensor.get("data")
    if not isinstance(shape, list) or set(map(type, shape)) != {int} or min(shape) < 1:
        raise _misshapen(upstream=upstream)
    if not isinstance(data, list) or tensor.get("datatype") not in DATATYPES:
        raise _misshapen(upstream=upstream)
    flat = _flat(data)
    if len(flat) != math.prod(shape):
        raise unreadable() if upstream else bad("shape", "The data must be as long as the shape says.")
    return shape, flat


def _misshapen(*, upstream: bool) -> Refused:
    return unreadable() if upstream else bad("shape", "An input needs a name, a shape, a datatype and data.")


def _flat(data: list[Any]) -> list[Any]:
    while data and isinstance(data[0], list):
        if not all(isinstance(row, list) for row in data):
            raise bad("shape", "A tensor's rows must all be arrays.")
        data = [value for row in data for value in row]
    if not set(map(type, data)) <= SCALARS:
        raise bad("shape", "A tensor holds numbers, texts or truth values.")
    return data


def _kept(tensor: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(tensor.get("name"), str):
        raise bad("field", "An input needs a name.")
    kept = {name: tensor[name] for name in ("name", "shape", "datatype", "data")}
    return {**kept, "parameters": _content_type(tensor)} if "parameters" in tensor else kept


def _content_type(holder: dict[str, Any]) -> dict[str, str]:
    """Return what is kept of parameters: the content type that MLServer decodes by."""
    parameters = holder["parameters"]
    if not isinstance(parameters, dict):
        raise bad("field", "parameters must be an object.")
    said = parameters.get("content_type")
    if said is None:
        return {}
    if said not in {"np", "pd", "str"}:
        raise bad("field", "The content types np, pd and str are understood, and no others.")
    return {"content_type": said}


def _name(output: Any) -> str:
    if not isinstance(output, dict) or not isinstance(output.get("name"), str):
        raise bad("field", "An output that is asked for needs a name.")
    return str(output["name"])


def _rows(tensors: list[tuple[list[int], list[Any]]], count: int) -> list[list[Any]]:
    if count == 1:
        return [[value for _, flat in tensors for value in flat]]
    rows: list[list[Any]] = [[] for _ in range(count)]
    for _, flat in tensors:
        width = len(flat) // count
        for number, row in enumerate(rows):
            row.extend(flat[number * width : (number + 1) * width])
    return rows
