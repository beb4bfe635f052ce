"""The whole audit of examples/real/census.py from nothing: wall time, CPU time and memory of all its processes.

    python benchmarks/speed/large_audit.py

Memory is the largest sum, over the process and its workers, of the proportional set size (shared pages count once),
looked at five times a second. Finished references of an earlier run are deleted first.
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples" / "real"


def tree(root: int) -> list[int]:
    """Return the process and everything below it."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, new = [root], [root]
    while new:
        new = [child for parent in new for child in children.get(parent, [])]
        found += new
    return found


def proportional_kib(process: int) -> int:
    """Return the proportional set size of a process; 0 where it is gone."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def measure(command: list[str]) -> tuple[float, float]:
    """Run a command; return its seconds and its most memory in GiB."""
    started, most = time.monotonic(), 0
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            most = max(most, sum(proportional_kib(one) for one in tree(process.pid)))
            time.sleep(0.2)
    if process.returncode:
        raise SystemExit(process.returncode)
    return time.monotonic() - started, most / 2**20


if __name__ == "__main__":
    for name in sys.argv[1:] or ["census"]:
        shutil.rmtree(EXAMPLES / "runs" / name, ignore_errors=True)
        seconds, memory = measure([sys.executable, str(EXAMPLES / f"{name}.py")])
        print(f"{name}: {seconds:.0f} s, {memory:.2f} GiB at most", flush=True)
