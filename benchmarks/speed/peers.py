r"""Whole audits side by side with other tools: time, memory and attack quality on small scikit-learn models.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
        python benchmarks/speed/peers.py --peers-python PEERS/bin/python --rounds 3

Run it where `unseen` is installed. PEERS is a virtual environment of its own: `pip install torch==2.13.0`, then
`pip install sacroml==2.0.1 adversarial-robustness-toolbox==1.20.1 packaging`. Every attack runs in a fresh process,
in rounds. Rows are appended to `peers.jsonl`, and `peers.md` is written from all of them.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from processes import Watch
from subjects import DATA, MODELS

HERE = Path(__file__).parent
PEER_ATTACKS = ("art-black-box", "art-shadow", "sacroml-worst-case", "sacroml-lira-offline", "sacroml-lira-online")
OUR_AUDITS = ("unseen-16-one-process", "unseen-64-one-process", "unseen-16", "unseen-64")
MIB = 2.0**20

Row = dict[str, Any]


def run(command: Sequence[str]) -> Row:
    """Run one script, and return its JSON line with the process's wall and CPU seconds and peak memory.

    CPU counts descendants: the larger of what the system charged to ended children and what was sampled.
    """
    load, start = os.getloadavg()[0], time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        watch = Watch(process.pid)
        watch.start()
        before = os.times()
        output, errors = process.communicate()
        after = os.times()
        watch.done.set()
    wall = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"{' '.join(command)} exited {process.returncode}: {errors.strip().splitlines()[-1:]}")
    charged = after.children_user + after.children_system - before.children_user - before.children_system
    measured = {"wall_s": wall, "cpu_s": max(charged, sum(watch.cpu.values())), "peak_mib": watch.peak / MIB}
    found: Row = json.loads(output.strip().splitlines()[-1])
    return found | measured | {"processes": watch.processes, "load": load}


def commands(peers_python: str | None, our_python: str | None) -> Iterable[list[str]]:
    """Every command of one round; an interpreter that is not given is skipped."""
    subjects = [[data, model] for data in DATA for model in MODELS]
    if peers_python:
        script = str(HERE / "peer_attacks.py")
        yield from ([peers_python, script, *who, attack] for who in subjects for attack in PEER_ATTACKS)
    if our_python:
        script = str(HERE / "our_audit.py")
        yield from ([our_python, script, *who, audit] for who in subjects for audit in OUR_AUDITS)


def read_rows(path: Path) -> list[Row]:
    """The rows measured so far."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def grouped(rows: list[Row]) -> dict[tuple[str, str], dict[str, list[Row]]]:
    """Rows by subject and then by attack, in the order of the constants above."""
    order = [*PEER_ATTACKS, *OUR_AUDITS]
    return {
        (data, model): {name: same for name in order if (same := _of(rows, data, model, name))}
        for data in DATA
        for model in MODELS
    }


def _of(rows: list[Row], data: str, model: str, attack: str) -> list[Row]:
    return [row for row in rows if (row["data"], row["model"], row["attack"]) == (data, model, attack)]


def subject_table(attacks: dict[str, list[Row]]) -> list[str]:
    """Markdown lines for one subject: one tool's attack a row, medians over the rounds."""
    columns = "attack, wall s, CPU s, process wall s, process CPU s, peak MiB, AUC, TPR at 1 %, non-members, note"
    head = [f"| {columns.replace(', ', ' | ')} |", "|---" * 10 + "|"]
    return [*head, *(_subject_line(name, rows) for name, rows in attacks.items())]


def _subject_line(name: str, rows: list[Row]) -> str:
    keys = ("attack_wall_s", "attack_cpu_s", "wall_s", "cpu_s")
    times = " | ".join(f"{_median(rows, key):.2f}" for key in keys)
    auc, tpr = _spread(rows, "auc"), _spread(rows, "tpr")
    notes = [f"{len(rows)} runs"] if len(rows) != 3 else []
    notes += [rows[0]["note"]] if "note" in rows[0] else []
    notes += [f"own AUC {_spread(rows, 'own_auc')}"] if "own_auc" in rows[0] else []
    notes += [f"load {_median(rows, 'load'):.1f}"] if "load" in rows[0] else []
    notes += [f"{rows[0]['processes']} processes"] if rows[0]["processes"] > 1 else []
    peak = f"{_median(rows, 'peak_mib'):.0f}"
    return f"| {name} | {times} | {peak} | {auc} | {tpr} | {rows[0]['non_members']:.0f} | {'; '.join(notes)} |"


def _median(rows: list[Row], key: str) -> float:
    return float(statistics.median(row[key] for row in rows))


def _spread(rows: list[Row], key: str) -> str:
    """One value, or the least and the most where the runs differ."""
    low, high = min(row[key] for row in rows), max(row[key] for row in rows)
    return f"{low:.3f}" if f"{low:.3f}" == f"{high:.3f}" else f"{low:.3f}-{high:.3f}"


def our_attacks_table(rows: list[Row]) -> list[str]:
    """Markdown lines: every attack in our last report of each kind on one subject, with the intervals it gives."""
    lines = ["| audit | attack | AUC | TPR at 1 % |", "|---|---|---|---|"]
    for name in OUR_AUDITS[-2:]:  # the number of processes changes no score
        for row in [row for row in rows if row["attack"] == name][-1:]:
            for attack, found in row["attacks"].items():
                auc, tpr = (_with_interval(found, key) for key in ("auc", "tpr"))
                lines.append(f"| {name} | {attack} | {auc} | {tpr} |")
    return lines


def _with_interval(found: Row, key: str) -> str:
    interval = found.get(f"{key}_interval")
    return f"{found[key]:.3f}" + ("" if interval is None else " ({:.3f} to {:.3f})".format(*interval))


def document(rows: list[Row], machine: str, note: str) -> str:
    """The whole Markdown page."""
    versions = sorted({f"{name} {number}" for row in rows for name, number in row["versions"].items()})
    lines = [
        "# Whole audits beside other tools",
        "",
        *(line.removeprefix("    ") for line in COMMAND),
        "",
        f"Machine: {machine}. Python {platform.python_version()}, {', '.join(versions)}.",
        *CONDITIONS,
        *([f"- {note}"] if note else []),
        "",
    ]
    for (data, model), attacks in grouped(rows).items():
        lines += [f"## {data}, {model}", "", *subject_table(attacks), ""]
        ours = [row for name, found in attacks.items() if name.startswith("unseen") for row in found]
        lines += [*our_attacks_table(ours), ""] if ours else []
    return "\n".join(lines).rstrip() + "\n"


COMMAND = (
    "        OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \\",
    "            python benchmarks/speed/peers.py --peers-python PEERS/bin/python --rounds 3",
)
CONDITIONS = (
    "Threads: OMP_NUM_THREADS=1 and OPENBLAS_NUM_THREADS=1 for every tool; each tool's own number of processes.",
    "",
    "- Subjects: digits (1,797 records) and breast cancer (569), features standardised, a seeded random half members;",
    "  `RandomForestClassifier()` and `MLPClassifier(hidden_layer_sizes=(100,), max_iter=500)`, `random_state=0`.",
    "- wall s and CPU s: the attack alone, in the tool's default settings, reports included. Process wall and",
    "  CPU: start to end, with imports and the fit of the target. CPU counts child processes. Medians of the rounds.",
    "  Load, where noted, is the machine's one-minute load as the run began: over 2, others' work inflates the times.",
    "- Peak MiB: resident memory of all the tool's processes together, sampled every 50 ms; shared pages count once",
    "  for each process.",
    "- AUC and TPR at 1 % FPR are computed from every tool's scores, ours too, by `judge` in `subjects.py`: ties",
    "  half for AUC; for TPR a step, the largest at an achieved FPR of at most 1 %. A range is the least and the most",
    "  of the rounds, where the tool does not repeat. Own AUC is the tool's figure; sacroml gives no TPR at 1 %. In",
    "  the tables of our attacks an interval is the report's, at 95 %; our report refuses a TPR at 1 % FPR with fewer",
    "  than 1,000 non-members, and so gives no interval for it here.",
    "- sacroml's LiRA trains 100 shadow models on halves of all records; ours refits 16 or 64 references on halves, in",
    "  one process like the other tools, and by default in one for each core. Each of our rows is an audit with every",
    "  attack of its second table; its AUC and TPR are those of the attack that the report recommends.",
    "- sacroml's times include the PDF and JSON it writes by default; ART and ours return a result and write nothing.",
    "- ART and WorstCase score part of the records (the column of non-members says how many), ART's first attack after",
    "  learning from the other true members. At 1 % FPR that is 0 to 9 false positives: read TPR with that in mind.",
)


def main() -> None:
    """Run the rounds asked for, append their rows, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peers-python", help="interpreter of the other tools' environment; none: skip them")
    parser.add_argument("--our-python", default=sys.executable, help="interpreter of ours; empty: skip it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--machine", default=f"{os.cpu_count()} cores, {platform.machine()}", help="in words")
    parser.add_argument("--note", default="", help="a sentence for the page on how this run went")
    parser.add_argument("--rows", type=Path, default=HERE / "peers.jsonl")
    parser.add_argument("--out", type=Path, default=HERE / "peers.md")
    options = parser.parse_args()
    for _ in range(options.rounds):
        for command in commands(options.peers_python, options.our_python):
            row = run(command)
            with options.rows.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{row['attack']} {row['data']} {row['model']} {row['cpu_s']:.1f} CPU s", flush=True)
    options.out.write_text(document(read_rows(options.rows), options.machine, options.note))


if __name__ == "__main__":
    main()
