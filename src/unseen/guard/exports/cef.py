"""ArcSight's Common Event Format, version 0."""

from collections.abc import Iterator

from unseen import __version__
from unseen.guard.exports.event import actor_of, event_of, facts, one_line, target_of
from unseen.guard.log.entries import Entry, Seen

SEVERITY = {1: 1, 2: 3, 3: 6, 4: 8}
KNOWN = {  # keys of CEF's own dictionary
    "worker": "deviceProcessName",
    "key": "suid",
    "id": "externalId",
    "reason": "reason",
    "route": "destinationServiceName",
    "records": "cnt",
    "count": "cnt",
    "what": "act",
    "detail": "msg",
}
LABELLED = {  # CEF has six texts, three whole numbers and four others for what its dictionary lacks
    "tenant": "cs1",
    "tier": "cs2",
    "policy": "cs3",
    "shadow": "cs4",
    "controls": "cs5",
    "parameters": "cs6",
    "detector": "cs1",
    "status": "cn1",
    "upstream": "cn2",
    "ms": "cfp1",
    "strength": "cfp1",
    "n": "cn3",
}


def cef(entry: Entry, worker: str = "") -> str | None:
    r"""Return an entry as one line of CEF.

    >>> from unseen.guard.log.entries import Done
    >>> cef(Done(n=3, t=0.0, what="a|b", client="c=d"))  # doctest: +NORMALIZE_WHITESPACE
    'CEF:0|unseen|guard|0.1.0|a\\|b|guard: a\\|b|3|rt=0 outcome=success suser=guard duser=c\\=d
    cn3=3 cn3Label=n act=a|b'
    """
    event = event_of(entry)
    if event is None:
        return None
    head = ["CEF:0", "unseen", "guard", __version__, event.name, event.said, str(SEVERITY[event.severity])]
    known = [("rt", int(entry.t * 1000)), ("outcome", "success" if event.success else "failure")]
    extension = [*known, *_named(entry, worker)]
    return "|".join(_head(part) for part in head) + "|" + " ".join(f"{name}={_value(said)}" for name, said in extension)


def _named(entry: Entry, worker: str) -> Iterator[tuple[str, object]]:
    """Yield the facts under CEF's names; a detector's evidence, whose names are its own, is one text."""
    if actor := actor_of(entry):
        yield "suser", actor
    if target := target_of(entry):
        yield "duser", target
    for name, value in facts(entry, worker).items():
        if name in LABELLED:
            yield LABELLED[name], value
            yield f"{LABELLED[name]}Label", name
        elif name in KNOWN:
            yield KNOWN[name], value
    if isinstance(entry, Seen):
        yield "cs2", ", ".join(f"{name}: {value:g}" for name, value in entry.evidence.items())
        yield "cs2Label", "evidence"


def _head(text: str) -> str:
    return one_line(text).replace("\\", "\\\\").replace("|", "\\|")


def _value(value: object) -> str:
    return one_line(str(value)).replace("\\", "\\\\").replace("=", "\\=")
