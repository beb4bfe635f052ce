"""The log for other systems, one form a file."""

from collections.abc import Callable

from unseen.guard.exports.cef import cef
from unseen.guard.exports.ecs import ecs
from unseen.guard.exports.event import encoded
from unseen.guard.exports.ocsf import ocsf
from unseen.guard.exports.syslog import syslog
from unseen.guard.log.entries import Entry

Form = Callable[[Entry], str | None]


def jsonl(entry: Entry) -> str:
    """Return an entry as it is, without its place in the chain."""
    return encoded(entry)


FORMATS: dict[str, Form] = {"jsonl": jsonl, "ocsf": ocsf, "cef": cef, "ecs": ecs, "syslog": syslog}
