"""A whole audit of a PyTorch network, training to report: 64 references, 20,000 records, two workers.

    OMP_NUM_THREADS=1 PYTHONPATH=src:benchmarks/published python benchmarks/speed/end_to_end.py

The table and the network are those of `stacked.py`: 600 bits, 100 classes, MLP 600-128-100, 10,000 rows, 30 epochs.
"""

import resource
import time
from collections import defaultdict

from torch import nn
from worlds import purchase_like

import unseen
from unseen.auditing import audit_records
from unseen.models import as_engine, as_target
from unseen.options import Options
from unseen.recipes.torch import TorchRecipe
from unseen.records import as_records

REFERENCES, MEMBERS = 64, 10_000


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(600, 128), nn.Tanh(), nn.Linear(128, 100))


def main() -> None:
    """Audit once, and print the seconds of each part."""
    table = purchase_like()
    X, y = table.features[: 2 * MEMBERS], table.labels[: 2 * MEMBERS]
    recipe = TorchRecipe(network, classes=range(100), learning_rate=3e-4, epochs=30, batch_size=256)
    target = recipe.refit(X[:MEMBERS], y[:MEMBERS], 0)
    began, cpu, last = time.perf_counter(), _cpu(), defaultdict(float)

    def progress(what: str, done: int, of: int) -> None:  # noqa: ARG001 - how an audit calls it
        last[what] = time.perf_counter() - began

    options = Options(references=REFERENCES, recipe=recipe, engine=as_engine("auto", 2), progress=progress)
    sides = ((X[:MEMBERS], y[:MEMBERS]), (X[MEMBERS:], y[MEMBERS:]))
    members, others = (as_records(part, "records") for part in sides)
    outcome = audit_records(as_target(target), members, others, None, options)
    print(
        f"unseen {unseen.__version__}: {time.perf_counter() - began:.1f} s, {_cpu() - cpu:.1f} CPU s, {outcome.state}"
    )
    print(", ".join(f"{what} until {seconds:.1f} s" for what, seconds in last.items()))


def _cpu() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


if __name__ == "__main__":
    main()
