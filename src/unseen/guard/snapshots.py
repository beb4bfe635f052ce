"""Snapshots: every worker's counts, in small files, so that one worker can tell of all.

Each worker writes its own every `EVERY_S` seconds; the one that has the admin API reads the others'. A worker that
died begins again at zero, as its file says: whoever adds them up over time must treat each worker as its own.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from unseen.disk import write_whole
from unseen.errors import FolderError
from unseen.guard.counts import Snapshot

EVERY_S = 5.0


def path_of(folder: Path, worker: int) -> Path:
    """Return where the counts of a worker stand."""
    return folder / "counts" / f"worker-{worker}.json"


async def keep_writing(folder: Path, worker: int, counted: Callable[[], Snapshot]) -> None:
    """Write a worker's counts for ever, in a thread: requests do not wait for the disk. A full disk is no failure."""
    while True:
        with suppress(FolderError):
            await asyncio.to_thread(write_whole, path_of(folder, worker), msgspec.json.encode(counted()))
        await asyncio.sleep(EVERY_S)


def others(folder: Path, workers: int, own: int = 0) -> dict[int, Snapshot]:
    """Return the counts of the other workers of a guard, as they last wrote them."""
    found = {}
    for worker in range(workers):
        if worker != own:
            with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
                found[worker] = msgspec.json.decode(path_of(folder, worker).read_bytes(), type=Snapshot)
    return found
