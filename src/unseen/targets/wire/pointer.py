"""Any JSON endpoint: JSON Pointers (RFC 6901) say where records go and where answers are."""

from typing import Any

from unseen.errors import ModelError, PlanError
from unseen.plan import TargetPlan
from unseen.targets.wire.format import Format, listed
from unseen.targets.wire.rows import Rows


def encode(rows: Rows, said: TargetPlan, _metadata: Any) -> Any:
    """Return the records at `records_at`: an object each, by columns' names, or a list where they have none.

    >>> encode(Rows(("age",), [[3.0]]), TargetPlan(url="http://m", protocol="json", records_at="/in/rows"), None)
    {'in': {'rows': [{'age': 3.0}]}}
    """
    body: Any = rows.objects()
    for name in reversed(steps(said.records_at, "target.records_at")):
        body = {name: body}
    return body


def decode(reply: Any, records: int, said: TargetPlan) -> list[Any]:
    """Return what stands at `answer_at` inside each of the answers at `answers_at`."""
    found = listed(at(reply, said.answers_at, "target.answers_at"), records, said.answers_at or "its root")
    return [at(one, said.answer_at, "target.answer_at") for one in found] if said.answer_at else found


def at(value: Any, pointer: str, key: str) -> Any:
    """Return what a JSON Pointer points to, or raise `ModelError` that names the plan's key.

    >>> at({"out": [{"p": 0.25}]}, "/out/0/p", "target.answers_at")
    0.25
    """
    for name in steps(pointer, key):
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            raise ModelError(f"the endpoint's answer has nothing at {pointer}, where {key} points.")
    return value


def steps(pointer: str, key: str) -> list[str]:
    """Return the names on a JSON Pointer's way."""
    if pointer and not pointer.startswith("/"):
        raise PlanError(f'{key} must be a JSON Pointer, such as "/predictions" ("" is the whole), got {pointer!r}.')
    return [name.replace("~1", "/").replace("~0", "~") for name in pointer.split("/")[1:]]


POINTER = Format(encode, decode)
