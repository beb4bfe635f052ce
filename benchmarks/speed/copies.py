"""How long copies take to find among a million rows of a hundred columns, and how much memory beyond the table's own.

    python benchmarks/speed/copies.py

One process, one thread of ours; NumPy's own threads are limited to one. CPU seconds, median of three runs.
"""

import resource
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from unseen.features.digest import row_digests
from unseen.features.near import near_copies

ROWS, PLANTED, RUNS = 1_000_000, 1000, 3


def numbers() -> Any:
    """Return a hundred columns of numbers with exact and near copies at the end."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(ROWS, 100))
    table[-PLANTED:] = table[:PLANTED]
    table[-2 * PLANTED : -PLANTED] = table[PLANTED : 2 * PLANTED] + 1e-3 * rng.normal(size=(PLANTED, 100))
    return table


def mixed() -> Any:
    """Return sixty columns of numbers, twenty of codes and twenty of words."""
    rng = np.random.default_rng(0)
    words = np.array(["north", "east", "south", "west"])
    columns = {f"number{i}": rng.normal(size=ROWS) for i in range(60)}
    columns |= {f"code{i}": rng.integers(0, 50, ROWS) for i in range(20)}
    return pl.DataFrame(columns | {f"word{i}": words[rng.integers(0, 4, ROWS)] for i in range(20)})


def told(what: str, work: Callable[[], Any]) -> Any:
    """Print the CPU seconds of some work, and how far it raised the most memory so far."""
    seconds, before = [], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(RUNS):
        started = time.process_time()
        result = work()
        seconds.append(time.process_time() - started)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    print(f"| {what} | {median(seconds):.1f} s | {grown:.2f} GiB |", flush=True)
    return result


if __name__ == "__main__":
    labels = np.zeros(ROWS, dtype=int)
    with threadpool_limits(1):
        for name, make in (("numbers", numbers), ("mixed", mixed)):
            table = make()
            digests = told(f"{name}, exact", lambda table=table: row_digests(table, labels))
            cluster = told(f"{name}, near", lambda table=table, digests=digests: near_copies(table, digests))
            print(f"  {ROWS - np.unique(cluster).size} rows are another's copy")
