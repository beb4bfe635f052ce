"""CPU seconds and resident memory of a process and its descendants, read from /proc; Linux only."""

import os
import threading
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
SAMPLE_S = 0.05


def descendants(pid: int) -> list[int]:
    """Process ids below `pid`, as far as they can be read."""
    try:
        children = [int(c) for t in Path(f"/proc/{pid}/task").iterdir() for c in (t / "children").read_text().split()]
    except OSError:
        return []
    return [*children, *(below for child in children for below in descendants(child))]


def reading(pid: int) -> tuple[float, int] | None:
    """CPU seconds and resident bytes of one process, ended children not counted; None once it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / TICKS, pages * PAGE


def cpu_seconds() -> float:
    """CPU seconds of this process, of its children that have ended, and of its descendants that have not."""
    living = [found[0] for pid in descendants(os.getpid()) if (found := reading(pid)) is not None]
    return sum(os.times()[:4]) + sum(living)


class Watch(threading.Thread):
    """Samples a process and its descendants: `cpu` by process, `peak` bytes together, the most `processes` at once."""

    def __init__(self, pid: int) -> None:
        """Watch `pid`; nothing is sampled before `start`."""
        super().__init__(daemon=True)
        self.pid, self.peak, self.processes = pid, 0, 0
        self.cpu: dict[int, float] = {}
        self.done = threading.Event()

    def run(self) -> None:
        """Sample until `done` is set."""
        while not self.done.wait(SAMPLE_S):
            found = {pid: now for pid in (self.pid, *descendants(self.pid)) if (now := reading(pid)) is not None}
            self.cpu.update({pid: cpu for pid, (cpu, _) in found.items()})
            self.peak = max(self.peak, sum(resident for _, resident in found.values()))
            self.processes = max(self.processes, len(found))
