"""MLflow's scoring server, `/invocations` in its four forms; SageMaker's containers have the same shape."""

from typing import Any

from unseen.guard.answering import Answering, unreadable
from unseen.guard.policy import Kind, Route
from unseen.guard.question import Question, Telling
from unseen.guard.refusal import bad
from unseen.guard.wire import number_of_rows

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")


class MLflow:
    """Rows of a table in, predictions out: scalars, lists of numbers, or columns by name."""

    def __init__(self, route: Route) -> None:
        self._path = route.path or "/invocations"
        self._answers = route.answers
        self._outputs = route.outputs

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
        return Question(path, len(rows), rows, content)

    def harden(self, question: Question, content: Any, answering: Answering) -> Any:
        """See `question.Adapter`."""
        found = content.get("predictions") if isinstance(content, dict) else content
        return {"predictions": hardened_predictions(found, question.records, self._answers, self._outputs, answering)}


def hardened_predictions(
    found: Any, records: int, answers: Kind, outputs: dict[str, Kind], answering: Answering
) -> list[Any] | dict[str, Any]:
    """Return predictions, hardened: a list with one answer a record, or one such list for every named output."""
    if isinstance(found, dict):
        return {
            name: answering.rows(outputs[name], values, records)
            for name, values in found.items()
            if _declared(name, outputs, answering)
        }
    if isinstance(found, list) and found and isinstance(found[0], dict):
        return _columns(found, records, outputs, answering)
    return answering.rows(answers, found, records)


def _columns(found: list[Any], records: int, outputs: dict[str, Kind], answering: Answering) -> list[Any]:
    """Records as objects: each declared column is a scalar or a list; probabilities in several columns are one row."""
    if len(found) != records or not all(isinstance(row, dict) and row.keys() == found[0].keys() for row in found):
        raise unreadable()
    hardened: list[dict[str, Any]] = [{} for _ in found]
    names = [name for name in found[0] if _declared(name, outputs, answering)]
    spread = [name for name in names if outputs[name] == "probabilities" and not isinstance(found[0][name], list)]
    if spread:
        rows = answering.rows("probabilities", [[row[name] for name in spread] for row in found], records)
        for answer, row in zip(hardened, rows, strict=True):
            answer.update(zip(spread, row, strict=True))
    for name in names:
        if name not in spread:
            values = answering.rows(outputs[name], [row[name] for row in found], records)
            for answer, value in zip(hardened, values, strict=True):
                answer[name] = value
    return [{name: answer[name] for name in names} for answer in hardened]


def _declared(name: str, outputs: dict[str, Kind], answering: Answering) -> bool:
    if name in outputs:
        return True
    answering.dropped += 1
    return False


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
