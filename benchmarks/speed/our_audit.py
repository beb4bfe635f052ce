"""Run one audit of ours on one subject and print one JSON line.

PYTHONPATH=src python benchmarks/speed/our_audit.py digits forest 16

Needs `unseen` installed.
"""

import contextlib
import json
import sys
from importlib.metadata import version
from typing import Any

from subjects import FPR, judge, subject, timed

import unseen


def figures(outcome: unseen.Outcome) -> dict[str, dict[str, Any]]:
    """By attack: AUC and TPR at 1 % FPR from the scores, and the intervals of those that the report gives."""
    names = [result.name for result in outcome.report.attacks if result.estimates]
    found: dict[str, dict[str, Any]] = {name: judge(outcome.scores(name), outcome.trial.member) for name in names}
    for one in outcome.estimates:
        if not one.slice and (one.quantity == "auc" or (one.quantity == "tpr" and one.fpr == FPR)):
            found[one.attack][f"{one.quantity}_interval"] = [one.low, one.high]
    return found


def main() -> None:
    """Fit the subject, audit it with default settings but for the workers, and print what was found."""
    data, model, name = sys.argv[1:]
    references, workers = int(name.split("-")[1]), 1 if name.endswith("one-process") else None
    who = subject(data, model)
    with contextlib.redirect_stdout(sys.stderr):
        outcome, times = timed(
            lambda: unseen.audit(
                who.model, who.members, who.non_members, references=references, seed=0, workers=workers
            )
        )
    attacks = figures(outcome)
    versions = {package: version(package) for package in ("scikit-learn", "numpy")}
    about = {"attack": name, "data": data, "model": model, "versions": versions}
    best = attacks[outcome.report.recommended]
    sizes = {"non_members": outcome.report.non_members, "note": f"recommended: {outcome.report.recommended}"}
    print(json.dumps(about | times | sizes | {"auc": best["auc"], "tpr": best["tpr"], "attacks": attacks}))


if __name__ == "__main__":
    main()
