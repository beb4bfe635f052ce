"""All the references an audit asked for: those kept from before, those trained now, and those that failed, by name."""

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unseen.disk import check_writable
from unseen.reference import Engine, ReferenceAnswers, ReferenceFailure, ReferenceTask
from unseen.references.spool import IN_MEMORY_BYTES, Rows, rows_of
from unseen.references.store import ARRAYS, ReferenceStore
from unseen.signal import Array, Bools, Floats

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Gathered:
    """The references that can be used: `margin`, `loss` and `member (references, records)`; and how it went.

    Arrays that are too large for memory (see `references.spool`) are read-only and mapped from files in `folder`, or
    where temporary files go; the files have no names and end with the arrays. `damaged_files` were trained again.
    `said` is what a reader should know of how the engine came to them, in this run or before it was interrupted;
    `derived` says that they are no models of their own.
    """

    margin: Floats | None = field(repr=False)
    loss: Floats | None = field(repr=False)
    member: Bools = field(repr=False)
    asked: int
    reused: int
    damaged: int
    failures: dict[str, int]
    used: tuple[int, ...] = ()
    damaged_files: tuple[str, ...] = ()
    folder: Path | None = None
    said: tuple[str, ...] = ()
    derived: bool = False

    @property
    def finished(self) -> int:
        """How many references answered."""
        return int(self.member.shape[0])


def gather(task: ReferenceTask, engine: Engine, store: ReferenceStore, progress: Progress) -> Gathered:
    """Return the references of `task`, each kept as soon as it is finished, so that an interrupt loses none of them.

    Raises `FolderError` before anything is trained where the references cannot be kept, or do not fit on the disk.
    """
    asked, records = task.inclusion.shape
    arrays = _Arrays(task, store.home)
    for k in range(asked):
        if (kept := store.load(k, records)) is not None:
            arrays.put(k, kept)
    reused = len(arrays.used)
    wanted = [k for k in range(asked) if k not in arrays.used]
    failures: Counter[str] = Counter()
    said: Sequence[str] = ()
    progress(reused, asked)
    if wanted:
        store.prepare(len(wanted), records)
    for done, (k, result) in enumerate(engine.train(task, wanted) if wanted else (), start=1):
        if isinstance(result, ReferenceFailure):
            failures[f"{result.stage}: {result.error}"] += 1
        else:
            store.note(said := getattr(engine, "said", ()))
            store.save(k, result)
            arrays.put(k, result)
        progress(reused + done, asked)
    return Gathered(
        margin=arrays.taken("margin"),
        loss=arrays.taken("loss"),
        member=arrays.member(),
        asked=asked,
        reused=reused,
        damaged=store.damaged,
        failures=dict(sorted(failures.items())),
        used=tuple(sorted(arrays.used)),
        damaged_files=tuple(store.damaged_files),
        folder=store.home,
        said=tuple(sorted({*store.notes, *said, *getattr(engine, "said", ())})),
    )


class _Arrays:
    """What references answered, row k of reference k; `used` are those that answered."""

    def __init__(self, task: ReferenceTask, folder: Path | None) -> None:
        self._inclusion = task.inclusion
        shape: tuple[int, int] = (task.inclusion.shape[0], task.inclusion.shape[1])
        total = sum(shape[0] * shape[1] * kind().itemsize for kind in ARRAYS.values())
        if total > IN_MEMORY_BYTES:
            check_writable(folder or Path(tempfile.gettempdir()), total)
        self._rows: dict[str, Rows] = {name: rows_of(shape, kind, folder, total) for name, kind in ARRAYS.items()}
        self._given = {name: set[int]() for name in ARRAYS}
        self.used = set[int]()

    def put(self, k: int, answers: ReferenceAnswers) -> None:
        self.used.add(k)
        for name, rows in self._rows.items():
            if (array := getattr(answers, name)) is not None:
                rows.put(k, array)
                self._given[name].add(k)

    def taken(self, name: str) -> Array | None:
        """Return an array of all that answered; None where one of them did not give it."""
        whole = self.used and self._given[name] == self.used
        return self._rows[name].taken(sorted(self.used)) if whole else None

    def member(self) -> Bools:
        """Return which records each reference was trained on: its own word where it has one, else its coins."""
        for k in self.used - self._given["member"]:
            self._rows["member"].put(k, self._inclusion[k])
        return self._rows["member"].taken(sorted(self.used))
