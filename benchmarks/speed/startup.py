"""Start-up: `import unseen` and `unseen --help`, as whole processes, beside an interpreter that does nothing.

Run where `unseen` is installed: python benchmarks/speed/startup.py
"""

import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 11
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "python -c 'import unseen' (limit 0.3 s)": ["-c", "import unseen"],
    "unseen --help (limit 0.5 s)": ["-c", "from unseen.cli.main import app; app(['--help'])"],
}


def measure(arguments: list[str]) -> tuple[float, float]:
    """Return wall and CPU seconds of one process."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure the commands in turn, print and write the table of medians."""
    runs = {name: [] for name in COMMANDS}  # type: dict[str, list[tuple[float, float]]]
    for _ in range(RUNS + 1):
        for name, arguments in COMMANDS.items():
            runs[name].append(measure(arguments))
    lines = ["# Start-up", "", "    python benchmarks/speed/startup.py", ""]
    lines += [
        f"A shared 2-core x86-64 machine; Python {platform.python_version()}. Medians of {RUNS} runs in turn,",
        "",
    ]
    lines[-1:] = ["after one warm-up; whole processes, the interpreter's own start included.", ""]
    lines += ["| command | wall s | CPU s |", "|---|---|---|"]
    for name, found in runs.items():
        wall, cpu = (statistics.median(column) for column in zip(*found[1:], strict=True))
        lines.append(f"| {name} | {wall:.3f} | {cpu:.3f} |")
    text = "\n".join(lines) + "\n"
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
