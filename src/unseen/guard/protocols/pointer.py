"""Any JSON, by JSON Pointer (RFC 6901): the policy says where the records are, and where which answers are."""

import re
from typing import Any

from unseen.errors import PolicyError
from unseen.guard.answering import FRACTION, NUMBER, Answering, unreadable
from unseen.guard.fitting import fitted
from unseen.guard.policy import Kind, Route
from unseen.guard.question import Question, Telling
from unseen.guard.refusal import bad
from unseen.guard.wire import number_of_rows

Parts = tuple[str, ...]
PLACE = re.compile(r"0|[1-9][0-9]{0,8}")  # in an array, as RFC 6901 writes it


class Pointers:
    """`records` points to the array of records in a request, `outputs` to the answers, or to the answer to one.

    What `records` points to is one record where it is no array; "#" points to the whole body. Of a request nothing is
    let through but that and what `fields` point to. In strict mode every number of an answer that no pointer names is
    dropped: a whole one too (some servers write 1.0 as 1), and a text or a field by name with a fraction in it. So is
    an array of texts or objects, unless it has one a record: in the order of their probabilities it tells the ranking.
    """

    def __init__(self, route: Route) -> None:
        if not route.path.startswith("/") or not route.records or not route.outputs:
            raise PolicyError(
                "a route of protocol json needs path, records (a JSON pointer into the request, such as '/inputs') and "
                "outputs (JSON pointers into the answer, such as {'/probabilities' = 'probabilities'})."
            )
        self._route = route
        self._path = route.path
        self._records = parts_of(route.records)
        self._let_through = {self._records, *map(parts_of, route.fields)}
        self._outputs: dict[Parts, Kind] = {parts_of(pointer): kind for pointer, kind in route.outputs.items()}
        self._led = {parts[:depth] for parts in self._outputs for depth in range(len(parts) + 1)}

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
        number_of_rows(rows, "the records")
        _refuse_others(content, (), self._let_through)
        return Question(path, len(rows), fitted(rows, self._route), content)

    def harden(self, question: Question, content: Any, answering: Answering) -> Any:
        """See `question.Adapter`."""
        missing = [parts for parts in self._outputs if _at(content, parts) is None]
        if len(missing) == len(self._outputs):
            raise unreadable()
        try:
            return self._walk(content, (), question, answering)
        except RecursionError:
            raise unreadable() from None

    def _walk(self, value: Any, here: Parts, question: Question, answering: Answering, *, listed: bool = False) -> Any:
        """Return what leaves of a value; `listed` says whether it stands in an array."""
        if here in self._outputs:
            return self._answer(self._outputs[here], value, question.records, answering)
        if isinstance(value, dict):
            walked = {
                name: self._entry(value[name], (*here, name), question, answering, listed) for name in sorted(value)
            }
            return {name: inner for name, inner in walked.items() if inner is not DROPPED}
        if isinstance(value, list):
            single = not listed and len(value) == question.records and not any(isinstance(one, list) for one in value)
            if answering.strict and here not in self._led and not single and len(value) > 1 and _says_words(value):
                answering.dropped += 1
                return DROPPED
            walked_rows = [
                self._walk(inner, (*here, str(at)), question, answering, listed=True) for at, inner in enumerate(value)
            ]
            return [inner for inner in walked_rows if inner is not DROPPED]
        if answering.strict and _holds_a_number(value):
            answering.dropped += 1
            return DROPPED
        return value

    def _entry(self, value: Any, here: Parts, question: Question, answering: Answering, listed: bool) -> Any:
        """Return what is in one field, or nothing where its name says a number and no pointer leads through it."""
        if answering.strict and FRACTION.search(here[-1]) and here not in self._led:
            answering.dropped += 1
            return DROPPED
        return self._walk(value, here, question, answering, listed=listed)

    def _answer(self, kind: Kind, value: Any, records: int, answering: Answering) -> Any:
        if isinstance(value, list) and len(value) == records and (records > 1 or isinstance(value[0], list | dict)):
            return self._rows(kind, value, answering)
        if records != 1:
            raise unreadable()
        if isinstance(value, list) and len(value) == 1 and kind != "probabilities":
            return answering.rows(kind, value, 1, self._route, declared=True)
        (row,) = self._rows(kind, [value], answering)
        return row

    def _rows(self, kind: Kind, rows: list[Any], answering: Answering) -> list[Any]:
        """Return one answer a record, hardened: a number, an array, or a number for each class by name."""
        if not isinstance(rows[0], dict):
            return answering.rows(kind, rows, len(rows), self._route, declared=True)
        if not all(isinstance(row, dict) and row.keys() == rows[0].keys() for row in rows):
            raise unreadable()
        names = sorted(rows[0])  # some servers name the likeliest class first
        values = [[row[name] for name in names] for row in rows]
        hardened = answering.rows(kind, values, len(rows), self._route, declared=True)
        return [dict(zip(names, row, strict=True)) for row in hardened]


def _refuse_others(value: Any, here: Parts, let_through: set[Parts]) -> None:
    """Refuse what no pointer leads to: a field that nobody reads makes one record look like another."""
    if here in let_through:
        return
    if not isinstance(value, dict | list) or not any(parts[: len(here)] == here for parts in let_through):
        raise bad("field", "The body has fields that the policy does not name: leave them out.")
    for name, one in value.items() if isinstance(value, dict) else ((str(at), one) for at, one in enumerate(value)):
        _refuse_others(one, (*here, name), let_through)


def _says_words(value: Any) -> bool:
    """Whether a text or an object stands somewhere in an array: then its order may be a ranking."""
    return any(map(_says_words, value)) if isinstance(value, list) else isinstance(value, str | dict)


def _holds_a_number(value: Any) -> bool:
    if isinstance(value, str):
        return NUMBER.fullmatch(value) is not None or FRACTION.search(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


DROPPED = object()


def parts_of(pointer: str) -> Parts:
    """Return the steps of a pointer.

    >>> parts_of("/a~1b/0")
    ('a/b', '0')
    """
    if pointer and not pointer.startswith(("/", "#/")) and pointer != "#":
        raise PolicyError(f"a JSON pointer begins with '/', or is '#' for the whole, got {pointer!r}.")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.removeprefix("#").split("/")[1:])


def _at(content: Any, parts: Parts) -> Any:
    for part in parts:
        if isinstance(content, dict):
            content = content.get(part)
        elif isinstance(content, list) and PLACE.fullmatch(part) and int(part) < len(content):
            content = content[int(part)]
        else:
            return None
    return content
