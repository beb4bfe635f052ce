"""MLflow's scoring server, `/invocations` in its four forms; SageMaker's containers have the same shape."""

from typing import Any

from unseen.guard.answering import Answering, unreadable
from unseen.guard.fitting import fitted
from unseen.guard.policy import Route
from unseen.guard.question import Question, Telling
from unseen.guard.refusal import bad
from unseen.guard.wire import number_of_rows

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")


class MLflow:
    """Rows of a table in, predictions out: scalars, lists of numbers, or columns by name."""

    def __init__(self, route: Route) -> None:
        self._path = route.path or "/invocations"
        self._route = route

    def match(self, method: str, path: str) -> str | Telling | None:
        """See `question.Adapter`."""
        if method == "POST":
            return path if path == self._path else None
        return Telling(path) if path in {"/ping", "/health"} else None

    def read(self, path: str, content: Any, parameters: frozenset[str]) -> Question:
        """See `question.Adapter`. Parameters of the model (`params`) are refused: they may ask for other outputs."""
        del parameters
        if not isinstance(content, dict) or len(content) != 1 or next(iter(content)) not in FORMS:
            raise bad("field", f"The body must have one of the fields {list(FORMS)}, and nothing else.")
        form, table = next(iter(content.items()))
        rows = _split(table) if form == "dataframe_split" else _rows(form, table)
        return Question(path, len(rows), fitted(rows, self._route), content)

    def harden(self, question: Question, content: Any, answering: Answering) -> Any:
        """See `question.Adapter`."""
        found = content.get("predictions") if isinstance(content, dict) else content
        answering.dropped += len(content) - 1 if isinstance(content, dict) else 0
        return {"predictions": hardened_predictions(found, question.records, self._route, answering)}


def hardened_predictions(found: Any, records: int, route: Route, answering: Answering) -> list[Any] | dict[str, Any]:
    """Return predictions, hardened: a list with one answer a record, or one such list for every named output."""
    if isinstance(found, dict):
        if not route.outputs.keys() & found.keys() and {"columns", "data"} <= found.keys():
            return _split_again(found, records, route, answering)
        return _columns(found, records, route, answering)
    if isinstance(found, list) and found and isinstance(found[0], dict):
        if not all(isinstance(row, dict) and row.keys() == found[0].keys() for row in found):
            raise unreadable()
        table = {name: [row[name] for row in found] for name in found[0]}
        hardened = _columns(table, records, route, answering)
        return [dict(zip(hardened, row, strict=True)) for row in zip(*hardened.values(), strict=True)]
    return answering.rows(route.answers, found, records, route)


def _columns(found: dict[str, Any], records: int, route: Route, answering: Answering) -> dict[str, list[Any]]:
    """Each declared column holds scalars or lists; probabilities in columns of scalars are one row of their classes."""
    outputs = route.outputs
    names = [name for name in outputs if name in found]  # in the policy's order: a server's may be that of likelihood
    answering.dropped += len(found) - len(names)
    if not names or not all(isinstance(found[name], list) and len(found[name]) == records for name in names):
        raise unreadable()
    spread = [name for name in names if outputs[name] == "probabilities" and not isinstance(found[name][0], list)]
    hardened: dict[str, list[Any]] = {}
    if spread:
        rows = list(map(list, zip(*(found[name] for name in spread), strict=True)))
        rows = answering.rows("probabilities", rows, records)
        hardened |= zip(spread, map(list, zip(*rows, strict=True)), strict=True)
    for name in names:
        if name not in spread:
            hardened[name] = answering.rows(outputs[name], found[name], records, route, declared=True)
    return {name: hardened[name] for name in names}


def _split_again(found: dict[str, Any], records: int, route: Route, answering: Answering) -> dict[str, Any]:
    """Return a table in the form of `dataframe_split`, hardened, without its index."""
    columns, data = found["columns"], found["data"]
    names = list(map(str, columns)) if isinstance(columns, list) else []
    if not isinstance(data, list) or len(set(names)) < len(names):
        raise unreadable()
    if not all(isinstance(row, list) and len(row) == len(names) for row in data):
        raise unreadable()
    table = {name: [row[at] for row in data] for at, name in enumerate(names)}
    hardened = _columns(table, records, route, answering)
    return {"columns": list(hardened), "data": list(map(list, zip(*hardened.values(), strict=True)))}


def _split(table: Any) -> list[Any]:
    if not isinstance(table, dict) or table.keys() - {"columns", "data", "index"}:
        raise bad("field", "dataframe_split has the fields columns, data and index.")
    columns, data = table.get("columns"), table.get("data")
    number_of_rows(data, "dataframe_split.data")
    if not isinstance(columns, list) or not all(isinstance(name, str | int) for name in columns):
        raise bad("shape", "dataframe_split.columns must be an array of names.")
    if not all(isinstance(row, list) and len(row) == len(columns) for row in data or []):
        raise bad("shape", "Every row of dataframe_split.data must be as long as its columns.")
    if len(set(map(str, columns))) != len(columns):
        raise bad("duplicate", "dataframe_split.columns names one column twice.")
    return [dict(zip(map(str, columns), row, strict=True)) for row in data or []]


def _rows(form: str, table: Any) -> list[Any]:
    """Return the records of the other forms: a list of them, or columns of equal length."""
    if isinstance(table, dict) and form != "dataframe_records":
        columns = {name: column if isinstance(column, list) else [column] for name, column in table.items()}
        if not columns or len({len(column) for column in columns.values()}) != 1:
            raise bad("shape", f"The columns of {form} must have one length.")
        names = list(columns)
        rows: list[Any] = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    else:
        number_of_rows(table, form)
        rows = table
    if not rows:
        raise bad("shape", f"{form} must have at least one record.")
    if form == "dataframe_records" and not all(isinstance(row, dict) for row in rows):
        raise bad("shape", "Every element of dataframe_records must be an object.")
    return rows
