"""Open Inference Protocol V2 over REST: KServe, MLServer, Triton, TorchServe."""

import math
import re
from itertools import chain
from typing import Any

import numpy as np

from unseen.errors import PolicyError
from unseen.guard.answering import Answering, unreadable
from unseen.guard.fitting import miscounted
from unseen.guard.policy import Route
from unseen.guard.question import Question, Telling
from unseen.guard.refusal import Refused, bad
from unseen.guard.wire import number_of_rows

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
ONE = re.compile(rf"/v2/models/{NAME}(?:/versions/{NAME})?")  # model
INFER, MODEL = re.compile(rf"{ONE.pattern}/infer"), re.compile(rf"{ONE.pattern}(/ready)?")
SERVER = {
    "/v2": frozenset({"name", "extensions"}),
    "/v2/health/live": frozenset({"live"}),
    "/v2/health/ready": frozenset({"ready"}),
}
TOLD = frozenset({"name", "versions", "platform", "inputs", "outputs", "ready"})
REQUEST, OUTPUT = {"id", "inputs", "outputs", "parameters"}, ("name", "shape", "datatype", "data")
INPUT = {*OUTPUT, "parameters"}
SCALARS, WHOLE_NUMBER = {int, float, str, bool}, {int}
AXES = 8  # most that a shape may have
LONGEST = 256  # characters of an id or a name
FLOATS = {"FP16", "FP32", "FP64", "BF16"}
INTEGERS = {f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)}
WHOLE = {"BOOL", "BYTES", *INTEGERS}
FITTING: dict[str, set[type]] = {  # what JSON may say where a request says the datatype
    **{name: {int, float} for name in FLOATS},
    **{name: {int} for name in INTEGERS},
    "BOOL": {bool},
    "BYTES": {str},
}
BOUNDS = {f"INT{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1)) for bits in (8, 16, 32, 64)}
BOUNDS |= {f"UINT{bits}": (0, 2**bits) for bits in (8, 16, 32, 64)}
AS_SAID = {"FP32", "FP64", "BOOL", "BYTES"}  # of the others not every number is held, or many are one to the model
CONTENT_TYPES = ("np", "pd", "str")
Tensor = dict[str, Any]


class OpenInference:
    """Tensors by name; the first axis counts the records."""

    def __init__(self, route: Route) -> None:
        if route.path and not ONE.fullmatch(route.path):
            raise PolicyError(
                "path is the one model that may be asked, '/v2/models/NAME' or '/v2/models/NAME/versions/V'."
            )
        self._route = route
        self._answers = route.answers
        self._likely = (WHOLE, FLOATS) if route.answers == "labels" else (FLOATS, INTEGERS)
        self._outputs = route.outputs
        self._features = list(route.features)
        self._scales = len(route.scales)
        self._shape = list(route.shape)
        self._shapes = {name: list(shape) for name, shape in route.shapes.items()}
        self._infer = re.compile(re.escape(route.path) + "/infer") if route.path else INFER
        self._model = re.compile(re.escape(route.path) + "(/ready)?") if route.path else MODEL

    def match(self, method: str, path: str) -> str | Telling | None:
        """See `question.Adapter`."""
        if method == "POST":
            return path if self._infer.fullmatch(path) else None
        if path in SERVER:
            return Telling(path, SERVER[path])
        return Telling(path, TOLD) if self._model.fullmatch(path) else None

    def read(self, path: str, content: Any, parameters: frozenset[str]) -> Question:
        """See `question.Adapter`. Parameters other than a content type are dropped."""
        del parameters
        if not isinstance(content, dict) or not REQUEST.issuperset(content):
            raise bad("field", f"An inference request has the fields {sorted(REQUEST)} and no others.")
        number_of_rows(content.get("inputs"), "inputs")
        inputs = [_input(tensor) for tensor in content["inputs"]]
        count = inputs[0]["shape"][0]
        rows = _rows(self._fitting(inputs, count), count)
        if self._scales and len(rows[0]) != self._scales:
            raise miscounted(self._scales, len(rows[0]))
        body: dict[str, Any] = {"inputs": inputs}
        if (said := content.get("id")) is not None:
            body["id"] = _text(said)
        if (asked := content.get("outputs")) is not None:
            body["outputs"] = [{"name": _name(output)} for output in _list(asked)]
            _refuse_repeats([output["name"] for output in body["outputs"]])
        dropped: tuple[str, ...] = ()
        if content.get("parameters") is not None:
            body["parameters"] = _content_type(content)
            dropped = tuple(sorted(content["parameters"].keys() - {"content_type"}))
        return Question(path, count, rows, body, dropped=dropped)

    def _fitting(self, inputs: list[Tensor], count: int) -> list[Tensor]:
        """Return the inputs in the order of the policy, where it names them, each with the shape that it says."""
        names = [tensor["name"] for tensor in inputs]
        if len(names) > 1:
            _refuse_repeats(names)
        if self._features and names != self._features:
            if set(names) != set(self._features):
                raise bad("field", "A request has the inputs that the policy names, and no others.")
            named = dict(zip(names, inputs, strict=True))
            inputs = [named[name] for name in self._features]
        for tensor in inputs:
            shape = tensor["shape"]
            if shape[0] != count:
                raise bad("shape", "Every input must have the same number of records along its first axis.")
            if self._shapes:
                if shape[1:] != self._shapes[tensor["name"]]:
                    raise bad("shape", f"The inputs of a record have the shapes {self._shapes}.")
            elif (shape[1:] != self._shape) if self._shape else len(shape) > 2:
                raise _not_a_record(self._shape)
        return inputs

    def harden(self, question: Question, content: Any, answering: Answering) -> Any:
        """See `question.Adapter`. Of the answer, name, id and the tensors are passed on, without their parameters."""
        outputs = content.get("outputs") if isinstance(content, dict) else None
        if not isinstance(outputs, list):
            raise unreadable()
        answer = None if self._outputs else self._answer(outputs)
        hardened = [
            tensor for output in outputs if (tensor := self._output(output, question, answering, answer)) is not None
        ]
        if not hardened:
            raise unreadable()
        kept = {name: content[name] for name in ("model_name", "id") if isinstance(content.get(name), str)}
        kept["outputs"] = hardened
        return kept

    def _output(self, output: Any, question: Question, answering: Answering, answer: Any) -> Any:
        if not isinstance(output, dict) or not isinstance(name := output.get("name"), str):
            raise unreadable()
        kind = self._answers if output is answer else self._outputs.get(name)
        if kind is None:
            if not answering.strict:
                return {field: output[field] for field in OUTPUT if field in output}
            answering.dropped += 1
            return None
        datatype, count = _datatype(output), question.records
        if datatype not in FITTING:
            raise unreadable()
        try:
            shape, flat = _held(output, SCALARS)
        except Refused:
            raise unreadable() from None
        if shape[0] != count or (kind != "labels" and len(shape) > 2):
            raise unreadable()
        if kind == "labels":
            data = answering.rows(kind, flat, count, self._route, declared=output is not answer)
        else:
            datatype = datatype if datatype in FLOATS else "FP64"
            if len(shape) == 1:
                data = answering.rows(kind, flat, count, self._route)
            else:
                data = list(chain.from_iterable(answering.rows(kind, _split(flat, count), count, self._route)))
        return {"name": name, "shape": shape, "datatype": datatype, "data": data}

    def _answer(self, outputs: list[Any]) -> Any:
        """Return the one output that is what the route answers, where the policy names none.

        For labels that is the only one of texts, truth values or whole numbers; for others the only one of fractions
        or, where there is none, of whole numbers. One whole number a record is no probability, and may be one times a
        million: it is a label only where the policy says so.
        """
        for kinds in self._likely:
            found = [output for output in outputs if _datatype(output) in kinds]
            if found:
                lone = kinds is INTEGERS and self._answers == "probabilities" and _narrow(found[0])
                return found[0] if len(found) == 1 and not lone else None
        return None


def _narrow(output: Any) -> bool:
    """Whether an output has one value for each record."""
    shape = output.get("shape")
    return isinstance(shape, list) and shape[1:].count(1) == len(shape) - 1


def _not_a_record(shape: list[int]) -> Refused:
    return bad("shape", f"A record has the shape {shape}." if shape else "An input has two axes at most.")


def _input(tensor: Any) -> Tensor:
    """Return an input as it is sent on: flat, so that its shape alone says what its rows are."""
    if not isinstance(tensor, dict) or not INPUT.issuperset(tensor):
        raise _misshapen()
    kinds = FITTING.get(datatype := _datatype(tensor))
    if kinds is None:
        raise _misshapen()
    shape, flat = _held(tensor, kinds)
    if datatype not in AS_SAID:
        flat = _bounded(flat, datatype) if datatype in BOUNDS else _shortened(flat, datatype)
    kept = {"name": _text(tensor.get("name")), "shape": shape, "datatype": datatype, "data": flat}
    return kept if tensor.get("parameters") is None else {**kept, "parameters": _content_type(tensor)}


def _held(tensor: Tensor, kinds: set[type]) -> tuple[list[int], list[Any]]:
    """Return shape and flat data of a tensor, which must agree."""
    shape, data = tensor.get("shape"), tensor.get("data")
    if not isinstance(shape, list) or not isinstance(data, list) or not 0 < len(shape) <= AXES:
        raise _misshapen()
    if not WHOLE_NUMBER.issuperset(map(type, shape)) or min(shape) < 1:
        raise _misshapen()
    flat = _flat(data)
    if not kinds.issuperset(map(type, flat)):
        raise bad("shape", "A tensor holds, evenly, what its datatype says.")
    if len(flat) != math.prod(shape):
        raise bad("shape", "The data must be as long as the shape says.")
    return shape, flat


def _bounded(flat: list[int], datatype: str) -> list[int]:
    """Return whole numbers that the datatype holds: another would wrap around, and be another record's number."""
    least, beyond = BOUNDS[datatype]
    if min(flat) < least or max(flat) >= beyond:
        raise _beyond()
    return flat


def _beyond() -> Refused:
    return bad("shape", "A tensor holds no number that is beyond its datatype.")


def _shortened(flat: list[float], datatype: str) -> list[float]:
    """Return numbers as FP16 or BF16 has them, the nearest and of two the even one: one record has one spelling."""
    try:
        given = np.array(flat, dtype=np.float64)
    except OverflowError:
        raise _beyond() from None
    with np.errstate(over="ignore", under="ignore"):
        if datatype == "FP16":
            short = given.astype(np.float16)
        else:  # the upper half of a float32's bits
            bits = given.astype(np.float32).view(np.uint32)
            half = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
            short = ((bits + half) & np.uint32(0xFFFF0000)).view(np.float32)
    if not np.isfinite(short).all():
        raise _beyond()
    return short.astype(np.float64).tolist()


def _datatype(tensor: Any) -> str:
    said = tensor.get("datatype") if isinstance(tensor, dict) else None
    return said if isinstance(said, str) else ""


def _misshapen() -> Refused:
    return bad("shape", "An input needs a name, a shape, a datatype and data.")


def _flat(data: list[Any]) -> list[Any]:
    """Return what nested arrays hold; where some are nested and some not, those stay as they are."""
    while data and isinstance(data[0], list):
        if not all(isinstance(row, list) for row in data):
            break
        data = [value for row in data for value in row]
    return data


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


def _rows(inputs: list[Tensor], count: int) -> list[list[Any]]:
    """Return the records, each one flat row: of one input those it holds, of several one after the other."""
    split = [_split(tensor["data"], count) for tensor in inputs]
    return split[0] if len(split) == 1 else [list(chain.from_iterable(parts)) for parts in zip(*split, strict=True)]


def _split(flat: list[Any], count: int) -> list[list[Any]]:
    if count == 1:
        return [flat]
    width = len(flat) // count
    return [flat[at : at + width] for at in range(0, len(flat), width)]
