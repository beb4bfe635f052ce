"""Any JSON, by JSON Pointer (RFC 6901): the policy says where the records are, and where which answers are."""

from typing import Any

from unseen.errors import PolicyError
from unseen.guard.answering import Answering, unreadable
from unseen.guard.policy import Kind, Route
from unseen.guard.question import Question, Telling
from unseen.guard.refusal import bad
from unseen.guard.wire import number_of_rows

Parts = tuple[str, ...]


class Pointers:
    """`records` points to the array of records in a request, `outputs` to the answers, or to the answer to one."""

    def __init__(self, route: Route) -> None:
        if not route.path.startswith("/") or not route.records or not route.outputs:
            raise PolicyError(
                "a route of protocol json needs path, records (a JSON pointer into the request, such as '/inputs') and "
                "outputs (JSON pointers into the answer, such as {'/probabilities' = 'probabilities'})."
            )
        self._path = route.path
        self._records = parts_of(route.records)
        self._outputs: dict[Parts, Kind] = {parts_of(pointer): kind for pointer, kind in route.outputs.items()}

    def match(self, method: str, path: str) -> str | Telling | None:
        """See `question.Adapter`."""
        return path if method == "POST" and path == self._path else None

    def read(self, path: str, content: Any, parameters: frozenset[str]) -> Question:
        """See `question.Adapter`."""
        del parameters
        found = _at(content, self._records)
        rows = found if isinstance(found, list) else [found]
        if found is None:
            raise bad("shape", "The body has no records where the policy says that they are.")
        return Question(path, number_of_rows(rows, "the records"), rows, content)

    def harden(self, question: Question, content: Any, answering: Answering) -> Any:
        """See `question.Adapter`."""
        missing = [parts for parts in self._outputs if _at(content, parts) is None]
        if len(missing) == len(self._outputs):
            raise unreadable()
        return self._walk(content, (), question, answering)

    def _walk(self, value: Any, here: Parts, question: Question, answering: Answering) -> Any:
        if here in self._outputs:
            return self._answer(self._outputs[here], value, question.records, answering)
        if isinstance(value, dict):
            walked = {name: self._walk(inner, (*here, name), question, answering) for name, inner in value.items()}
            return {name: inner for name, inner in walked.items() if inner is not DROPPED}
        if isinstance(value, list):
            walked_rows = [self._walk(inner, (*here, str(at)), question, answering) for at, inner in enumerate(value)]
            return [inner for inner in walked_rows if inner is not DROPPED]
        if isinstance(value, float) and answering.strict:
            answering.dropped += 1
            return DROPPED
        return value

    def _answer(self, kind: Kind, value: Any, records: int, answering: Answering) -> Any:
        if isinstance(value, list) and (len(value) == records and (records > 1 or isinstance(value[0], list))):
            return answering.rows(kind, value, records)
        if records != 1:
            raise unreadable()
        if isinstance(value, dict):  # one record, a number for each class by name
            (row,) = answering.rows(kind, [list(value.values())], 1)
            return dict(zip(value, row, strict=True))
        if isinstance(value, list) and len(value) == 1 and kind != "probabilities":
            return answering.rows(kind, value, 1)
        (row,) = answering.rows(kind, [value], 1)
        return row


DROPPED = object()


def parts_of(pointer: str) -> Parts:
    """Return the steps of a pointer.

    >>> parts_of("/a~1b/0")
    ('a/b', '0')
    """
    if pointer and not pointer.startswith("/"):
        raise PolicyError(f"a JSON pointer begins with '/', got {pointer!r}.")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])


def _at(content: Any, parts: Parts) -> Any:
    for part in parts:
        if isinstance(content, dict):
            content = content.get(part)
        elif isinstance(content, list) and part.isdigit() and int(part) < len(content):
            content = content[int(part)]
        else:
            return None
    return content
