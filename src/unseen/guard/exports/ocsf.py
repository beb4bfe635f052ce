"""Open Cybersecurity Schema Framework 1.8: API Activity (6003), Detection Finding (2004) with its ATLAS technique."""

from typing import Any

from unseen import __version__
from unseen.guard.exports.event import (
    ADMINISTRATOR,
    GUARD,
    Event,
    actor_of,
    encoded,
    event_of,
    facts,
    target_of,
)
from unseen.guard.log.entries import Asked, Done, Entry, Seen

VERSION = "1.8.0"
ACTIVITIES = {1: "Create", 2: "Read", 3: "Update", 4: "Delete"}
CREATE, READ, UPDATE, DELETE = ACTIVITIES
DONE = {"key-added": CREATE, "key-rotated": CREATE, "key-revoked": DELETE}  # everything else that is done is an update
USERS = {ADMINISTRATOR: 2, GUARD: 3}  # types of users: admin and system; a client's is unknown
ATTACK = {
    "technique": {"uid": "AML.T0024", "name": "Exfiltration via AI Inference API"},
    "sub_technique": {"uid": "AML.T0024.000", "name": "Infer Training Data Membership"},
    "tactic": {"uid": "AML.TA0010", "name": "Exfiltration"},
    "version": "5.6.1",
}


def ocsf(entry: Entry, worker: str = "") -> str | None:
    """Return an entry as one OCSF event."""
    event = event_of(entry)
    if event is None:
        return None
    told = _finding(entry, event, worker) if isinstance(entry, Seen) else _activity(entry, event)
    return encoded(told | {"unmapped": facts(entry, worker)})


def _activity(entry: Entry, event: Event) -> dict[str, Any]:
    asked = entry if isinstance(entry, Asked) else None
    activity = DONE.get(entry.what, UPDATE) if isinstance(entry, Done) else READ
    actor = actor_of(entry) or "unknown"
    resources = [{"uid": target, "type": "client"}] if (target := target_of(entry)) else []
    api: dict[str, Any] = {"operation": (asked.route if asked else event.name) or "unknown"}
    if asked:
        error = {} if asked.status < 300 else {"error": asked.reason}
        api |= {"request": {"uid": asked.id}, "response": {"code": asked.status, **error}}
        api["service"] = {"uid": asked.route or "unknown", "name": asked.route or "unknown"}
    return _common(entry, event, 6, 6003, activity) | {
        "activity_name": ACTIVITIES[activity],
        "actor": {"user": {"uid": actor, "type_id": USERS.get(actor, 0)}},
        "api": api,
        "src_endpoint": {"uid": actor},
        **({"resources": resources} if resources else {}),
        "status_id": 1 if event.success else 2,
        "status_detail": event.name,
    }


def _finding(entry: Seen, event: Event, worker: str) -> dict[str, Any]:
    uid = "-".join(part for part in (entry.detector, entry.client, worker, str(entry.n)) if part)
    return _common(entry, event, 2, 2004, CREATE) | {
        "activity_name": ACTIVITIES[CREATE],
        "finding_info": {
            "uid": uid,
            "title": "Probing of a model's training data",
            "desc": event.said,
            "created_time": int(entry.t * 1000),
            "analytic": {"uid": entry.detector, "name": entry.detector, "type_id": 2},
            "attacks": [ATTACK],
        },
        "resources": [{"uid": entry.client, "type": "client"}],
        "evidences": [{"data": entry.evidence}],
        "is_alert": True,
        "status_id": 1,
        "confidence_id": 0,
    }


def _common(entry: Entry, event: Event, category: int, kind: int, activity: int) -> dict[str, Any]:
    return {
        "category_uid": category,
        "class_uid": kind,
        "activity_id": activity,
        "type_uid": kind * 100 + activity,
        "time": int(entry.t * 1000),
        "severity_id": event.severity,
        "message": event.said,
        "metadata": {
            "version": VERSION,
            "product": {"name": "guard", "vendor_name": "unseen", "version": __version__},
            "sequence": entry.n,
            "log_name": "unseen guard audit log",
        },
    }
