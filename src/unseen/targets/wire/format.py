"""Format: one way to write records into a request and to read predictions out of an answer."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from unseen.errors import ModelError
from unseen.plan import TargetPlan
from unseen.targets.wire.rows import Rows

NAME = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
MOST_NAMES = 3  # in one message

Encode = Callable[[Rows, TargetPlan, Any], Any]
Decode = Callable[[Any, int, TargetPlan], list[Any]]


@dataclass(frozen=True)
class Format:
    """`encode(rows, said, metadata)` gives the request's body; `decode(reply, records, said)` one prediction a record.

    `metadata_at(url)` is where the endpoint describes its inputs, where the protocol has such a place; `most` is the
    most records that one request may hold; `check(said)` refuses what the plan cannot ask for.
    """

    encode: Encode
    decode: Decode
    metadata_at: Callable[[str], str | None] = lambda _: None
    most: int | None = None
    check: Callable[[TargetPlan], None] = lambda _: None


def listed(found: Any, records: int, where: str) -> list[Any]:
    """Return `found` if it is a list of one prediction a record, or raise `ModelError`.

    >>> listed([0.1, 0.9], 2, "predictions")
    [0.1, 0.9]
    """
    if not isinstance(found, list):
        raise ModelError(f"the endpoint's answer holds no list at {where}.")
    if len(found) != records:
        raise ModelError(f"the endpoint was asked about {records} records and gave {len(found)} predictions.")
    return found


def named(names: Collection[str], what: str) -> str:
    """Return names that an endpoint gave, for a message; only how many where one may be no name but what was asked.

    >>> named(["label", "p"], "outputs"), named(["label", "asked about 4711"], "outputs")
    ("2 outputs ('label', 'p')", '2 outputs')
    """
    some = sorted(names)[:MOST_NAMES]
    shown = ", ".join(map(repr, some))
    more = ", ..." if len(names) > MOST_NAMES else ""
    return f"{len(names)} {what}" + (f" ({shown}{more})" if some and all(map(NAME.fullmatch, some)) else "")


def member(reply: Any, key: str) -> Any:
    """Return one member of a JSON object, or raise `ModelError` that names it."""
    if not isinstance(reply, dict) or key not in reply:
        raise ModelError(f"the endpoint's answer has no {key!r}: check target.protocol.")
    return reply[key]
