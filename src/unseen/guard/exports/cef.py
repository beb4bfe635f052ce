"""ArcSight's Common Event Format, version 0."""

from unseen import __version__
from unseen.guard.exports.event import event_of, facts
from unseen.guard.log.entries import Entry

SEVERITY = {1: 1, 2: 3, 3: 6, 4: 8}
NAMES = {"client": "suser", "id": "externalId", "reason": "reason", "route": "request", "records": "cnt"}


def cef(entry: Entry) -> str | None:
    r"""Return an entry as one line of CEF.

    >>> from unseen.guard.log.entries import Done
    >>> cef(Done(n=3, t=0.0, what="revoked|key", client="a=b"))
    'CEF:0|unseen|guard|0.1.0|revoked\\|key|guard: revoked\\|key|3|rt=0 what=revoked|key suser=a\\=b'
    """
    event = event_of(entry)
    if event is None:
        return None
    head = ["CEF:0", "unseen", "guard", __version__, event.name, event.said, str(SEVERITY[event.severity])]
    extension = {"rt": int(entry.t * 1000)} | {NAMES.get(name, name): value for name, value in facts(entry).items()}
    return "|".join(_head(part) for part in head) + "|" + " ".join(f"{n}={_value(v)}" for n, v in extension.items())


def _head(text: str) -> str:
    return _line(text.replace("\\", "\\\\").replace("|", "\\|"))


def _value(value: object) -> str:
    return _line(str(value).replace("\\", "\\\\").replace("=", "\\="))


def _line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")
