"""Entries: what the log holds of each request, sighting, action and change. No inputs, no answers, no keys."""

from typing import Any

import msgspec


class Tip(msgspec.Struct, frozen=True):
    """How far a chain had come: record `n` of `chain`, in `folder`, had this hash, and the disk had it."""

    folder: str
    chain: str
    n: int
    hash: str


class Start(msgspec.Struct, frozen=True, tag="start", tag_field="kind"):
    """The first record of a segment: which chain it goes on, after which hash, and what was torn off before it.

    `others` are the tips of all other chains; of its own, only one that this chain does not reach any more.
    """

    n: int
    t: float
    chain: str
    segment: int
    before: str
    torn_bytes: int
    public_key: str
    policy: str
    version: str
    others: tuple[Tip, ...] = ()


class Head(msgspec.Struct, frozen=True, tag="head", tag_field="kind"):
    """A signature over the hash of record `n - 1`."""

    n: int
    t: float
    signature: str
    last: bool = False  # of an orderly stop: nothing may follow in its segment
    others: tuple[Tip, ...] = ()  # as of a start, where it is the last


class Asked(msgspec.Struct, frozen=True, tag="asked", tag_field="kind", omit_defaults=True):
    """One request: who asked, how many records, what was decided, and keyed fingerprints of what was asked about.

    `fingerprints` are of the records' coarse forms under the tenant's key: equal ones say that the same was asked
    again, and nothing says what. `answer` is one of the answer that left. `ms` is how long it took.
    """

    n: int
    t: float
    id: str
    client: str
    key: str
    tenant: str
    tier: str
    route: str
    status: int
    reason: str
    records: int
    ms: float
    policy: str
    fingerprints: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    dropped: int = 0  # fields with numbers that the policy does not speak of
    events: int = 0  # of a stream
    upstream: int = 0  # the status that the model's server gave
    shadow: str = ""  # what "enforce" would have done
    replayed: bool = False


class Seen(msgspec.Struct, frozen=True, tag="seen", tag_field="kind"):
    """A detector's sighting of one client: counts only."""

    n: int
    t: float
    client: str
    detector: str
    strength: float
    evidence: dict[str, float]


class Done(msgspec.Struct, frozen=True, tag="done", tag_field="kind", omit_defaults=True):
    """A change: an action on a client, a key added or revoked, a policy loaded or refused, records that were lost."""

    n: int
    t: float
    what: str
    client: str = ""
    detail: str = ""
    count: int = 0


Entry = Start | Head | Asked | Seen | Done
NAMED: dict[str, Any] = {"start": Start, "head": Head, "asked": Asked, "seen": Seen, "done": Done}
