"""Elastic Common Schema 8: one JSON object a line. What the schema has no field for stands below `unseen`."""

from typing import Any

from unseen import __version__
from unseen.guard.exports.event import actor_of, encoded, event_of, facts, moment, target_of
from unseen.guard.log.entries import Asked, Entry, Seen

VERSION = "8.17.0"


def ecs(entry: Entry, worker: str = "") -> str | None:
    """Return an entry as ECS."""
    event = event_of(entry)
    if event is None:
        return None
    seen = isinstance(entry, Seen)
    told: dict[str, Any] = {
        "@timestamp": moment(entry.t),
        "ecs": {"version": VERSION},
        "message": event.said,
        "event": {
            "kind": "alert" if seen else "event",
            "category": ["intrusion_detection"] if seen else ["api"],
            "type": ["info"] if seen else ["access"] if isinstance(entry, Asked) else ["change"],
            "action": event.name,
            "outcome": "success" if event.success else "failure",
            "severity": event.severity,
            "sequence": entry.n,
            "module": "unseen",
        },
        "observer": {"vendor": "unseen", "product": "guard", "version": __version__},
        "unseen": facts(entry, worker),
    }
    if actor := actor_of(entry):
        told["user"] = {"id": actor}
    if target := target_of(entry):
        told["user"]["target"] = {"id": target}
    if isinstance(entry, Asked):
        told["http"] = {"response": {"status_code": entry.status}}
        told["event"] |= {"id": entry.id, "duration": int(entry.ms * 1e6), "reason": entry.reason}
        told["organization"] = {"id": entry.tenant}
    if seen:
        told["threat"] = {
            "framework": "MITRE ATLAS",
            "tactic": {"id": ["AML.TA0010"], "name": ["Exfiltration"]},
            "technique": {
                "id": ["AML.T0024"],
                "name": ["Exfiltration via AI Inference API"],
                "subtechnique": {"id": ["AML.T0024.000"], "name": ["Infer Training Data Membership"]},
            },
        }
    return encoded(told)
