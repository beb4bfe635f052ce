"""Status: keys, budgets, noticed clients and the log of one guard, as it stands on the disk."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from unseen.errors import FolderError, PolicyError
from unseen.guard.gateway import OUTSIDE
from unseen.guard.incident import why
from unseen.guard.keys import Key, KeyRing
from unseen.guard.log.entries import Asked, Done, Start
from unseen.guard.log.reading import chains, entries, entries_in, segments
from unseen.guard.policy import AT_ONCE, Policy, Tier
from unseen.guard.stores import BUDGETS, open_store
from unseen.guard.tenant_keys import damaged
from unseen.guard.watching import read_standings
from unseen.guard.words import number_of


def status(policy: Policy) -> str:
    """Return a page; it shows no secret, and needs none but the address of a store."""
    return "\n".join(_lines(policy, Path(policy.guard.state), time.time())) + "\n"


def _lines(policy: Policy, folder: Path, now: float) -> Iterator[str]:
    if not folder.exists():
        raise PolicyError(f"there is no state in {folder.absolute()}: is this the folder that the guard is started in?")
    keys = KeyRing(folder, b"").all()
    held = held_policy(policy, folder / "log")
    other = "" if held == policy.digest else f" in the file (the guard that wrote the log last holds {held})"
    yield f"policy {policy.digest}{other}, mode {policy.guard.mode}, in front of {policy.upstream.url}"
    yield f"keys: {sum(key.valid(now) for key in keys)} open of {len(keys)}"
    yield from (f"a tenant is not answered: {error}" for error in damaged(folder))
    yield "budgets used today and in all:"
    yield from _budgets(policy, folder, keys, now)
    yield "clients noticed:"
    yield from _noticed(folder, now)
    yield from _log(folder / "log", now)


def _noticed(folder: Path, now: float) -> Iterator[str]:
    try:
        standings = read_standings(folder)
    except FolderError as error:
        yield f"  {error}"
        return
    for client, standing in standings.items():
        steps = ", ".join(
            f"{step}{'' if due <= now or step in AT_ONCE else ' (due)'}" for step, due in standing.steps.items()
        )
        yield f"  {client}: {number_of(standing.sightings, 'sighting')}; {steps}"
    if not standings:
        yield "  none"


def held_policy(policy: Policy, log: Path) -> str:
    """Return the digest of the newest policy of a guard's log, or that of the file where no guard wrote one.

    A segment begins with the policy that holds, so the last one of each worker's chain says the newest.
    """
    told = [
        (entry.t, entry.policy if isinstance(entry, Start) else entry.detail)
        for chain in chains(log)
        if (number := chain.name.removeprefix("worker-")).isdecimal() and int(number) < OUTSIDE
        for segment in segments(chain)[-1:]
        for entry in entries_in(segment)
        if isinstance(entry, Start) or (isinstance(entry, Done) and entry.what == "policy")
    ]
    return max(told, default=(0.0, policy.digest))[1]


def _budgets(policy: Policy, folder: Path, keys: Sequence[Key], now: float) -> Iterator[str]:
    if policy.store.kind == "sqlite" and not (folder / BUDGETS).exists():  # the guard makes it, as the user that it is
        yield "  none"
        return
    store = open_store(policy.store, folder)
    day = time.strftime("%Y-%m-%d", time.gmtime(now))
    try:
        used = {name: count for prefix in ("key:", "tenant:", "total") for name, count in store.used(prefix).items()}
    finally:
        store.close()
    shown = {name: count for name, count in sorted(used.items()) if name.endswith((day, "lifetime"))}
    tiers = {key.client.id: policy.tiers.get(key.tier, Tier()) for key in keys}
    for name, count in shown.items():
        cap = _cap(name, policy, tiers)
        yield f"  {name}: {count:,}{'' if cap is None else f' of {cap:,}'}"
    if not shown:
        yield "  none"


def _cap(account: str, policy: Policy, tiers: Mapping[str, Tier]) -> int | None:
    """Return the cap of an account, where the policy has one and the tier is known: by a key, and not by a token."""
    holder, _, rest = account.partition(":")
    shared = {"tenant": policy.budgets.tenant, "total": policy.budgets.total}
    budget = shared[holder] if holder in shared else tiers.get(rest.partition(":")[0], Tier()).budget
    return budget.lifetime if account.endswith("lifetime") else budget.per_day


def _log(folder: Path, now: float) -> Iterator[str]:
    files = [segment for chain in chains(folder) for segment in segments(chain)]
    size = sum(segment.stat().st_size for segment in files)
    yield f"log: {number_of(len(files), 'segment')}, {size:,} bytes"
    day = [entry for entry in entries(folder) if isinstance(entry, Asked) and now - entry.t < 86_400]
    counted = Counter(why(entry) for entry in day)
    yield "last 24 hours: " + (
        ", ".join(f"{reason} {count}" for reason, count in counted.most_common()) or "no requests"
    )
