"""The Open Inference Protocol, V2 over REST: KServe, MLServer, Triton."""

from typing import Any

import numpy as np

from unseen.errors import DataError, ModelError
from unseen.plan import TargetPlan
from unseen.targets.wire.format import Format, listed, member, named
from unseen.targets.wire.rows import Rows

NAME = "input-0"  # of the one tensor, where neither the plan nor the endpoint's metadata names it


def encode(rows: Rows, said: TargetPlan, metadata: Any) -> Any:
    """Return one tensor a column where the endpoint's metadata has inputs of the columns' names, else one for all.

    >>> encode(Rows(None, [[3.0, 4.0]]), TargetPlan(url="http://m", protocol="open-inference-v2"), None)["inputs"]
    [{'name': 'input-0', 'datatype': 'FP64', 'shape': [1, 2], 'data': [3.0, 4.0]}]
    """
    wanted = inputs_of(metadata)
    if rows.names is not None and set(rows.names) == wanted.keys() and said.input is None:
        tensors = [
            _tensor(name, wanted[name], [len(rows), 1], rows.column(place)) for place, name in enumerate(rows.names)
        ]
    elif said.input is None and len(wanted) > 1:
        raise DataError(
            f"the endpoint wants {named(wanted, 'inputs')}, and the tables' columns are not these; drop or rename "
            "columns, or say target.input."
        )
    else:
        name = said.input or next(iter(wanted), NAME)
        data = [value for row in rows.records for value in row]
        tensors = [_tensor(name, wanted.get(name), [len(rows), len(rows.records[0])], data)]
    body: dict[str, Any] = {"inputs": tensors}
    if said.output is not None:
        body["outputs"] = [{"name": said.output}]
    return body


def _tensor(name: str, datatype: str | None, shape: list[int], data: list[Any]) -> dict[str, Any]:
    kinds = {type(value) for value in data}
    if kinds & {str, bool, int, float} == {str} or datatype == "BYTES":
        datatype, data = datatype or "BYTES", [None if value is None else str(value) for value in data]
    elif str in kinds:
        raise DataError(
            "one tensor cannot hold numbers and text: the endpoint's metadata must have one input a column, or drop "
            "the columns of text (data.drop)."
        )
    elif datatype is None:
        datatype = "BOOL" if kinds == {bool} else "INT64" if kinds == {int} else "FP64"
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def inputs_of(metadata: Any) -> dict[str, str]:
    """Return the names and types of the inputs that an endpoint's metadata has; none where it has no metadata."""
    found = metadata.get("inputs") if isinstance(metadata, dict) else None
    named = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    return {str(one["name"]): str(one["datatype"]) for one in named if "name" in one and "datatype" in one}


def decode(reply: Any, records: int, said: TargetPlan) -> list[Any]:
    """Return the output that the plan names, or the only one, one prediction a record."""
    outputs = member(reply, "outputs")
    if not isinstance(outputs, list) or not all(isinstance(one, dict) and "name" in one for one in outputs):
        raise ModelError("the endpoint's outputs must be a list of named tensors.")
    chosen = [one for one in outputs if said.output in {None, one["name"]}]
    if len(chosen) != 1:
        given = named([str(one["name"]) for one in outputs], "outputs")
        raise ModelError(f"the endpoint gives {given}: say which is asked for, target.output.")
    shape, data = member(chosen[0], "shape"), member(chosen[0], "data")
    try:
        tensor = np.array(data, dtype=object).reshape([int(size) for size in shape])
    except (TypeError, ValueError):
        raise ModelError("the endpoint's output does not have the shape that it says.") from None
    return listed(tensor.tolist(), records, "its output")


def metadata_at(url: str) -> str | None:
    """Return where the endpoint describes itself: at the path without `/infer`."""
    path = url.partition("?")[0]
    return path.removesuffix("/infer") if path.endswith("/infer") else None


V2 = Format(encode, decode, metadata_at)
