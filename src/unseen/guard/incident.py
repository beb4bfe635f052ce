"""Incident: what one client asked and got, in what pattern, from the log alone."""

from collections import Counter
from collections.abc import Iterable, Iterator

from unseen.guard.exports.event import moment
from unseen.guard.log.entries import Asked, Done, Entry, Seen
from unseen.guard.words import number_of

MOST = 10  # lines of each table
HOURS = 24  # the last ones that are shown


def incident(entries: Iterable[Entry], who: str) -> str:
    """Return a page about the key or client `who`: when, how much, what was refused, what came again."""
    mine = [entry for entry in entries if who in {getattr(entry, "client", ""), getattr(entry, "key", "")}]
    asked = sorted((entry for entry in mine if isinstance(entry, Asked)), key=lambda entry: entry.t)
    if not mine:
        return f"The log holds nothing of {who}.\n"
    return "\n".join([*_summary(who, asked), *_pattern(asked), *_by_hour(asked), *_noticed(mine)]) + "\n"


def _summary(who: str, asked: list[Asked]) -> Iterator[str]:
    yield f"Client {who}"
    if not asked:
        return
    answered = [entry for entry in asked if entry.status == 200]
    keys = ", ".join(sorted({entry.key for entry in asked}))
    yield f"  tenant {asked[-1].tenant}, tier {asked[-1].tier}, keys {keys}"
    yield f"  first {moment(asked[0].t)}, last {moment(asked[-1].t)}"
    records = sum(entry.records for entry in answered)
    yield f"  {number_of(len(asked), 'request')}, {len(answered)} answered, {number_of(records, 'record')} answered"
    for reason, count in Counter(why(entry) for entry in asked if entry.status != 200).most_common(MOST):
        yield f"  refused: {reason} x {count}"
    for name in sorted({name for entry in answered for name in entry.controls}):
        yield f"  got answers through {name}"
    for name, count in Counter(name for entry in asked for name in entry.parameters).most_common(MOST):
        yield f"  asked for {name} x {count}"


def _pattern(asked: list[Asked]) -> Iterator[str]:
    prints = [one for entry in asked if entry.status == 200 for one in entry.fingerprints]
    if not prints:
        return
    counted = Counter(prints)
    again = [(one, count) for one, count in counted.most_common(MOST) if count > 1]
    yield ""
    yield "What was asked about, by keyed fingerprint of nearly equal records"
    yield f"  {len(counted)} different of {len(prints)}; the most asked {counted.most_common(1)[0][1]} times"
    for one, count in again:
        times = [entry.t for entry in asked if one in entry.fingerprints]
        yield f"  {one}  x {count}, from {moment(min(times))} to {moment(max(times))}"


def _by_hour(asked: list[Asked]) -> Iterator[str]:
    """Yield two columns that add up to what the summary says: records answered, and requests refused."""
    hours = sorted({_hour(entry) for entry in asked})
    answered: Counter[str] = Counter()
    for entry in asked:
        answered[_hour(entry)] += entry.records if entry.status == 200 else 0
    refused = Counter(_hour(entry) for entry in asked if entry.status != 200)
    most = max(answered.values(), default=0) or 1
    if hours:
        yield ""
        yield "By hour (UTC)     records answered  requests refused"
    for hour in hours[-HOURS:]:
        bar = "#" * -(-answered[hour] * 40 // most)
        yield f"  {hour}:00  {answered[hour]:16}  {refused[hour]:16}  {bar}".rstrip()
    if len(hours) > HOURS:
        yield f"  ({number_of(len(hours) - HOURS, 'earlier hour')} left out)"


def _hour(entry: Asked) -> str:
    return moment(entry.t)[:13]


def why(entry: Asked) -> str:
    """Return the reason of a request; where the model's server was it, what there was of it.

    Logs of earlier versions have one word, `upstream`, that stands for all of it: with 200 there was an answer that the
    policy does not describe, or one longer than it allows.
    """
    if entry.reason == "upstream_failed":
        return f"upstream_failed (its status {entry.upstream})"
    if entry.reason != "upstream":
        return entry.reason
    if entry.replayed:
        return "upstream (repeated for an idempotency key)"
    if entry.upstream == 200:
        return "upstream (its answer is none that the policy lets through)"
    return f"upstream (its status {entry.upstream})" if entry.upstream else "upstream (no whole answer in time)"


def _noticed(mine: list[Entry]) -> Iterator[str]:
    noticed = [entry for entry in mine if isinstance(entry, Seen | Done) and getattr(entry, "what", "") != "stream-end"]
    if not noticed:
        return
    yield ""
    yield "What was noticed and done"
    for entry in sorted(noticed, key=lambda entry: entry.t):
        if isinstance(entry, Seen):
            evidence = ", ".join(f"{name} {value:g}" for name, value in entry.evidence.items())
            yield f"  {moment(entry.t)}  {entry.detector}, {entry.strength:g} times its threshold: {evidence}"
        elif isinstance(entry, Done):
            yield f"  {moment(entry.t)}  {entry.what}"
