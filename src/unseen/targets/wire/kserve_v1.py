"""KServe V1 and TensorFlow Serving, `:predict`."""

from typing import Any

from unseen.plan import TargetPlan
from unseen.targets.wire.format import Format, listed, member
from unseen.targets.wire.rows import Rows


def encode(rows: Rows, _said: TargetPlan, _metadata: Any) -> Any:
    """Return `instances`, a list a record.

    >>> encode(Rows(("age",), [[3.0]]), TargetPlan(url="http://m", protocol="kserve-v1"), None)
    {'instances': [[3.0]]}
    """
    return {"instances": rows.records}


def decode(reply: Any, records: int, _said: TargetPlan) -> list[Any]:
    """Return `predictions`, one a record."""
    return listed(member(reply, "predictions"), records, "predictions")


KSERVE_V1 = Format(encode, decode)
