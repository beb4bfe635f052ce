"""The attacks on two real tables, records and persons: what the audits of examples/real found, attack by attack.

    python benchmarks/speed/large_audit.py census health && PYTHONPATH=src python benchmarks/published/real.py

Reads the runs that these leave; every interval is that audit's own, as its report states it.
"""

from pathlib import Path

from unseen.estimate import Estimate
from unseen.report import AttackResult
from unseen.runs import read_run

RUNS = Path(__file__).parents[2] / "examples" / "real" / "runs"
NAMES = ("census", "health")


def main() -> None:
    for name in NAMES:
        report = read_run(RUNS / name)
        print(
            f"\n## {name}: {report.members:,} members and {report.non_members:,} non-members ({report.unit}s), ", end=""
        )
        print(f"{report.references.finished} references\n")
        rates = sorted({one.fpr for attack in report.attacks for one in attack.estimates if one.fpr is not None})
        print(f"| attack | AUC | {' | '.join(f'TPR at {100 * rate:g} %' for rate in rates)} |")
        print(f"|---|---|{'---|' * len(rates)}")
        for attack in report.attacks:
            if attack.estimates:
                print(f"| {attack.name} | {' | '.join(cells(attack, rates))} |")


def cells(attack: AttackResult, rates: list[float]) -> list[str]:
    area = next(one for one in attack.estimates if one.quantity == "auc")
    found = {one.fpr: one for one in attack.estimates if one.quantity == "tpr"}
    return [f"{area.value:.4f} [{area.low:.4f}, {area.high:.4f}]", *(rate(found.get(one)) for one in rates)]


def rate(found: Estimate | None) -> str:
    return "" if found is None else f"{100 * found.value:.3f} % [{100 * found.low:.3f}, {100 * found.high:.3f}]"


if __name__ == "__main__":
    main()
