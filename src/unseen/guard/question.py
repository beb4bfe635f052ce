"""Question: one request as its protocol's reader understood it; and what an adapter of a protocol must do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from unseen.guard.answering import Answering
from unseen.guard.policy import Route


class Question(msgspec.Struct, frozen=True):
    """What is asked: `records` of them, `rows` as lists, mappings or texts, and the body that is sent on.

    `path` is where, below the upstream's address, written by the adapter and not by the client. `seeking` names the
    parameters that ask for more than an answer, `dropped` those that were taken out.
    """

    path: str
    records: int
    rows: Sequence[Any]
    body: Any
    seeking: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    stream: bool = False

    def __repr__(self) -> str:
        return f"Question(path={self.path!r}, records={self.records})"


@dataclass(frozen=True, slots=True)
class Telling:
    """A GET that asks about the model or the server: `fields` of the answer are `told`, none is its status alone.

    Where `listed` names any, of the entries of `data` those with such an `id` alone.
    """

    path: str
    fields: frozenset[str] = frozenset()
    listed: tuple[str, ...] = ()


KINDS: dict[str, type] = {  # of the fields that may be told
    **dict.fromkeys(("id", "object", "owned_by", "name", "platform", "datatype"), str),
    **dict.fromkeys(("live", "ready"), bool),
    "created": int,
}
LISTS: dict[str, type] = {"versions": str, "extensions": str, "shape": int}
ENTRY, TENSOR = frozenset({"id", "object", "created", "owned_by"}), frozenset({"name", "shape", "datatype"})
TABLES = {"data": ENTRY, "inputs": TENSOR, "outputs": TENSOR}


def told(content: Any, fields: frozenset[str]) -> dict[str, Any]:
    """Return what a server tells in some fields, each where it is of its kind, and nothing else.

    >>> told({"name": "m", "ready": 0.3, "inputs": [{"name": "x", "shape": [-1, 4], "mean": 0.5}]}, frozenset(TABLES))
    {'inputs': [{'name': 'x', 'shape': [-1, 4]}]}
    """
    if not isinstance(content, dict):
        return {}
    kept = {name: _of_its_kind(name, value) for name, value in content.items() if name in fields}
    return {name: value for name, value in kept.items() if value is not None}


def _of_its_kind(name: str, value: Any) -> Any:
    if name in KINDS:
        return value if type(value) is KINDS[name] else None
    if not isinstance(value, list):
        return None
    if name in LISTS:
        return value if all(type(one) is LISTS[name] for one in value) else None
    return [entry for one in value if (entry := told(one, TABLES[name]))]


class Adapter(Protocol):
    """One protocol, for one route."""

    def __init__(self, route: Route) -> None: ...

    def match(self, method: str, path: str) -> str | Telling | None:
        """Return where a question goes, what a GET tells, or None where the path is not of this route."""

    def read(self, path: str, content: Any, parameters: frozenset[str]) -> Question:
        """Understand a body; `parameters` are allowed beside the harmless ones. Raises `Refused`, status 400."""

    def harden(self, question: Question, content: Any, answering: Answering) -> Any:
        """Return the answer that may leave. Raises `Refused`, status 502, where it is not one that the policy knows."""
