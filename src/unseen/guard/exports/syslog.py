"""Syslog, RFC 5424: facility 13 (log audit), the facts as structured data."""

import os
import re
import socket
from functools import cache

from unseen.guard.exports.event import Event, Form, event_of, facts, moment, one_line
from unseen.guard.log.entries import Entry

FACILITY = 13
SEVERITY = {1: 6, 2: 5, 3: 4, 4: 2}
ENTERPRISE = "unseen@32473"  # the number that RFC 5612 keeps for examples: nobody's own


def syslog(entry: Entry, worker: str = "") -> str | None:
    """Return an entry as one message."""
    event = event_of(entry)
    if event is None:
        return None
    said = " ".join(f'{_name(name)}="{_escaped(str(fact))}"' for name, fact in facts(entry, worker).items())
    return f"{_header(entry, event)} [{ENTERPRISE} {said}] {one_line(event.said)}"


def framed(form: Form) -> Form:
    """Return the form that puts what another says into a message without structured data."""

    def message(entry: Entry, worker: str = "") -> str | None:
        event, said = event_of(entry), form(entry, worker)
        return None if event is None or said is None else f"{_header(entry, event)} - {said}"

    return message


def _header(entry: Entry, event: Event) -> str:
    priority = FACILITY * 8 + SEVERITY[event.severity]
    name = re.sub(r"[^!-~]", "-", event.name)[:32] or "-"
    return f"<{priority}>1 {moment(entry.t)} {_host()} unseen-guard {os.getpid()} {name}"


@cache
def _host() -> str:
    return re.sub(r"[^!-~]", "", socket.gethostname())[:255] or "-"


def _name(text: str) -> str:
    """Return a parameter's name as RFC 5424 (section 6.3.3) has them.

    >>> _name('evidence_a "b"=]')
    'evidence_a__b___'
    """
    return re.sub(r"[^A-Za-z0-9_.-]", "_", text)[:32] or "_"


def _escaped(text: str) -> str:
    r"""Return a value with what RFC 5424 (section 6.3.3) escapes.

    >>> _escaped('a"]\\')
    'a\\"\\]\\\\'
    """
    return one_line(text).replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")
