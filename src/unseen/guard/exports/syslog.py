"""Syslog, RFC 5424: facility 13 (log audit), the facts as structured data."""

import os
import re
import socket

from unseen.guard.exports.event import event_of, facts, moment
from unseen.guard.log.entries import Entry

FACILITY = 13
SEVERITY = {1: 6, 2: 5, 3: 4, 4: 2}
ENTERPRISE = "unseen@32473"  # the number that RFC 5612 keeps for examples: nobody's own


def syslog(entry: Entry) -> str | None:
    """Return an entry as one message."""
    event = event_of(entry)
    if event is None:
        return None
    priority = FACILITY * 8 + SEVERITY[event.severity]
    host = re.sub(r"[^!-~]", "", socket.gethostname())[:255] or "-"
    said = " ".join(f'{name}="{_escaped(str(value))}"' for name, value in ({"n": entry.n} | facts(entry)).items())
    name = re.sub(r"[^!-~]", "-", event.name)[:32]
    return (
        f"<{priority}>1 {moment(entry.t)} {host} unseen-guard {os.getpid()} {name} [{ENTERPRISE} {said}] {event.said}"
    )


def _escaped(text: str) -> str:
    r"""Return a value with what RFC 5424 (section 6.3.3) escapes.

    >>> _escaped('a"]\\')
    'a\\"\\]\\\\'
    """
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]").replace("\n", " ")
