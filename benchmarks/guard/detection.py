"""How many probing clients the detectors find within 200 probes, how many honest client-days they flag, what they cost.

    OMP_NUM_THREADS=1 PYTHONPATH=. python benchmarks/guard/detection.py [part ...]

Parts: calibration, alarms, many, recall, beyond, adaptive, others, cost; all of them without one. Two workers; `cost`
runs alone on one thread. Traffic is made up by `tests/guard/detectors/traffic.py`; the clients that calibrate and those
that measure share a population and nothing else, and no harder variant takes part in calibration.
"""

import platform
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from statistics import median
from typing import Any

import numpy as np
from tests.guard.detectors import traffic

from unseen.guard.alarm_rate import alarm_rate, clopper_pearson
from unseen.guard.calibrating import Calibration, PastQuery, calibrate_near_duplicates, calibrate_threshold
from unseen.guard.detector import Query
from unseen.guard.detectors.geometry import Geometry
from unseen.guard.detectors.near_duplicates import NearDuplicates
from unseen.guard.detectors.seeking import Seeking
from unseen.guard.detectors.sharing import Sharing
from unseen.guard.detectors.volume import Volume

WORLDS = {"8 numbers": (8,), "32 numbers": (32,), "384 numbers": (384,), "32 mixed": (32, 0.3, 0.3)}
MAIN = ("independent", "what_if", "drift")
HARDER = (
    *(
        "one_segment",
        "tight_segment",
        "retries",
        "what_if_of_a_base",
        "what_if_chain",
        "sliders",
        "straight_drift",
        "noisy_drift",
    ),
    *("noisier_drift", "returning_drift", "daily_drift", "noisy_daily_drift", "noisy_level"),
)
QUERIES, DAYS = 150, 8  # a client-day, and days of a client
PROBES, ATTACKERS = 200, 150
MANY = 3_000  # clients without an alarm that show a rate of at most 0.1 %


@cache
def world(name: str) -> traffic.World:
    return traffic.world(len(name) + WORLDS[name][0], *WORLDS[name])


def honest(where: str, profile: str, seed: int, days: int = DAYS) -> Iterator[Query]:
    """Return the queries of one honest client over some days."""
    rng = np.random.default_rng([seed, len(profile), *profile.encode()])
    records = getattr(traffic, profile)(rng, world(where), QUERIES * days)
    moments = np.concatenate([traffic.times(rng, QUERIES) + day * traffic.DAY for day in range(days)])
    for record, when in zip(records, moments, strict=True):
        yield Query(f"{profile}-{seed}", float(when), record[None])


@cache
def calibrated(where: str) -> Calibration:
    """Return thresholds from 60 clients a profile, of four days each: half of them choose, half are held out."""
    past = (
        PastQuery(query, profile) for profile in MAIN for seed in range(60) for query in honest(where, profile, seed, 4)
    )
    return calibrate_near_duplicates(past, np.random.default_rng(0))


def watchers(where: str) -> tuple[NearDuplicates, Geometry]:
    return NearDuplicates(**calibrated(where).settings, clients=1), Geometry(clients=1)


def flagged(where: str, profile: str, seeds: range, each: int = DAYS) -> list[tuple[int, int, int]]:
    """Return for each client on how many of its days near-duplicates, geometry and either of them flagged it."""
    counts = []
    near, line = watchers(where)
    for seed in seeds:
        days = np.zeros((each, 2), dtype=bool)
        for query in honest(where, profile, 1000 + seed, each):
            day = int(query.when // traffic.DAY)
            days[day] |= near.observe(query) is not None, line.observe(query) is not None
        counts.append((*map(int, days.sum(axis=0)), int(days.any(axis=1).sum())))
    return counts


def attack(where: str, kind: str, cover: float, seed: int, days: float = 1.0) -> Iterator[tuple[bool, Query]]:
    """Return an attacker's queries, and which are probes; the cover is independent draws."""
    rng = np.random.default_rng([seed, 7])
    probes = getattr(traffic, kind)(rng, world(where), PROBES)
    mixed, real = traffic.covered(rng, probes, partial(traffic.independent, rng, world(where)), cover)
    moments = traffic.times(rng, len(mixed), days)
    for record, when, probe in zip(mixed, moments, real, strict=True):
        yield bool(probe), Query(f"{kind}-{seed}", float(when), record[None])


def found(where: str, kind: str, cover: float, days: float = 1.0) -> tuple[list[int], list[int]]:
    """Return for each attacker the probes it had asked when near-duplicates and geometry first alarmed; 0 for never."""
    firsts: tuple[list[int], list[int]] = ([], [])
    for seed in range(ATTACKERS if cover < 0.9 else ATTACKERS // 2):
        asked, first = 0, [0, 0]
        detectors = watchers(where)
        for probe, query in attack(where, kind, cover, seed, days):
            asked += probe
            for place, detector in enumerate(detectors):
                sighting = detector.observe(query)
                first[place] = first[place] or (max(asked, 1) if sighting else 0)
        for kept, one in zip(firsts, first, strict=True):
            kept.append(one)
    return firsts


def told(count: int, of: int) -> str:
    low, high = clopper_pearson(count, of)
    return f"{count:,} of {of:,} | {100 * count / of:.3g} % [{100 * low:.3g}, {100 * high:.3g}]"


def told_over(counts: list[int], each: int, units: str) -> tuple[str, str]:
    """Return counts of days (of clients), or keys (of attackers), and their mean share with its interval over units."""
    rate = alarm_rate("", [each] * len(counts), counts, 0.001)
    of = f"{rate.flagged:,} of {rate.client_days:,}, {rate.flagged_clients:,} of {rate.clients:,} {units}"
    return of, f"{100 * (rate.value or 0):.3g} % [{100 * (rate.low or 0):.3g}, {100 * (rate.high or 0):.3g}]"


def calibration(_: ProcessPoolExecutor) -> None:
    for where in WORLDS:
        chosen = calibrated(where)
        print(f"{where}: tau {chosen.settings['tau']:.3g}, threshold {chosen.settings['threshold']:g}")
        print("\n".join(f"  {sentence}" for sentence in chosen.sentences))


def alarms(pool: ProcessPoolExecutor) -> None:
    """Honest client-days: 4,000 a main profile of numbers, 1,000 a mixed one, 248 a harder one."""
    cells = [(where, profile, _clients(where, profile), DAYS) for where in WORLDS for profile in (*MAIN, *HARDER)]
    table_of_alarms(pool, cells)


def many(pool: ProcessPoolExecutor) -> None:
    """As many clients as 0.1 % takes to be shown, of two days each, on the main profiles."""
    table_of_alarms(pool, [(where, profile, MANY, 2) for where in WORLDS for profile in MAIN])


def table_of_alarms(pool: ProcessPoolExecutor, cells: list[tuple[str, str, int, int]]) -> None:
    print("| fields | profile | near-duplicates: days, clients | share of days | geometry | either, share of days |")
    print("|---|---|---|---|---|---|")
    parts = [(cell, range(start, min(start + 63, cell[2]))) for cell in cells for start in range(0, cell[2], 63)]
    counts: dict[Any, list[tuple[int, int, int]]] = {cell: [] for cell in cells}
    for (cell, _), found in zip(parts, pool.map(_flagged, parts), strict=True):
        counts[cell] += found
    for (where, profile, _, each), clients in counts.items():
        near, line, either = (list(column) for column in zip(*clients, strict=True))
        said = " | ".join(told_over(near, each, "clients"))
        print(f"| {where} | {profile} | {said} | {sum(line)} | {told_over(either, each, '')[1]} |", flush=True)


def _clients(where: str, profile: str) -> int:
    if profile not in MAIN:
        return 31
    return 125 if where == "32 mixed" else 500


def _flagged(part: Any) -> Any:
    (where, profile, _, each), seeds = part
    return flagged(where, profile, seeds, each)


def _found(cell: Any) -> Any:
    return found(*cell)


def table_of_recall(pool: ProcessPoolExecutor, cells: list[tuple[Any, ...]]) -> None:
    print("| fields | attack | cover | days | near-duplicates | geometry | either | share | probes until found |")
    print("|---|---|---|---|---|---|---|---|---|")
    for cell, (near, line) in zip(cells, pool.map(_found, cells), strict=True):
        where, kind, cover, *days = cell
        either = [min(one or PROBES + 1, other or PROBES + 1) for one, other in zip(near, line, strict=True)]
        hits = [first for first in either if first <= PROBES]
        counts = f"{np.count_nonzero(near)} | {np.count_nonzero(line)} | {told(len(hits), len(either))}"
        until = f"{median(hits):.0f}, at most {max(hits)}" if hits else "never"
        print(f"| {where} | {kind} | {100 * cover:.0f} % | {days[0] if days else 1} | {counts} | {until} |", flush=True)


def recall(pool: ProcessPoolExecutor) -> None:
    kinds = ("noise_probing", "boundary_probing")
    table_of_recall(pool, [(where, kind, cover) for where in WORLDS for kind in kinds for cover in (0.0, 0.5, 0.9)])


def beyond(pool: ProcessPoolExecutor) -> None:
    """What was not asked for: other attackers, slow ones, and those that should be missed."""
    cells: list[tuple[Any, ...]] = [
        (where, kind, 0.5)
        for where in WORLDS
        for kind in (
            *("small_boundary_probing", "ten_copies_each", "sparse_noise_probing", "flipped_bits_probing"),
            "coarse_noise_probing",
            "what_if_imitation",
            *("halving_only", "one_query_each"),
        )
    ]
    cells += [("32 numbers", kind, 0.5, days) for kind in ("noise_probing", "boundary_probing") for days in (7, 30, 90)]
    table_of_recall(pool, cells)


SCALES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)  # of noise; times ten, of HopSkipJump's small step
FINE = 5  # of them, up to 0.2: the noise that recall is claimed for


def campaign(where: str, kind: str, scales: int, seed: int, *, sees: bool) -> list[bool]:
    """Return for each of twelve keys of one attacker whether it asked 200 probes and was not found.

    A sighting tightens the key only after a random delay of 20 to 200 probes. The attacker who sees that goes on with
    another scale, and weighs scales by how often they were left alone (Thompson sampling, as a strong player would);
    the one who sees nothing draws a scale for each key.
    """
    rng = np.random.default_rng([seed, 11, sees])
    odds = np.ones((2, scales))  # left alone, tightened
    evaded = []
    for _ in range(12):
        detectors, tightened, found, probes = watchers(where), np.inf, False, np.empty((0, 0))
        scale = _chosen(rng, odds)
        for asked in range(PROBES):
            if sees and asked >= tightened:
                odds[1, scale] += 1
                scale, probes, tightened = _chosen(rng, odds), np.empty((0, 0)), np.inf
            if not len(probes):
                probes = _probes(rng, where, kind, SCALES[scale], PROBES)
            cover = world(where).draw(rng, int(rng.random() < 0.5))
            query = Query("key", float(asked), np.concatenate([cover, probes[:1]]))
            probes = probes[1:]
            if any([detector.observe(query) is not None for detector in detectors]):  # noqa: C419 - both shall look
                found, tightened = True, min(tightened, asked + rng.uniform(20, 200))
        if sees:
            odds[int(tightened < PROBES), scale] += 1
        evaded.append(not found)
    return evaded


def _chosen(rng: np.random.Generator, odds: np.ndarray) -> int:
    """Draw a scale: evenly where nothing was learnt."""
    return int(rng.beta(*odds).argmax())


def _probes(rng: np.random.Generator, where: str, kind: str, scale: float, count: int) -> np.ndarray:
    if kind == "noise_probing":
        return traffic.noise_probing(rng, world(where), count, scale=scale)
    return traffic.boundary_probing(rng, world(where), count, reaction=lambda _, delta: delta * 10 * scale)


def _campaign(cell: Any) -> list[bool]:
    *what, sees = cell
    return campaign(*what, sees=sees)


def adaptive(pool: ProcessPoolExecutor) -> None:
    """An attacker with twelve keys who sees tightening after a delay, against one who sees nothing: keys not found."""
    print(
        "| fields | attack | scales | sees nothing | sees the actions | the last six keys |\n|---|---|---|---|---|---|"
    )
    for where in ("8 numbers", "32 numbers"):
        for kind in ("noise_probing", "boundary_probing"):
            for scales in (FINE, len(SCALES)):
                cells = [(where, kind, scales, seed, sees) for sees in (False, True) for seed in range(25)]
                runs = np.array(list(pool.map(_campaign, cells))).reshape(2, 25, 12)
                rows = " | ".join(
                    ", ".join(told_over(list(map(int, one.sum(axis=1))), 12, "attackers")) for one in runs
                )
                late = " against ".join(f"{100 * one[:, 6:].mean():.1f} %" for one in runs)
                print(f"| {where} | {kind} | 0.01 to {SCALES[scales - 1]} | {rows} | {late} |", flush=True)


def habits(rng: np.random.Generator, clients: range) -> Iterator[Query]:
    """Return thirty days of clients with a log-normal volume of their own, a quarter up or down from day to day."""
    for client in clients:
        usual, share = rng.lognormal(3.5, 0.8), rng.beta(1, 30)
        for day in range(30):
            for _ in range(int(usual * rng.lognormal(0, 0.25)) + 1):
                yield _asked(rng, f"key-{client}", day + rng.random(), asks=rng.random() < share)


def _asked(rng: np.random.Generator, client: str, day: float, *, asks: bool) -> Query:
    parameters = frozenset({"logprobs"}) if asks else frozenset[str]()
    return Query(client, day * traffic.DAY, fingerprints=(rng.bytes(16),), parameters=parameters)


def others(_: ProcessPoolExecutor) -> None:
    """Volume, seeking and sharing: simple worlds of their own."""
    rng = np.random.default_rng(5)
    past = [PastQuery(query) for query in habits(rng, range(300))]
    later = sorted(habits(rng, range(1000, 1060)), key=lambda query: query.when)
    usual = Counter(query.client for query in later)
    for make in (Volume, partial(Seeking, allowance=0.2)):
        chosen = calibrate_threshold(past, np.random.default_rng(0), make)
        print(f"{chosen.detector}: threshold {chosen.settings['threshold']:g}; {'; '.join(chosen.sentences)}")
        detector = make(threshold=chosen.settings["threshold"])
        _observe_all(detector, later)
        hits = 0
        for client, count in usual.items():
            probes = [_asked(rng, client, 30.5, asks=True) for _ in range(count // 3)]  # ten times a day's
            hits += sum(detector.observe(probe) is not None for probe in probes) > 0
        print(f"  ten times the usual volume of a day, all with logprobs: {told(hits, len(usual))}")
    split = told_over([_split(seed) for seed in range(50)], 20, "attackers")
    print(f"sharing, split over twenty keys: {' | '.join(split)}")


def _split(seed: int) -> int:
    """Return how many of twenty keys are found: four targets, a hundred probes and as many other queries a key."""
    rng = np.random.default_rng([seed, 3])
    shared, targets, seen = Sharing(lines=4096), [rng.bytes(16) for _ in range(4)], set()
    for i in range(4000):
        mark = targets[int(rng.integers(4))] if rng.random() < 0.5 else rng.bytes(16)
        sighting = shared.observe(Query(f"key-{rng.integers(20)}", float(i), fingerprints=(mark,)))
        seen |= {sighting.client} if sighting else set()
    return len(seen)


RUNS, FILLED = 7, 520  # timed runs, and queries that fill a client's ring before them


def stream(where: str, kind: str, clients: int, each: int) -> list[list[Query]]:
    """Return queries that fill the rings, and those of each run: fresh ones, `each` of every client, in turn."""
    rng = np.random.default_rng(2)
    rows = [getattr(traffic, kind)(rng, world(where), FILLED + RUNS * each) for _ in range(clients)]
    parts = [range(FILLED), *(range(FILLED + run * each, FILLED + (run + 1) * each) for run in range(RUNS))]
    return [[Query(f"key-{i}", float(t), rows[i][t][None]) for t in part for i in range(clients)] for part in parts]


def seconds(detector: Any, runs: list[list[Query]]) -> float:
    """Return CPU seconds a query, the median of some runs."""
    spent = []
    for queries in runs:
        started = time.process_time()
        _observe_all(detector, queries)
        spent.append((time.process_time() - started) / len(queries))
    return median(spent)


def cost(_: ProcessPoolExecutor) -> None:
    print("| fields | traffic | clients in turn | near-duplicates | geometry |\n|---|---|---|---|---|")
    for where in ("32 numbers", "384 numbers"):
        tau = calibrated(where).settings["tau"]
        for kind in ("independent", "what_if", "drift", "noise_probing", "boundary_probing"):
            for clients, each in ((1, 300), (50, 10)):
                filling, *runs = stream(where, kind, clients, each)
                spent = []
                for detector in (NearDuplicates(tau=tau, threshold=1e9), Geometry(threshold=1e9)):
                    _observe_all(detector, filling)
                    spent.append(f"{1e6 * seconds(detector, runs):.0f} us")
                print(f"| {where} | {kind} | {clients} | {' | '.join(spent)} |", flush=True)
    one = NearDuplicates(tau=1.0)
    line = Geometry()
    for query in stream("384 numbers", "independent", 1, 1)[0]:
        one.observe(query)
        line.observe(query)
    for detector, ring in ((one, one.clients["key-0"].rings[384]), (line, line.clients["key-0"].records[384].ring)):
        print(f"{detector.name}: {ring.nbytes / 1e6:.2f} MB a client at 384 fields")
    parameters = Query("key", 0.0, None, None, (b"0123456789abcdef",), frozenset({"logprobs"}))
    for detector in (Seeking(threshold=1e9), Volume(threshold=1e9), Sharing(threshold=1e9)):
        print(f"{detector.name}: {1e6 * seconds(detector, [[parameters] * 5000] * RUNS):.1f} us a query")


def _observe_all(detector: Any, queries: list[Query]) -> None:
    for query in queries:
        detector.observe(query)


PARTS = (calibration, alarms, many, recall, beyond, adaptive, others, cost)

if __name__ == "__main__":
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, {platform.machine()}")
    wanted = sys.argv[1:] or [part.__name__ for part in PARTS]
    for where in WORLDS:
        calibrated(where)  # before the workers are forked, so that they have it too
    with ProcessPoolExecutor(2) as workers:
        for part in PARTS:
            if part.__name__ in wanted:
                began = time.perf_counter()
                print(f"\n## {part.__name__}\n", flush=True)
                part(workers)
                print(f"\n{time.perf_counter() - began:.0f} s", flush=True)
