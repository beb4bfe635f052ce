"""All the references an audit asked for: those kept from before, those trained now, and those that failed, by name."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from unseen.reference import Engine, ReferenceAnswers, ReferenceFailure, ReferenceTask
from unseen.references.store import ReferenceStore
from unseen.signal import Bools, Floats

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Gathered:
    """The references that can be used: `margin`, `loss` and `member (references, records)`; and how it went."""

    margin: Floats | None = field(repr=False)
    loss: Floats | None = field(repr=False)
    member: Bools = field(repr=False)
    asked: int
    reused: int
    damaged: int
    failures: dict[str, int]

    @property
    def finished(self) -> int:
        """How many references answered."""
        return int(self.member.shape[0])


def gather(task: ReferenceTask, engine: Engine, store: ReferenceStore, progress: Progress) -> Gathered:
    """Return the references of `task`, each kept as soon as it is finished, so that an interrupt loses none of them."""
    asked, records = task.inclusion.shape
    answers: dict[int, ReferenceAnswers] = {}
    for k in range(asked):
        if (kept := store.load(k, records)) is not None:
            answers[k] = kept
    reused = len(answers)
    failures: Counter[str] = Counter()
    progress(reused, asked)
    wanted = [k for k in range(asked) if k not in answers]
    for done, (k, result) in enumerate(engine.train(task, wanted) if wanted else (), start=1):
        if isinstance(result, ReferenceFailure):
            failures[f"{result.stage}: {result.error}"] += 1
        else:
            store.save(k, result)
            answers[k] = result
        progress(reused + done, asked)
    used = sorted(answers)
    return Gathered(
        margin=_stacked([answers[k].margin for k in used]),
        loss=_stacked([answers[k].loss for k in used]),
        member=_members(task, answers, used),
        asked=asked,
        reused=reused,
        damaged=store.damaged,
        failures=dict(sorted(failures.items())),
    )


def _members(task: ReferenceTask, answers: dict[int, ReferenceAnswers], used: list[int]) -> Bools:
    """Return which records each reference was trained on: its own word where it has one, else its coins."""
    member = task.inclusion[used]
    for row, k in enumerate(used):
        if (own := answers[k].member) is not None:
            member[row] = own
    return member


def _stacked(rows: list[Floats | None]) -> Floats | None:
    known = [row for row in rows if row is not None]
    return np.stack(known) if known and len(known) == len(rows) else None
