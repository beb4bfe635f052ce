"""Training speed of references: stacks against one model at a time, interleaved in one run; writes stacked.md.

    OMP_NUM_THREADS=1 PYTHONPATH=src:. python benchmarks/speed/stacked.py [--rounds 3] [--epochs 30] [--models 12]

Purchase100-like records (600 bits, 100 classes of two prototypes), an MLP 600-128-100 with tanh, Adam 3e-4, batches of
256, a random half of 20,000 records each; accuracy on 10,000 others. CPU seconds are those of all processes.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from processes import cpu_seconds
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from unseen.recipes.torch import TorchRecipe, one_thread
from unseen.reference import ReferenceTask
from unseen.references.inclusion import draw_inclusion, draw_seeds
from unseen.references.stacked import Stacked, engine
from unseen.references.stacked.layers import Pass
from unseen.references.stacked.sizes import stack_size
from unseen.references.stacked.trained import started

RECORDS, POOL, TEST = 60_000, 20_000, 10_000
COLUMNS, CLASSES, BATCH, RATE = 600, 100, 256, 3e-4
ALONE = 2  # models a round that are trained one at a time

Result = tuple[float, float, float]  # CPU seconds a model, wall seconds a model, test accuracy


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(COLUMNS, 128), nn.Tanh(), nn.Linear(128, CLASSES))


def purchase_like() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    prototypes = rng.random((CLASSES, 2, COLUMNS)) < 0.5
    labels = rng.integers(0, CLASSES, RECORDS)
    bits = prototypes[labels, rng.integers(0, 2, RECORDS)] ^ (rng.random((RECORDS, COLUMNS)) < 0.37)
    noisy = rng.random(RECORDS) < 0.02
    labels[noisy] = rng.integers(0, CLASSES, int(noisy.sum()))
    return bits.astype(np.float32), labels


def accuracy(module: nn.Module, features: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return float((module(features).argmax(dim=1) == labels).float().mean())


def with_loader(features: Tensor, labels: Tensor, epochs: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    module = mlp()
    optimizer = torch.optim.Adam(module.parameters(), RATE)
    loader = DataLoader(TensorDataset(features, labels), batch_size=BATCH, shuffle=True, drop_last=True)
    for _ in range(epochs):
        for some, truth in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(some), truth).backward()
            optimizer.step()
    return module


def in_memory(features: Tensor, labels: Tensor, epochs: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    module = mlp()
    optimizer = torch.optim.Adam(module.parameters(), RATE)
    for _ in range(epochs):
        order = torch.randperm(len(features))
        for at in order[: len(order) // BATCH * BATCH].split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(features[at]), labels[at]).backward()
            optimizer.step()
    return module


def timed(work: Callable[[], list[float]], models: int) -> Result:
    cpu, wall = cpu_seconds(), time.perf_counter()
    right = work()
    return (cpu_seconds() - cpu) / models, (time.perf_counter() - wall) / models, float(np.mean(right))


class Workload:
    """The records, the task, and each way to train its references."""

    def __init__(self, epochs: int, models: int) -> None:
        features, labels = purchase_like()
        recipe = TorchRecipe(mlp, range(CLASSES), learning_rate=RATE, epochs=epochs, batch_size=BATCH)
        coins, seeds = draw_inclusion(0, models, POOL, 0.5), draw_seeds(0, models)
        pool, truth = features[:POOL], labels[:POOL]
        self.task = ReferenceTask(recipe, np.arange(CLASSES), pool, truth, truth, coins, seeds)
        self.test = torch.from_numpy(features[-TEST:]), torch.from_numpy(labels[-TEST:])
        self.epochs, self.models = epochs, models
        self.stack = min(stack_size(recipe, torch.from_numpy(pool)), models)

    def set_epochs(self, epochs: int) -> None:
        """Train for so many epochs from now on."""
        self.epochs, self.task = epochs, replace(self.task, recipe=replace(self.task.recipe, epochs=epochs))

    def alone(self, train: Callable[..., nn.Module]) -> Result:
        """Train one after the other."""
        pool, labels = torch.from_numpy(self.task.features), torch.from_numpy(self.task.labels)

        def work() -> list[float]:
            modules = []
            for k in range(ALONE):
                rows = torch.from_numpy(self.task.inclusion[k].nonzero()[0])
                modules.append(train(pool[rows], labels[rows], self.epochs, self.task.seeds[k]))
            return [accuracy(module, *self.test) for module in modules]

        return timed(work, ALONE)

    def stacked(self) -> Result:
        """Train stacks on one thread, as the loops: without the references' answers, with the test accuracy."""

        def work() -> list[float]:
            right: dict[int, float] = {}
            for start in range(0, self.models, self.stack):
                part = range(start, min(start + self.stack, self.models))
                training = started(self.task, [(k, self.task.inclusion[k], self.task.seeds[k]) for k in part])
                training.finish()
                features = self.test[0].unsqueeze(1).expand(-1, len(part), -1)
                with torch.no_grad():
                    output = training.program(Pass(training.weights), features)
                each = (output.argmax(dim=2) == self.test[1][:, None]).float().mean(dim=0).tolist()
                right |= {member.k: one for member, one in zip(training.members, each, strict=True)}
            return [right[k] for k in range(ALONE)]

        return timed(work, self.models)

    def whole(self, workers: int) -> Result:
        """Train with the engine, signals on all records of the pool included."""

        def work() -> list[float]:
            done = list(Stacked(workers=workers).train(self.task, range(self.models)))
            return [float((answers.margin > 0).mean()) for _, answers in done]

        return timed(work, self.models)


def products(workload: Workload) -> float:
    """CPU seconds that the five matrix products of a step take, at the fastest of 30, over one model's training."""
    shapes = ((BATCH, COLUMNS, 128), (COLUMNS, BATCH, 128), (BATCH, 128, CLASSES), (128, BATCH, CLASSES))
    step = sum(_fastest(*shape) for shape in (*shapes, (BATCH, CLASSES, 128)))
    return step * workload.epochs * (POOL // 2 // BATCH)


def _fastest(rows: int, inner: int, columns: int) -> float:
    left, right, seconds = torch.randn(4, rows, inner), torch.randn(4, inner, columns), []
    for _ in range(30):
        begun = time.process_time()
        torch.bmm(left, right)
        seconds.append((time.process_time() - begun) / len(left))
    return min(seconds)


def report(rounds: list[dict[str, Result]], workload: Workload, load: str) -> str:
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"
    lines = [
        "# Training speed of stacked references\n",
        "    OMP_NUM_THREADS=1 PYTHONPATH=src:. python benchmarks/speed/stacked.py\n",
        f"{machine}; Python {platform.python_version()}, PyTorch {torch.__version__}, float32. {load}\n",
        f"{len(rounds)} interleaved rounds after a short one, {workload.epochs} epochs; {ALONE} models alone,",
        f"{workload.models} stacked, in stacks of {workload.stack} (engine: as it chooses). CPU seconds of all",
        f"processes; accuracy of the same {ALONE} training sets. Medians over rounds; ratios are taken inside a round.",
        "Worker processes were started before. The matrix products of one model's training alone take",
        f"{products(workload):.2f} CPU s at best on this machine: no engine that makes them in float32 needs less.\n",
        "| variant | CPU s a model | wall s a model | x DataLoader, CPU | x DataLoader, wall | test accuracy |",
        "|---|---|---|---|---|---|",
    ]
    for name in rounds[0]:
        cpu, wall, right = (statistics.median(one[name][part] for one in rounds) for part in range(3))
        by_cpu, by_wall = (
            statistics.median(one["DataLoader"][part] / one[name][part] for one in rounds) for part in range(2)
        )
        shown = "" if "engine" in name else f"{right:.3f}"
        lines.append(f"| {name} | {cpu:.2f} | {wall:.2f} | {by_cpu:.2f} | {by_wall:.2f} | {shown} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, usual in (("rounds", 3), ("epochs", 30), ("models", 12)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    asked = parser.parse_args()
    workload, before = Workload(asked.epochs, asked.models), os.getloadavg()[0]
    engine.START_UP_SECONDS = 0.0  # so that two workers are two, however short the run
    variants: dict[str, Callable[[], Result]] = {
        "DataLoader": lambda: workload.alone(with_loader),
        "in-memory loop": lambda: workload.alone(in_memory),
        "stacked, one thread": workload.stacked,
        "engine with signals, 1 worker": lambda: workload.whole(1),
        "engine with signals, 2 workers": lambda: workload.whole(2),
    }
    rounds = []
    full = workload.epochs
    with one_thread():
        workload.set_epochs(1)
        for run in variants.values():
            run()
        workload.set_epochs(full)
        for _ in range(asked.rounds):
            rounds.append({name: run() for name, run in variants.items()})
            print({name: tuple(round(value, 3) for value in result) for name, result in rounds[-1].items()}, flush=True)
    load = f"One-minute load {before:.1f} before, {os.getloadavg()[0]:.1f} after: a shared machine."
    text = report(rounds, workload, load)
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
