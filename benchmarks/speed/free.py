"""What free references cost, and how attacks with them compare with attacks by refits.

    OMP_NUM_THREADS=1 python benchmarks/speed/free.py

For each model: as many references by refits (one process, one thread) and by the free engine, from the same coins, in
CPU seconds, the free ones as the median of three runs before, between and after; then the AUC of four attacks on the
same ten targets, each trained on a random half of the pool from coins of its own. A quarter of an hour on a quiet core.
"""

import platform
import time
from dataclasses import dataclass
from importlib.metadata import version
from statistics import median
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine, make_classification
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from unseen.attacks.lira_online import lira_online
from unseen.attacks.moderated_t_trend import moderated_t_trend
from unseen.attacks.rank_combined import rank_combined
from unseen.attacks.rmia_online import rmia_online
from unseen.reference import Engine, ReferenceAnswers, ReferenceTask
from unseen.references.free import Free
from unseen.references.inclusion import draw_inclusion, draw_seeds
from unseen.references.processes import Processes
from unseen.signal import Array
from unseen.signals.saturation import finite_bounds
from unseen.stats.roc import auc
from unseen.targets.estimator import EstimatorTarget

TARGETS, TARGET_SEED = 10, 99
ATTACKS = ("rank-combined", "moderated-t-trend", "lira-online", "rmia-online")


@dataclass(frozen=True)
class Answered:
    """Margins, losses and members, `(models, records)`; loss is None of models with scores alone."""

    margin: Array
    loss: Array | None
    member: Array


def task(model: Any, X: Array, y: Array, references: int, seed: int) -> ReferenceTask:
    target = EstimatorTarget(model.fit(X, y))
    coins, index = draw_inclusion(seed, references, y.size, 0.5), np.searchsorted(target.classes, y)
    return ReferenceTask(target, target.classes, X, y, index, coins, draw_seeds(seed, references))


def answered(engine: Engine, work: ReferenceTask) -> tuple[Answered, float]:
    """Return all references of `work`, and the CPU seconds they took."""
    started = time.process_time()
    found: dict[int, Any] = dict(engine.train(work, range(len(work.seeds))))
    seconds = time.process_time() - started
    ordered: list[ReferenceAnswers] = [found[k] for k in sorted(found)]
    margin, loss = ([getattr(one, name) for one in ordered] for name in ("margin", "loss"))
    member = [work.inclusion[k] if found[k].member is None else found[k].member for k in sorted(found)]
    whole = None if loss[0] is None else np.stack(loss).astype(float)
    return Answered(np.stack(margin).astype(float), whole, np.stack(member)), seconds


def finite(own: Array, refs: Array) -> tuple[Array, Array]:
    low, high = finite_bounds(own, refs)
    return np.clip(own, low, high), np.clip(refs, low, high)


def attacked(targets: Answered, refs: Answered) -> list[float]:
    """Return the mean AUC of each attack over the targets; NaN of those that need a loss where there is none."""
    scores: dict[str, list[float]] = {name: [] for name in ATTACKS}
    for k, had in enumerate(targets.member):
        own, others = finite(targets.margin[k], refs.margin)
        found = {
            "moderated-t-trend": moderated_t_trend(own, others, refs.member),
            "lira-online": lira_online(own, others, refs.member),
        }
        if targets.loss is not None and refs.loss is not None:
            loss, losses = finite(targets.loss[k], refs.loss)
            found["rank-combined"] = rank_combined(own, others, refs.member, loss, losses)
            found["rmia-online"] = rmia_online(loss, losses, loss, losses)
        for name, values in found.items():
            scores[name].append(auc(values, had).value)
    return [float(np.mean(values)) if values else float("nan") for values in scores.values()]


def compared(name: str, model: Any, X: Array, y: Array, references: int) -> None:
    """Print one row: both costs, their ratio, and each attack's AUC by refits and free."""
    work = task(model, X, y, references, seed=0)
    free = [answered(Free(1), work)]
    refits, seconds = answered(Processes(1), work)
    free += [answered(Free(1), work) for _ in range(2)]
    cost = median(cpu for _, cpu in free)
    targets, _ = answered(Processes(1), task(model, X, y, TARGETS, TARGET_SEED))
    pairs = zip(attacked(targets, refits), attacked(targets, free[0][0]), strict=True)
    cells = " | ".join("-" if np.isnan(one) else f"{one:.3f}, {two:.3f}" for one, two in pairs)
    print(f"| {name} | {references} | {seconds:.2f} | {cost:.2f} | {seconds / cost:.1f} | {cells} |", flush=True)


def main() -> None:
    digits, cancer, wine = (load(return_X_y=True) for load in (load_digits, load_breast_cancer, load_wine))
    table = make_classification(2000, 100, n_informative=30, n_redundant=0, n_classes=2, flip_y=0.2, random_state=0)
    forest = RandomForestClassifier(100)
    print("one thread;", platform.machine(), "Python", platform.python_version(), end="; ")
    print(", ".join(f"{name} {version(name)}" for name in ("scikit-learn", "numpy", "scipy")), end="\n\n")
    print(f"| model, table | references | refits CPU s | free CPU s | ratio | {' | '.join(ATTACKS)} |")
    print("|---|---|---|---|---|---|---|---|---|")
    scaled = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    compared("ridge classifier, 2,000 x 100", RidgeClassifier(), *table, 100)
    compared("linear discriminants, 2,000 x 100", LinearDiscriminantAnalysis(), *table, 100)
    compared("scaler and logistic regression, 2,000 x 100", scaled, *table, 100)
    compared("5 nearest neighbours, digits", KNeighborsClassifier(5), *digits, 100)
    compared("forest of 100, wine", forest, *wine, 100)
    compared("forest of 100, digits", forest, *digits, 16)
    compared("forest of 100, breast cancer", forest, *cancer, 100)
    compared("forest of 100, digits", forest, *digits, 100)


if __name__ == "__main__":
    main()
