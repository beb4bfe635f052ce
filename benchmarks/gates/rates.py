"""How often each gate blocks a clean audit, and how often it catches its flaw, over many simulated worlds.

    python benchmarks/gates/rates.py 400

One thread a worker, two workers. Worlds are those of tests/gates: half of them leak, none has a flaw of the audit.
"""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.gates.planted import balanced, case_of, changed, clean

import unseen
from unseen.gates import GATES
from unseen.stats.intervals import clopper_pearson

SIZES, REFERENCES, LEAKS = (300, 1000, 3000), (3, 8, 16), (0.0, 1.0)


def blocked(seed: int) -> list[str]:
    """Return the gates that break on a clean world."""
    case = clean(seed + 10_000, SIZES[seed % 3], REFERENCES[seed // 3 % 3], LEAKS[seed // 9 % 2])
    return [gate.name for gate in GATES if gate(case).state == "broken"]


def blocked_models(seed: int) -> list[str]:
    """Return the gates that break in the audit of a real model of made data, split at random; eight references."""
    records = (400, 1000)[seed // 4 % 2]
    X, y = make_classification(2 * records, 10, n_informative=5, flip_y=0.2, random_state=seed)
    models = (DecisionTreeClassifier(random_state=0), RandomForestClassifier(30, random_state=0))
    model = (*models, LogisticRegression(), KNeighborsClassifier(1))[seed % 4].fit(X[:records], y[:records])
    sides = (X[:records], y[:records]), (X[records:], y[records:])
    report = unseen.audit(model, *sides, references=8, workers=1, copies=2, seed=seed).report
    return [one.name for one in report.gates if one.state == "broken"]


def flawed(seed: int) -> list[str]:
    """Return which flaws were caught on worlds of 1,000 records, by name."""
    case = clean(seed, 1000, 8, 1.0)
    features = np.array(case.signals["features"])
    features[~case.member, 1] += 0.4
    listed = case.signals["ref_member"].copy()
    listed[0] = case.member
    flaws = {
        "shifted split (0.4 sd in one of four columns)": case_of(changed(case, features=features), case.member),
        "balanced references": balanced(seed, 1000),
        "a reference trained on the members": case_of(changed(case, ref_member=listed), case.member),
        "tiny n0 (80 records)": clean(seed, 80, 8, 1.0),
    }
    return [name for name, one in flaws.items() if any(gate(one).state == "broken" for gate in GATES)]


def told(worlds: int, work: Callable[[int], list[str]]) -> None:
    """Print a row for each name that `work` returns, with its exact interval."""
    found = Counter(
        name
        for names in joblib.Parallel(n_jobs=2)(joblib.delayed(work)(k) for k in range(worlds))
        for name in names or ["(none)"]
    )
    for name, count in sorted(found.items()):
        rate = clopper_pearson(count, worlds)
        share = f"{100 * rate.value:.1f} % [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"
        print(f"| {name} | {count} of {worlds} | {share} |", flush=True)


if __name__ == "__main__":
    worlds = int(sys.argv[1])
    print("clean worlds, blocked by")
    told(worlds, blocked)
    print("real models, blocked by")
    told(worlds // 4, blocked_models)
    print("planted flaws, caught")
    told(worlds // 4, flawed)
