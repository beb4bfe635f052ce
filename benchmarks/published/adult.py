"""The Adult table of docs/statistics.md: attacks on trees with few references, real records, means over eight draws.

PYTHONPATH=src OMP_NUM_THREADS=1 python benchmarks/published/adult.py
"""

from importlib.resources import files

import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.preprocessing import OrdinalEncoder

import unseen

MODELS = {"random forest": RandomForestClassifier, "histogram gradient boosting": HistGradientBoostingClassifier}
ATTACKS = (
    "loss",
    "lira-online",
    "lira-online-shared",
    "moderated-t-online",
    "moderated-t-gap",
    "moderated-t-trend",
    "base",
    "rank-combined",
    "learned",
    "learned-near",
)
MEMBERS, OTHERS, DRAWS = 1000, 3000, 8


def main() -> None:
    table = pl.read_parquet(str(files("unseen") / "data" / "adult.parquet")).unique(maintain_order=True)
    truth, records = table["income-per-year"].to_numpy(), table.drop("income-per-year").to_pandas()
    features = OrdinalEncoder().fit_transform(records)
    for references in (4, 8):
        cells = {kind: drawn(kind, features, truth, references) for kind in MODELS}
        print(f"\n| {references} references | {' | '.join(MODELS)} |\n|---|---|---|")
        for attack in ATTACKS:
            print(f"| {attack} | {' | '.join(cell(cells[kind][attack]) for kind in MODELS)} |")


def drawn(kind: str, features: np.ndarray, truth: np.ndarray, references: int) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {attack: [] for attack in ATTACKS}
    for seed in range(DRAWS):
        order = np.random.default_rng(seed).permutation(len(truth))
        members, others = order[:MEMBERS], order[MEMBERS : MEMBERS + OTHERS]
        model = MODELS[kind](random_state=seed).fit(features[members], truth[members])
        sides = [(features[side], truth[side]) for side in (members, others)]
        outcome = unseen.audit(model, *sides, references=references, workers=1, seed=seed, attacks=list(ATTACKS))
        for attack in outcome.report.attacks:
            area = next(one.value for one in attack.estimates if one.quantity == "auc")
            rate = next(one.value for one in attack.estimates if one.quantity == "tpr" and one.fpr == 0.01)
            found[attack.name].append((area, rate))
    return found


def cell(values: list[tuple[float, float]]) -> str:
    mean, error = np.mean(values, axis=0), np.std(values, axis=0, ddof=1) / np.sqrt(len(values))
    return "  ".join(f"{m:.3f} ({e:.3f})".replace("0.", ".") for m, e in zip(mean, error, strict=True))


if __name__ == "__main__":
    main()
