"""Metrics: what each is called and how it is read from a snapshot, said once for every exporter."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from unseen.guard.counts import Snapshot

Row = tuple[tuple[str, ...], float]


@dataclass(frozen=True)
class Metric:
    """`rows` gives the values of its labels and a number, for each that a snapshot has; `up`: it never goes down."""

    name: str
    said: str
    labels: tuple[str, ...]
    rows: Callable[[Snapshot], Iterable[Row]]
    up: bool = True


def _one(name: str, said: str, value: Callable[[Snapshot], float], *, up: bool = True) -> Metric:
    return Metric(name, said, (), lambda snapshot: [((), value(snapshot))], up)


def _named(name: str, said: str, label: str, values: Callable[[Snapshot], Mapping[str, int]]) -> Metric:
    return Metric(name, said, (label,), lambda snapshot: [((key,), n) for key, n in sorted(values(snapshot).items())])


def _export(name: str, said: str, *, up: bool = True) -> Metric:
    field = name.removeprefix("export_")
    return Metric(name, said, ("to",), lambda snapshot: [((e.to,), getattr(e, field)) for e in snapshot.exports], up)


def _requests(snapshot: Snapshot) -> Iterable[Row]:
    return [((row.route, str(row.status), row.reason), row.count) for row in snapshot.requests]


def _refusals(snapshot: Snapshot) -> Iterable[Row]:
    refused: dict[tuple[str, ...], int] = {}
    for row in snapshot.requests:
        if row.status != 200:
            refused[row.route, row.reason] = refused.get((row.route, row.reason), 0) + row.count
    return list(refused.items())


METRICS = (
    Metric("requests", "Requests that ended, by how.", ("route", "status", "reason"), _requests),
    Metric("refusals", "Requests that were not answered, by why.", ("route", "reason"), _refusals),
    _named("records_answered", "Records answered.", "route", lambda one: one.records),
    _named("fields_removed", "Numbers unknown to the policy, taken out of answers.", "route", lambda one: one.removed),
    _named("sightings", "Sightings of probing.", "detector", lambda one: one.sightings),
    _named("events", "Changes and steps written down.", "what", lambda one: one.events),
    _one("log_records", "Entries written to the audit log.", lambda one: one.log_records),
    _one("unwatched", "Answers that no detector saw, because too many waited.", lambda one: one.unwatched),
    _one("admin_refused", "Requests to the admin API without its token.", lambda one: one.admin_refused),
    _one("budget_waits", "Requests that waited for the store of budgets.", lambda one: one.budget_waits),
    _one("budget_wait_seconds", "How long they waited, added up.", lambda one: one.budget_wait_s),
    _export("export_sent", "Log entries handed to an export."),
    _export("export_dropped", "Log entries that an export will not get."),
    _export("export_failures", "Times that sending to an export failed."),
    _export("export_waiting", "Log entries that wait to be sent.", up=False),
    _one("start_time_seconds", "When the worker began, seconds since 1970.", lambda one: one.began, up=False),
    _one("counted_time_seconds", "When its counts were taken, seconds since 1970.", lambda one: one.at, up=False),
)
TOOK = ("request_seconds", "How long requests took in the guard, the model's time included.")
