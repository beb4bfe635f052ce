"""The whole audits of examples/real from nothing: wall time, CPU seconds and memory of all their processes.

    python benchmarks/speed/large_audit.py census adult health

Memory is the largest sum of resident bytes over the process and its workers, so pages that they share count twice.
Finished references of an earlier run are deleted first. Two workers, one thread each; XGBoost and the forest take one
thread too.
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path

from processes import Watch

EXAMPLES = Path(__file__).parents[2] / "examples" / "real"


def measure(command: list[str]) -> str:
    """Run a command; return what it took, in words."""
    started = time.monotonic()
    with subprocess.Popen(command) as process:
        watch = Watch(process.pid)
        watch.start()
        code = process.wait()
    watch.done.set()
    watch.join()
    if code:
        raise SystemExit(code)
    cpu = sum(watch.cpu.values())
    return f"{time.monotonic() - started:.0f} s wall, {cpu:.0f} CPU seconds, {watch.peak / 2**30:.2f} GiB at most"


if __name__ == "__main__":
    for name in sys.argv[1:] or ["census"]:
        shutil.rmtree(EXAMPLES / "runs" / name, ignore_errors=True)
        print(f"{name}: {measure([sys.executable, str(EXAMPLES / f'{name}.py')])}", flush=True)
