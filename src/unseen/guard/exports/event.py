"""What every form says of an entry: a name, a severity, an outcome, and words for people."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from unseen.guard.log.entries import Asked, Done, Entry, Head, Seen, Start
from unseen.guard.words import number_of

INFORMATIONAL, LOW, MEDIUM, HIGH = 1, 2, 3, 4  # OCSF's severities
PART = 16  # entries that are put in form together: more would hold up the thread that answers
STEPS = {"tighten", "reauthenticate", "suspend"}
OF_CLIENT = {"stream-end", "stream-dropped"}
OF_ADMINISTRATOR = {"key-added", "key-rotated", "key-revoked", "released", "shredded"}
GUARD, ADMINISTRATOR = "guard", "administrator"  # no client is called so
FAILURES = {"policy-refused", "fingerprint-key-damaged", "charges-stranded"}
BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # whatever some reader takes for the end of a line, or worse
LATE = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029)}  # JSON lets them stand


class Form(Protocol):
    """Returns an entry as one line, or None where only the chain needs it.

    `worker` is the name of its chain's folder: with the number, it tells the entry from all others.
    """

    def __call__(self, entry: Entry, worker: str = "") -> str | None:
        """Return the line."""


@dataclass(frozen=True)
class Event:
    """`name` is a word for programs, `said` for people."""

    name: str
    severity: int
    success: bool
    said: str


def event_of(entry: Entry) -> Event | None:
    """Return what to say of an entry; None for what only the chain needs."""
    if isinstance(entry, Start | Head):
        return None
    if isinstance(entry, Seen):
        return Event("probing", MEDIUM, success=True, said=f"detector {entry.detector} saw probing")
    if isinstance(entry, Done):
        severity = HIGH if entry.what in STEPS else MEDIUM if entry.what in {"alert", *FAILURES} else LOW
        return Event(entry.what, severity, success=entry.what not in FAILURES, said=f"guard: {entry.what}")
    return Event(*_asked(entry))


def actor_of(entry: Entry) -> str:
    """Return who did what an entry tells of: the client, the guard itself or its administrator; "" where unknown.

    >>> actor_of(Done(n=1, t=0.0, what="suspend", client="cc6fsgld"))
    'guard'
    """
    if isinstance(entry, Done) and entry.what not in OF_CLIENT:
        return ADMINISTRATOR if entry.what in OF_ADMINISTRATOR else GUARD
    return getattr(entry, "client", "")


def target_of(entry: Entry) -> str:
    """Return the client to whom something was done; "" where it was done to none, or by the client.

    >>> target_of(Done(n=1, t=0.0, what="suspend", client="cc6fsgld"))
    'cc6fsgld'
    """
    return entry.client if isinstance(entry, Done) and entry.what not in OF_CLIENT else ""


def _asked(entry: Asked) -> tuple[str, int, bool, str]:
    if entry.status == 200:
        return "answered", INFORMATIONAL, True, f"answered {number_of(entry.records, 'record')}"
    severity = LOW if entry.status < 500 else MEDIUM
    return entry.reason, severity, False, f"refused with {entry.status}: {entry.reason}"


def one_line(text: str) -> str:
    r"""Return a text in which no reader finds the end of a line: control characters become spaces.

    >>> one_line("a\nb\u2028c")
    'a b c'
    """
    return BREAKS.sub(" ", text)


def encoded(told: Any) -> str:
    """Return one line of JSON, for readers of lines as well that end them where JSON does not."""
    return msgspec.json.encode(told).decode().translate(LATE)


def moment(seconds: float) -> str:
    """Return a time as RFC 3339 says it.

    >>> moment(0.25)
    '1970-01-01T00:00:00.250Z'
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def facts(entry: Entry, worker: str) -> dict[str, str | int | float]:
    """Return the plain facts of an entry by name, its place in the log first; fingerprints stay there."""
    names = {
        Asked: (
            "id",
            "client",
            "key",
            "tenant",
            "tier",
            "route",
            "status",
            "reason",
            "records",
            "ms",
            "policy",
            "shadow",
            "upstream",
        ),
        Seen: ("client", "detector", "strength"),
        Done: ("what", "client", "detail", "count"),
    }.get(type(entry), ())
    found: dict[str, str | int | float] = {"n": entry.n, "worker": worker}
    found |= {name: getattr(entry, name) for name in names}
    if isinstance(entry, Asked):
        found |= {"parameters": ",".join(entry.parameters), "controls": ",".join(entry.controls)}
    if isinstance(entry, Seen):
        found |= {f"evidence_{name}": value for name, value in entry.evidence.items()}
    return {name: value for name, value in found.items() if value not in {"", 0} or name in {"status", "records"}}
