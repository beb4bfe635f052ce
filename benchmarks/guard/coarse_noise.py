"""What noise too coarse to be found is worth to who sends it: noise probing by its scale, against one query.

    OMP_NUM_THREADS=1 PYTHONPATH=. python benchmarks/guard/coarse_noise.py

`near-duplicates` finds noise of up to 0.2 a field, and no noise of 0.4 or 0.8. A model is trained on half of the
records; for each of 600 records, half of them members, an attacker asks for the label once, and of 60 copies with noise
in every field (fields scaled to 1). The score is the share of copies that keep the record's own label, 0 where the
record itself was not given it; with one query it is whether it was. What the noise is worth is the AUC of the one less
that of the other, and the same of the TPR at an FPR of 5 % (ties drawn), paired by split: 95 % t-intervals over ten
splits. Splits of one data set share records, so of the
first three worlds the intervals are too narrow for other data; of the made-up ones every split is a new world.
"""

import warnings
from concurrent.futures import ProcessPoolExecutor
from importlib.resources import files
from itertools import product

import numpy as np
import polars as pl
from scipy import stats
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import OrdinalEncoder, StandardScaler
from tests.guard.detectors import traffic

SCALES = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
COPIES, ASKED, SPLITS, MOST = 60, 300, 10, 3_000
FPR = 0.05
MODELS = {
    "network": lambda: MLPClassifier((200, 100), max_iter=300, alpha=0, random_state=0),
    "forest": lambda: RandomForestClassifier(50, random_state=0),
    "boosting": lambda: HistGradientBoostingClassifier(random_state=0),
}


def census(rng):
    table = pl.read_parquet(str(files("unseen") / "data" / "adult.parquet")).unique(maintain_order=True)
    table = table.sample(MOST, seed=int(rng.integers(2**31)))
    records = table.drop("income-per-year").to_pandas()
    return OrdinalEncoder().fit_transform(records), table["income-per-year"].to_numpy()


def made_up(features):
    def load(rng):
        world = traffic.world(int(rng.integers(2**31)), features)
        records = world.draw(rng, MOST)
        labels = world.labels(records)
        return records, np.where(rng.random(MOST) < 0.1, 1 - labels, labels)  # a tenth wrong: something to memorise

    return load


WORLDS = {
    "digits": lambda _: load_digits(return_X_y=True),
    "breast cancer": lambda _: load_breast_cancer(return_X_y=True),
    "census": census,
    "8 numbers": made_up(8),
    "32 numbers": made_up(32),
}


def split(cell):
    """What is measured of one query, and of noise of each scale, for one model of one split."""
    where, kind, seed = cell
    rng = np.random.default_rng([seed, *where.encode(), *kind.encode()])
    records, labels = WORLDS[where](rng)
    order = rng.permutation(len(records))
    records, labels = StandardScaler().fit_transform(records)[order], labels[order]
    half = len(records) // 2
    asked = min(ASKED, half // 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a network that has not converged is a model like another
        model = MODELS[kind]().fit(records[:half], labels[:half])
    targets = np.concatenate([records[:asked], records[half : half + asked]])
    own = np.concatenate([labels[:asked], labels[half : half + asked]])
    member = np.arange(len(targets)) < asked
    right = model.predict(targets) == own
    found = [measures(member, right)]
    for scale in SCALES:
        kept = sum(model.predict(targets + scale * rng.normal(size=targets.shape)) == own for _ in range(COPIES))
        found.append(measures(member, right * (1 + kept)))
    return found


def measures(member, scores):
    """AUC, and TPR at the FPR."""
    fpr, tpr, _ = roc_curve(member, scores)
    return roc_auc_score(member, scores), np.interp(FPR, fpr, tpr)


def told(gains):
    """A mean over splits, in points, with its interval."""
    mean, error = gains.mean(), stats.sem(gains)
    low, high = (mean, mean) if error == 0 else stats.t.interval(0.95, len(gains) - 1, mean, error)
    return f"{100 * mean:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def main():
    cells = list(product(WORLDS, MODELS, range(SPLITS)))
    with ProcessPoolExecutor(2) as pool:
        found = dict(zip(cells, pool.map(split, cells), strict=True))
    for number, title in enumerate(("AUC", f"TPR at {100 * FPR:g} %")):
        print(
            f"| records | model | {title} of one query | " + " | ".join(f"noise of {scale}" for scale in SCALES) + " |"
        )
        print("|---|---|---|" + "---|" * len(SCALES))
        for where, kind in product(WORLDS, MODELS):
            table = np.array([found[where, kind, seed] for seed in range(SPLITS)])[:, :, number]
            gains = " | ".join(told(column - table[:, 0]) for column in table.T[1:])
            print(f"| {where} | {kind} | {table[:, 0].mean():.3f} | {gains} |")


if __name__ == "__main__":
    main()
