"""Status: keys, budgets, noticed clients and the log of one guard, as it stands on the disk."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from unseen.errors import PolicyError
from unseen.guard.keys import KeyRing
from unseen.guard.log.entries import Asked
from unseen.guard.log.reading import chains, entries, segments
from unseen.guard.policy import Policy
from unseen.guard.stores import open_store
from unseen.guard.watching import read_standings


def status(policy: Policy) -> str:
    """Return a page; it shows no secret, and needs none but the address of a store."""
    return "\n".join(_lines(policy, Path(policy.guard.state), time.time())) + "\n"


def _lines(policy: Policy, folder: Path, now: float) -> Iterator[str]:
    if not folder.exists():
        raise PolicyError(f"there is no state in {folder}: this guard has not run yet.")
    keys = KeyRing(folder, b"").all()
    yield f"policy {policy.digest}, mode {policy.guard.mode}, in front of {policy.upstream.url}"
    yield f"keys: {sum(key.valid(now) for key in keys)} open of {len(keys)}"
    yield "budgets used today and in all:"
    yield from _budgets(policy, folder, now)
    yield "clients noticed:"
    standings = read_standings(folder)
    for client, standing in standings.items():
        steps = ", ".join(f"{step}{'' if due <= now else ' (due)'}" for step, due in standing.steps.items())
        yield f"  {client}: {standing.sightings} sightings; {steps}"
    if not standings:
        yield "  none"
    yield from _log(folder / "log", now)


def _budgets(policy: Policy, folder: Path, now: float) -> Iterator[str]:
    store = open_store(policy.store, folder)
    day = time.strftime("%Y-%m-%d", time.gmtime(now))
    try:
        used = {name: count for prefix in ("key:", "tenant:", "total") for name, count in store.used(prefix).items()}
    finally:
        store.close()
    shown = {name: count for name, count in sorted(used.items()) if name.endswith((day, "lifetime"))}
    for name, count in shown.items():
        yield f"  {name}: {count}"
    if not shown:
        yield "  none"


def _log(folder: Path, now: float) -> Iterator[str]:
    files = [segment for chain in chains(folder) for segment in segments(chain)]
    size = sum(segment.stat().st_size for segment in files)
    yield f"log: {len(files)} segments, {size:,} bytes"
    day = [entry for entry in entries(folder) if isinstance(entry, Asked) and now - entry.t < 86_400]
    counted = Counter(entry.reason for entry in day)
    yield "last 24 hours: " + (
        ", ".join(f"{reason} {count}" for reason, count in counted.most_common()) or "no requests"
    )
