"""The log for other systems, one form a file."""

import msgspec

from unseen.guard.exports.cef import cef
from unseen.guard.exports.ecs import ecs
from unseen.guard.exports.event import Form, encoded
from unseen.guard.exports.ocsf import ocsf
from unseen.guard.exports.syslog import syslog
from unseen.guard.log.entries import Entry


def jsonl(entry: Entry, worker: str = "") -> str:
    """Return an entry as it is, with its worker; hashes stay in the log."""
    return encoded(msgspec.to_builtins(entry) | ({"worker": worker} if worker else {}))


FORMATS: dict[str, Form] = {"jsonl": jsonl, "ocsf": ocsf, "cef": cef, "ecs": ecs, "syslog": syslog}
