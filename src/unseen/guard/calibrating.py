"""Calibration: thresholds from an application's own traffic, and the false alarms they give on traffic held out.

A rate of false alarms found on other people's traffic does not transfer: near copies are rare among independent
queries and common among people who try out what-ifs. So the thresholds are chosen on one half of the clients and the
alarms are counted on the other half, per client, day and declared profile, with bounds that hold over clients.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from unseen.errors import InputError
from unseen.guard.alarm_rate import AlarmRate, alarm_rate
from unseen.guard.detector import Detector, Query
from unseen.guard.detectors.near_duplicates import NearDuplicates

DAY_SECONDS = 86_400
REACHES = (1 / 16, 1 / 12, 1 / 8, 1 / 6, 1 / 4)  # of the population's spread: candidates for tau
SAMPLE = 1000  # records that tell the spread
MARGIN = 1.5  # a threshold over the highest honest level seen: the next client may go a little higher
MOST = float(np.finfo(np.float32).max)  # what a number of a record may be
LEAST, SLOWEST = 40.0, 80.0  # thresholds: below, chance; above, probing is found late


@dataclass(frozen=True, slots=True)
class PastQuery:
    """One query of the past, of a client whose use is as `profile` declares: `independent`, `what-if`, `drift` ..."""

    query: Query
    profile: str = "all"

    @property
    def client_day(self) -> tuple[str, str, int]:
        """The profile, the client and the day: what false alarms are counted by."""
        return self.profile, self.query.client, int(self.query.when // DAY_SECONDS)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Settings chosen for a detector, and how often they alarm on honest traffic held out, profile by profile.

    `client_days` chose the settings; those in `rates` did not. `late` says that the threshold is so high that probing
    is found late or, within few probes, not at all.
    """

    detector: str
    settings: Mapping[str, float]
    client_days: int
    rates: tuple[AlarmRate, ...]
    late: bool = False

    @property
    def sentences(self) -> tuple[str, ...]:
        """One sentence a profile, and one where the threshold is high."""
        told = tuple(rate.sentence for rate in self.rates)
        if not self.late:
            return told
        level = f"{self.settings['threshold']:g}"
        return (
            *told,
            f"{self.detector}: honest traffic needs a threshold of {level}; probing is found late or missed.",
        )


class Levelled(Detector, Protocol):
    """A detector that tells a client's level."""

    def level(self, client: str) -> float:
        """Return how far a client has come towards the threshold."""
        ...


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    """One line of past traffic."""

    client: str
    when: float
    vector: list[float] | None = None
    parameters: tuple[str, ...] = ()
    profile: str = "all"


def read_past(lines: Iterable[str | bytes]) -> Iterator[PastQuery]:
    """Return past queries from lines of JSON with `client`, `when` (seconds), `vector`, `parameters` and `profile`.

    >>> [past] = read_past(['{"client": "key-7", "when": 90000, "vector": [0.5, 1], "profile": "what-if"}'])
    >>> past.client_day
    ('what-if', 'key-7', 1)
    """
    for number, line in enumerate(lines, 1):
        try:
            read = msgspec.json.decode(line, type=_Line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InputError(f"line {number} is no past query: {error}.") from None
        if read.vector == [] or max(map(abs, read.vector or ()), default=0.0) > MOST:
            raise InputError(f"line {number} is no past query: its vector is empty, or has a number beyond float32.")
        vectors = None if read.vector is None else np.array([read.vector], dtype=np.float32)
        query = Query(read.client, read.when, vectors, parameters=frozenset(read.parameters))
        yield PastQuery(query, read.profile)


def calibrate_near_duplicates(
    past: Iterable[PastQuery],
    rng: np.random.Generator,
    target: float = 0.001,
    make: Callable[..., Levelled] = NearDuplicates,
) -> Calibration:
    """Return tau and the threshold of `near-duplicates` for honest past traffic, at most `target` client-days flagged.

    The clients are split in two at random, within each profile. On the first half, tau is the widest of a sixteenth to
    a quarter of the median distance between records of different clients, of one width, at which honest levels allow a
    threshold of 80 or less: a wide tau sees coarser noise, and takes a client with records of one kind for a cloud. The
    threshold is 1.5 times the level that at most `target` of each profile's client-days pass, and 40 at least. The
    second half counts alarms. Past traffic is taken as honest: an attack in it raises the threshold. Clients are gone
    through one after another, so that memory holds one; `make` takes `tau`, `threshold` and `clients`.
    """
    chosen, held = _halves(past, rng)
    best: tuple[float, float] | None = None
    for tau in _taus([query for query, _ in chosen], rng):
        threshold = _threshold(chosen, partial(make, tau=tau, clients=1), target)
        if best is None or threshold <= SLOWEST or threshold < best[1]:
            best = tau, threshold
    if best is None:
        needed = "vectors of two clients or more, of one width, in the half that chooses"
        raise InputError(f"calibration needs {needed}.")
    tau, threshold = best
    return _measured(chosen, held, partial(make, tau=tau, clients=1), threshold, target, {"tau": tau})


def calibrate_threshold(
    past: Iterable[PastQuery], rng: np.random.Generator, make: Callable[..., Levelled], target: float = 0.001
) -> Calibration:
    """Return the threshold of any detector that tells a level, chosen and measured in the same way.

    `make` is the detector with its other settings fixed: it takes `threshold`. Queries are gone through in the order of
    time, since some detectors compare clients with each other.
    """
    chosen, held = (sorted(half, key=lambda one: one[0].when) for half in _halves(past, rng))
    if not chosen:
        raise InputError("calibration needs queries of two clients or more of a profile.")
    return _measured(chosen, held, make, _threshold(chosen, make, target, least=1.0), target, {})


Traffic = list[tuple[Query, tuple[str, str, int]]]


def _halves(past: Iterable[PastQuery], rng: np.random.Generator) -> tuple[Traffic, Traffic]:
    """Split by client, within each profile, since a detector remembers a client across days."""
    clients: dict[str, dict[str, Traffic]] = defaultdict(lambda: defaultdict(list))
    for one in past:
        clients[one.profile][one.query.client].append((one.query, one.client_day))
    halves: tuple[Traffic, Traffic] = ([], [])
    for profile in sorted(clients):
        names = sorted(clients[profile])
        for place, name in enumerate(rng.permutation(len(names))):
            queries = sorted(clients[profile][names[name]], key=lambda one: one[0].when)
            halves[place % 2].extend(queries)
    return halves


def _taus(queries: list[Query], rng: np.random.Generator) -> list[float]:
    """Return shares of the median distance between records of different clients, the smallest first."""
    known = [query for query in queries if query.vectors is not None and query.records]
    some = [known[i] for i in rng.permutation(len(known))[:SAMPLE]]
    alike: dict[int, list[Query]] = defaultdict(list)  # by the width of records
    for query in some:
        alike[0 if query.vectors is None else query.vectors.shape[1]].append(query)
    squared = [_apart(queries) for queries in alike.values()]
    spread = float(np.median(np.concatenate(squared))) if any(part.size for part in squared) else 0.0
    return [reach * math.sqrt(spread) for reach in REACHES] if spread > 0 else []


def _apart(queries: list[Query]) -> NDArray[np.float64]:
    """Return the squared distances between records of one width, of different clients."""
    owners = np.array([query.client for query in queries])
    rows = np.array([query.vectors[0] for query in queries if query.vectors is not None], dtype=np.float64)
    lengths = np.einsum("ij,ij->i", rows, rows)
    between: NDArray[np.float64] = (lengths[:, None] + lengths - 2 * rows @ rows.T)[np.triu(owners[:, None] != owners)]
    return between


def _threshold(chosen: Traffic, make: Callable[..., Levelled], target: float, least: float = LEAST) -> float:
    """Return a margin over the level that at most `target` of the client-days of any profile pass."""
    detector = make(threshold=math.inf)
    highest: dict[tuple[str, str, int], float] = defaultdict(float)
    for query, day in chosen:
        detector.observe(query)
        highest[day] = max(highest[day], detector.level(query.client))
    levels: dict[str, list[float]] = defaultdict(list)
    for (profile, _, _), level in highest.items():
        levels[profile].append(level)
    passed = [sorted(values, reverse=True)[math.floor(target * len(values))] for values in levels.values()]
    return max(least, math.ceil(10 * MARGIN * max(passed)) / 10)


def _measured(
    chosen: Traffic,
    held: Traffic,
    make: Callable[..., Levelled],
    threshold: float,
    target: float,
    settings: Mapping[str, float],
) -> Calibration:
    detector = make(threshold=threshold)
    alarmed: dict[tuple[str, str, int], bool] = defaultdict(bool)
    for query, day in held:
        alarmed[day] |= detector.observe(query) is not None
    counts: dict[str, dict[str, list[int]]] = {profile: {} for profile in sorted({day[0] for _, day in chosen})}
    for (profile, client, _), alarm in alarmed.items():
        of = counts[profile].setdefault(client, [0, 0])  # days, and those flagged
        of[0] += 1
        of[1] += alarm
    rates = tuple(
        alarm_rate(profile, [days for days, _ in of.values()], [flagged for _, flagged in of.values()], target)
        for profile, of in counts.items()
    )
    days = len({day for _, day in chosen})
    return Calibration(detector.name, dict(settings) | {"threshold": threshold}, days, rates, threshold > SLOWEST)
