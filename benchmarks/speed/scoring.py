"""CPU seconds and extra memory of the scoring functions, beside the forms other tools use, in one run.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONPATH=src python benchmarks/speed/scoring.py

Writes `scoring.md` beside this file and exits 1 if a limit does not hold. Data are random: a seeded world of
Gaussian logits; a fair coin puts each record into each reference, so that counts differ as they do in use.
"""

import argparse
import importlib
import inspect
import os
import platform
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import peer_forms as forms
from numpy.typing import NDArray

Array = NDArray[Any]
World = Mapping[str, Array]

REFERENCES, POPULATION = 64, 50_000
SMALL, LARGE = 50_000, 500_000
GROWTH = 10.0  # the limit at 500,000 records is ten times the one at 50,000
MIB = 2.0**20
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Ours:
    """A scoring function of the package and its limits at 50,000 records with 64 references."""

    name: str
    cpu_s: float | None = None
    extra_mib: float | None = None


OURS = (
    Ours("lira_online", 0.06),
    Ours("lira_offline", 0.06),
    Ours("lira_online_shared", 0.06),
    Ours("lira_offline_shared", 0.06),
    Ours("moderated_t_online", 0.06),
    Ours("moderated_t_offline", 0.06),
    Ours("moderated_t_gap", 0.06),
    Ours("moderated_t_trend", 0.08),
    Ours("rank_combined"),
    Ours("base"),
    Ours("rmia_online", 0.03, 64.0),
    Ours("rmia_offline", 0.03, 64.0),
)


@dataclass(frozen=True)
class Cost:
    """Median CPU seconds, the fastest repeat, and the most bytes held beyond the inputs, in MiB."""

    cpu_s: float
    fastest_s: float
    extra_mib: float


def gaussian_world(records: int, dtype: type[np.floating[Any]], seed: int = 0) -> dict[str, Array]:
    """Every array an attack may ask for, by signal name; the same draws whatever the dtype."""
    rng = np.random.default_rng(seed)
    target, references, member = _logits(rng, records)
    z_target, z_references, z_member = _logits(rng, POPULATION)
    world = {
        "margin": target,
        "ref_margin": references,
        "loss": _loss(target),
        "ref_loss": _loss(references),
        "population_loss": _loss(z_target),
        "ref_population_loss": _loss(z_references),
    }
    arrays = {name: np.ascontiguousarray(array, dtype=dtype) for name, array in world.items()}
    return arrays | {"ref_member": member, "ref_population_member": z_member}


def _logits(rng: np.random.Generator, records: int) -> tuple[Array, Array, Array]:
    """Target logits, reference logits and reference membership: a centre, a gap for members, and noise."""
    centre = rng.normal(2.0, 1.5, records).astype(np.float32)
    gap = rng.gamma(2.0, 0.5, records).astype(np.float32)
    member = rng.integers(2, size=(REFERENCES, records), dtype=np.int8).astype(np.bool_)
    references = centre + gap * member + rng.standard_normal(member.shape, dtype=np.float32)
    target = centre + gap * (rng.random(records) < 0.5) + rng.standard_normal(records, dtype=np.float32)
    return target, references, member


def _loss(logits: Array) -> Array:
    """Cross-entropy of a record whose true label has this logit."""
    return np.logaddexp(0.0, -logits)


def measure(call: Callable[[], object], repeats: int) -> Cost:
    """One warm-up, `repeats` timed calls, then one more under `tracemalloc`."""
    call()
    times = [_cpu_seconds(call) for _ in range(repeats)]
    return Cost(statistics.median(times), min(times), _extra_mib(call))


def _cpu_seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def _extra_mib(call: Callable[[], object]) -> float:
    """The peak of what was allocated during the call, its result included."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return (peak - before) / MIB


def bound(name: str, world: World) -> Callable[[], object] | str:
    """The package's function with the world's arrays filled in by name, or why it cannot be called."""
    try:
        function = getattr(importlib.import_module(f"unseen.attacks.{name}"), name)
    except (ImportError, AttributeError) as problem:
        return f"not there: {problem}"
    needed = [p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    known = {_plain(key): array for key, array in world.items()}
    if unknown := [key for key in needed if _plain(key) not in known]:
        return f"needs {', '.join(unknown)}, which this script does not make"
    arguments = [known[_plain(key)] for key in needed]
    return lambda: function(*arguments)


def _plain(name: str) -> str:
    """A signal's name without the spellings that a small rename changes."""
    return name.replace("references", "ref").replace("reference", "ref").replace("_", "").rstrip("s")


def measure_ours(world: World, repeats: int) -> dict[str, Cost | str]:
    """Cost by attack name; a sentence instead where the function could not be called."""
    calls = {attack.name: bound(attack.name, world) for attack in OURS}
    return {name: call if isinstance(call, str) else measure(call, repeats) for name, call in calls.items()}


@dataclass(frozen=True)
class PeerRow:
    """One peer form as measured: how many records it scored, and by what its CPU seconds were multiplied."""

    form: str
    condition: str
    cost: Cost
    scale: float


def measure_peers(world: World, repeats: int) -> list[PeerRow]:
    """The peer forms at 50,000 records, or on the subsample that each row names."""
    lira = [world[name] for name in ("margin", "ref_margin", "ref_member")]
    few = [array[..., :2_000] for array in lira]
    ratio = forms.rmia_ratio(world["loss"], world["ref_loss"])
    z = forms.rmia_ratio(world["population_loss"], world["ref_population_loss"])
    scaled = "2,000 records, CPU x 25, memory as it was"
    square, thin = "5,000 x 5,000 only, not scaled; ratios given", "500 records x 50,000, CPU x 100; ratios given"
    calls: tuple[tuple[str, str, Callable[[], object], float], ...] = (
        ("LiRA online, SciPy call a record", scaled, lambda: forms.lira_online_loop(*few), 25),
        ("LiRA offline, SciPy call a record", scaled, lambda: forms.lira_offline_loop(*few), 25),
        ("LiRA online, split a record, one density", "all", lambda: forms.lira_online_split(*lira), 1),
        ("LiRA offline, split a record, one density", "all", lambda: forms.lira_offline_split(*lira), 1),
        ("RMIA, records x population matrix", square, lambda: forms.rmia_matrix(ratio[:5_000], z[:5_000]), 1),
        ("RMIA, loop over records", thin, lambda: forms.rmia_loop(ratio[:500], z), 100),
    )
    return [PeerRow(form, condition, measure(call, repeats), scale) for form, condition, call, scale in calls]


@dataclass(frozen=True)
class Precision:
    """All that was measured for one dtype."""

    dtype: str
    small: Mapping[str, Cost | str]
    large: Mapping[str, Cost | str]
    peers: list[PeerRow]


def measure_precision(dtype: type[np.floating[Any]], repeats: int) -> Precision:
    """Ours at both sizes and the peer forms, for one dtype of the inputs."""
    world = gaussian_world(SMALL, dtype)
    small, peers = measure_ours(world, repeats), measure_peers(world, repeats)
    del world
    return Precision(np.dtype(dtype).name, small, measure_ours(gaussian_world(LARGE, dtype), repeats), peers)


def broken(attack: Ours, small: Cost | str, large: Cost | str) -> list[str]:
    """The limits that do not hold, in words."""
    if isinstance(small, str) or isinstance(large, str):
        return ["not measured"]
    found = []
    if attack.cpu_s is not None and small.cpu_s > attack.cpu_s:
        found.append(f"CPU {small.cpu_s:.3f} s over {attack.cpu_s:g} s")
    if attack.extra_mib is not None and small.extra_mib > attack.extra_mib:
        found.append(f"memory {small.extra_mib:.0f} MiB over {attack.extra_mib:g} MiB")
    if attack.cpu_s is not None and large.cpu_s > GROWTH * attack.cpu_s:
        found.append(f"500k: {large.cpu_s:.2f} s over {GROWTH * attack.cpu_s:g} s")
    return found


def our_table(result: Precision) -> list[str]:
    """Markdown lines: one attack a row, with its limits and whether they hold."""
    lines = [
        f"### Ours, {result.dtype} inputs",
        "",
        "| attack | 50k CPU s | fastest | extra MiB | 500k CPU s | extra MiB | 500k / 50k | limit at 50k | verdict |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    return [*lines, *(_our_line(attack, result) for attack in OURS), ""]


def _our_line(attack: Ours, result: Precision) -> str:
    small, large = result.small[attack.name], result.large[attack.name]
    if isinstance(small, str) or isinstance(large, str):
        return f"| {attack.name} | {small if isinstance(small, str) else large} | | | | | | | not measured |"
    limits = [f"{attack.cpu_s:g} s"] if attack.cpu_s is not None else []
    limits += [f"{attack.extra_mib:g} MiB"] if attack.extra_mib is not None else []
    verdict = "; ".join(broken(attack, small, large)) or "holds"
    return (
        f"| {attack.name} | {small.cpu_s:.4f} | {small.fastest_s:.4f} | {small.extra_mib:.1f} | {large.cpu_s:.3f} "
        f"| {large.extra_mib:.0f} | {large.cpu_s / small.cpu_s:.1f} | {', '.join(limits) or 'none'} | {verdict} |"
    )


def peer_table(result: Precision) -> list[str]:
    """Markdown lines: one peer form a row, CPU scaled where the row says so."""
    lines = [
        f"### Peer forms at 50k records, {result.dtype} inputs",
        "",
        "| form | what was timed | CPU s | extra MiB |",
        "|---|---|---|---|",
    ]
    rows = [
        f"| {row.form} | {row.condition} | {row.cost.cpu_s * row.scale:.3f} | {row.cost.extra_mib:.1f} |"
        for row in result.peers
    ]
    return [*lines, *rows, ""]


def header(machine: str, repeats: int, load: tuple[float, float]) -> list[str]:
    """Markdown lines: what was run, on what, and the limits to hold."""
    versions = f"Python {platform.python_version()}, NumPy {version('numpy')}, SciPy {version('scipy')}"
    threads = ", ".join(f"{name}={os.environ.get(name, 'unset')}" for name in THREAD_VARIABLES)
    return [
        "# Scoring speed",
        "",
        "    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONPATH=src python benchmarks/speed/scoring.py",
        "",
        f"Machine: {machine}. {versions}. Threads: {threads}.",
        f"One-minute load {load[0]:.1f} before, {load[1]:.1f} after.",
        "",
        f"{REFERENCES} references, RMIA against {POPULATION:,} population records, a seeded Gaussian-logit world with",
        "a fair coin for each record and reference.",
        f"CPU s is the median of {repeats} calls after one warm-up (`time.process_time`). Extra",
        "MiB is the `tracemalloc` peak of a separate call, beyond the inputs and with the result.",
        "",
        "Limits to hold, in this run and for both input types: any LiRA or moderated-t form 0.06 CPU-s (trended 0.08)",
        "at 50,000 records; RMIA 0.03 CPU-s and 64 MiB; at 500,000 records ten times those CPU seconds.",
        "",
    ]


def main() -> int:
    """Measure, print and write the tables; 1 if a limit does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7, help="timed calls of each function, at least 5")
    parser.add_argument("--machine", default=f"{os.cpu_count()} cores, {platform.machine()}", help="in words")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("scoring.md"))
    options = parser.parse_args()
    if options.repeats < 5 or os.environ.get("OMP_NUM_THREADS") != "1":
        parser.error("set OMP_NUM_THREADS=1, and repeat 5 times or more.")
    load = os.getloadavg()[0]
    results = [measure_precision(dtype, options.repeats) for dtype in (np.float32, np.float64)]
    lines = header(options.machine, options.repeats, (load, os.getloadavg()[0]))
    lines += [line for result in results for line in (*our_table(result), *peer_table(result))]
    text = "\n".join(lines).rstrip() + "\n"
    options.out.write_text(text)
    print(text)
    return int(any(broken(attack, r.small[attack.name], r.large[attack.name]) for r in results for attack in OURS))


if __name__ == "__main__":
    sys.exit(main())
