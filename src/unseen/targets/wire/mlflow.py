"""MLflow's scoring server, `/invocations`; SageMaker's is asked at the same path."""

from typing import Any

from unseen.plan import TargetPlan
from unseen.targets.wire.format import Format, listed, member
from unseen.targets.wire.rows import Rows


def encode(rows: Rows, _said: TargetPlan, _metadata: Any) -> Any:
    """Return `dataframe_split` of a table with names, `inputs` of one without.

    >>> encode(Rows(("age",), [[3.0]]), TargetPlan(url="http://m", protocol="mlflow"), None)
    {'dataframe_split': {'columns': ['age'], 'data': [[3.0]]}}
    """
    if rows.names is None:
        return {"inputs": rows.records}
    return {"dataframe_split": {"columns": list(rows.names), "data": rows.records}}


def decode(reply: Any, records: int, _said: TargetPlan) -> list[Any]:
    """Return `predictions`, one a record."""
    return listed(member(reply, "predictions"), records, "predictions")


MLFLOW = Format(encode, decode)
