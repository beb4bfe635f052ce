"""Costing: what the references of a plan would take in time, memory and disk, from training a few of them here.

A worker that measures loads this file, and must weigh what an engine's own workers weigh: so what reads plans and makes
pools is imported where it is used.
"""

import copy
import math
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import msgspec
from joblib.externals.loky import ProcessPoolExecutor  # as the engine's own workers are

from unseen.disk import size_of
from unseen.errors import PlanError, TargetFailed
from unseen.plan import Plan, read_plan
from unseen.reference import Engine, ReferenceAnswers, ReferenceFailure, ReferenceTask, some_of
from unseen.references.automatic import Automatic
from unseen.references.processes import Processes
from unseen.references.store import ReferenceStore

if TYPE_CHECKING:
    from unseen.options import Options

ONE_BY_ONE = ((0,), (1,), (2,))  # references to measure, batch by batch
TOGETHER = ((0, 1), (2, 3, 4, 5))  # where an engine makes several at once, for less than each by itself
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # one each, as in an engine's worker
STATUS = Path("/proc/self/status")  # of Linux: the peak is that of this program, not also of the one that started it


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What training some references together took: by the clock and of all processors, in seconds."""

    references: int
    wall_seconds: float
    cpu_seconds: float


class Gpu(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The GPUs that PyTorch sees, and the most memory that a worker's tensors held on them; none: `count` is 0."""

    count: int = 0
    name: str = ""
    peak_bytes: int = 0


class Measured(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one fresh worker process measured: batches in their order, its start-up, peak memory, and a file's size.

    `gpu` is None where the recipe loads no PyTorch, and `peak_bytes` where the system does not say.
    """

    batches: tuple[Batch, ...]
    start_seconds: float
    peak_bytes: int | None
    disk_bytes: int
    gpu: Gpu | None = None


class Cost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `references` references take on `workers` of `processors`; pairs are the least and the most.

    They are extrapolated from `trained` references, and are the range of what was seen: no confidence interval.
    `fewest` is how many references an adaptive audit asks for before it may stop.
    """

    references: int
    fewest: int
    workers: int
    processors: int
    trained: int
    start_seconds: float
    wall_seconds_each: tuple[float, float]
    cpu_seconds_each: tuple[float, float]
    wall_seconds: tuple[float, float]
    cpu_seconds: tuple[float, float]
    peak_bytes_worker: int | None
    peak_bytes: int | None
    disk_bytes_each: int
    disk_bytes: int
    most_seconds: float | None = None
    gpu: Gpu | None = None

    def sentences(self) -> list[str]:
        """Return the cost for people, one sentence each, and how far it may be believed."""
        found = [*self._times(), self._memory(), self._disk(), self._gpu()]
        if self.fewest < self.references:
            found.append(f"The audit is adaptive: it may stop after {self.fewest} of them, and then saves the rest.")
        if self.most_seconds is not None and self.most_seconds < self.wall_seconds[1]:
            found.append(f"The plan's max_time ends the training after {_time(self.most_seconds)}, with what is there.")
        trained = f"{self.trained} references trained here"
        found.append(f"Extrapolated from {trained}; the ranges are what was seen, not confidence intervals.")
        return [*found, "Workers that share caches and memory are slower than one alone, and so is a busy machine."]

    def _times(self) -> list[str]:
        who = f"{self.references} references on {self.workers} workers ({self.processors} processors here)"
        wall, cpu = _times(self.wall_seconds_each), _times(self.cpu_seconds_each)
        return [
            f"{who} take {_times(self.wall_seconds)}, and {_times(self.cpu_seconds)} of processor time.",
            f"Each takes one worker {wall}, {cpu} of processor time; workers start in {_time(self.start_seconds)}.",
        ]

    def _disk(self) -> str:
        each = size_of(self.disk_bytes_each)
        return f"Disk: {each} a reference, {size_of(self.disk_bytes)} in all, where they are kept."

    def _memory(self) -> str:
        if self.peak_bytes_worker is None or self.peak_bytes is None:
            return "Memory: this system does not say what a worker took."
        return (
            f"Memory: a worker takes up to {size_of(self.peak_bytes_worker)}, all of them up to "
            f"{size_of(self.peak_bytes)}; what they share of the table is counted in each."
        )

    def _gpu(self) -> str:
        if self.gpu is None:
            return "GPU: none is used; the recipe does not load PyTorch."
        if self.gpu.count == 0:
            return "GPU: PyTorch sees none here; the figures are this machine's processors'."
        if self.gpu.peak_bytes == 0:
            return f"GPU: {self.gpu.count} ({self.gpu.name}), and the recipe uses none."
        return (
            f"GPU: {self.gpu.count} ({self.gpu.name}); the times are of one, and a worker's tensors take up to "
            f"{size_of(self.gpu.peak_bytes)} there."
        )


def cost_of_plan(path: str | Path, *, references: int | None = None, trust: bool = False) -> Cost:
    """Return what the references of a plan take, or `references` of them; nothing is audited and nothing is kept.

    `trust` is that of `audit_plan`. Raises `UnseenError`; `PlanError` where the plan trains no references.
    """
    from unseen.options import quiet
    from unseen.planned import plan_options
    from unseen.stopping import ration

    path = Path(path)
    plan, home = read_plan(path), path.resolve().parent
    options = plan_options(plan, home, home, quiet)
    options = options if references is None else replace(options, references=references)
    if options.references == 0:
        raise PlanError(
            "the plan asks for no references, so nothing is trained: say --references 16, or another number."
        )
    first = ration(options.references, adaptive=options.adaptive).at[0]
    measured = measure_cost(task_of_plan(plan, home, options, trust=trust), options.engine)
    workers, processors = plan.references.workers or joblib.cpu_count(), joblib.cpu_count()
    cost = extrapolate(measured, options.references, workers, processors)
    return msgspec.structs.replace(
        cost, fewest=first, most_seconds=None if math.isinf(options.seconds) else options.seconds
    )


def extrapolate(measured: Measured, references: int, workers: int, processors: int) -> Cost:
    """Return the cost of so many references: pure arithmetic.

    At most as many workers as processors or references are at work at once, each on its share of them; the most counts
    the start of the workers too, which small trainings do without.
    """
    wall = _range([batch.wall_seconds / batch.references for batch in measured.batches])
    cpu = _range([batch.cpu_seconds / batch.references for batch in measured.batches])
    working = min(workers, processors, references)
    rounds, start = math.ceil(references / working), measured.start_seconds if working > 1 else 0.0
    peak = measured.peak_bytes
    return Cost(
        references=references,
        fewest=references,
        workers=workers,
        processors=processors,
        trained=sum(batch.references for batch in measured.batches),
        start_seconds=measured.start_seconds,
        wall_seconds_each=wall,
        cpu_seconds_each=cpu,
        wall_seconds=(rounds * wall[0], rounds * wall[1] + start),
        cpu_seconds=(references * cpu[0], references * cpu[1]),
        peak_bytes_worker=peak,
        peak_bytes=None if peak is None else peak * min(workers, references),
        disk_bytes_each=measured.disk_bytes,
        disk_bytes=measured.disk_bytes * references,
        gpu=measured.gpu,
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def task_of_plan(plan: Plan, home: Path, options: "Options", *, trust: bool) -> ReferenceTask:
    """Return the task that an audit of this plan would hand to its engine, on the real pool."""
    from unseen.auditing import check_asked
    from unseen.measuring import unit_of_residuals
    from unseen.models import recipe_of
    from unseen.planned import materials
    from unseen.pool import assemble
    from unseen.queries import image_copies
    from unseen.training import Answering, reference_task

    if plan.target is None or plan.data is None:
        raise PlanError("only a plan with [target] and [data] trains references; an audit of [answers] trains none.")
    target, members, non_members, population, options = materials(
        plan, home, replace(options, folder=None), trust=trust
    )
    check_asked(target, members, [non_members, *([] if population is None else [population])], options)
    recipe = recipe_of(options.recipe, target)
    if recipe is None:
        raise PlanError("nothing says how to train models like this one: the plan needs a [recipe].")
    pool = assemble(members, non_members, population, target.classes, options.rule)
    scale = None if target.classes.size else unit_of_residuals(target.answer(pool.features), pool)
    return reference_task(recipe, Answering(target.classes, scale), pool, image_copies(options.image, pool), options)[0]


def measure_cost(task: ReferenceTask, engine: Engine) -> Measured:
    """Train the first few references of `task` in one fresh worker process, and return what that took.

    An engine that knows no workers, such as a cluster, is stood in for by one worker of this machine. Raises
    `TargetFailed` where no reference can be trained.
    """
    alone = _alone(engine)
    count = task.inclusion.shape[0]
    plan = TOGETHER if _together(alone, task) else ONE_BY_ONE
    batches = [kept for batch in plan if (kept := [k for k in batch if k < count])]
    asked = time.time()
    with ProcessPoolExecutor(max_workers=1, env=dict.fromkeys(THREADS, "1")) as fresh:
        began, found = fresh.submit(_measured, task, alone, batches).result()
    if isinstance(found, ReferenceFailure):
        raise TargetFailed(
            f"no reference could be trained ({found.stage}: {found.error.rstrip('.')}). Messages that may "
            "quote records are withheld."
        )
    return msgspec.structs.replace(found, start_seconds=max(began - asked, 0.0))


def _alone(engine: Engine) -> Engine:
    """Return the same engine with one worker."""
    if not hasattr(engine, "workers"):
        return Automatic(1)
    one: Any = copy.copy(engine)
    one.workers = 1
    return one


def _together(engine: Engine, task: ReferenceTask) -> bool:
    if isinstance(engine, Automatic):
        return hasattr(task.recipe, "stackable")
    return not isinstance(engine, Processes)


def _measured(
    task: ReferenceTask, engine: Engine, batches: Sequence[Sequence[int]]
) -> tuple[float, Measured | ReferenceFailure]:
    """Return when this began, seconds since 1970, and what the batches took in this process."""
    began, taken, answers, failure = time.time(), [], None, ReferenceFailure("engine", "nothing")
    for batch in batches:
        wall, cpu = time.perf_counter(), _cpu_seconds()
        outcomes = [outcome for _, outcome in engine.train(some_of(task, batch), range(len(batch)))]
        one = Batch(len(batch), time.perf_counter() - wall, _cpu_seconds() - cpu)
        for outcome in outcomes:
            if isinstance(outcome, ReferenceFailure):
                failure = outcome
            else:
                answers = outcome
        if any(isinstance(outcome, ReferenceAnswers) for outcome in outcomes):
            taken.append(one)
    if answers is None:
        return began, failure
    return began, Measured(tuple(taken), 0.0, _peak_bytes(), _bytes_of(answers), _gpu())


def _cpu_seconds() -> float:
    """Return the processor time of this process and of those that it started and that ended."""
    return sum(os.times()[:4])


def _peak_bytes() -> int | None:
    """Return the most memory that this process has held, or None where the system does not say."""
    try:
        lines = STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return _peak_of_posix()
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), None)


def _peak_of_posix() -> int | None:
    try:
        import resource  # no Windows has it
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most) if sys.platform == "darwin" else 1024 * int(most)


def _bytes_of(answers: ReferenceAnswers) -> int:
    """Return the size of the file that keeps one reference: 4 bytes a signal and record, and what is around them."""
    with tempfile.TemporaryDirectory() as folder:
        ReferenceStore(Path(folder), "cost").save(0, answers)
        return sum(path.stat().st_size for path in Path(folder).rglob("reference-*"))


def _gpu() -> Gpu | None:
    """Return the GPUs that this process could use; None where it has loaded no PyTorch."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    if not torch.cuda.is_available():
        return Gpu()
    count = torch.cuda.device_count()
    peak = max(torch.cuda.max_memory_allocated(device) for device in range(count))
    return Gpu(count, torch.cuda.get_device_name(0), int(peak))


def _times(seconds: tuple[float, float]) -> str:
    low, high = map(_time, seconds)
    return low if low == high else f"{low} to {high}"


def _time(seconds: float) -> str:
    """Return a time for people, in two parts at most.

    >>> [_time(seconds) for seconds in (0.0004, 0.25, 59.96, 3599.9, 5460.0, 200_000.0)]
    ['under 0.01 s', '0.25 s', '1 min', '1 h', '1 h 31 min', '2 d 8 h']
    """
    if seconds < 0.01:
        return "under 0.01 s"
    if seconds < 59.95:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    for name, unit, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if (parts := round(seconds / part)) * part >= unit:
            whole, rest = divmod(parts, unit // part)
            return f"{whole} {name}{f' {rest} {smaller}' if rest else ''}"
    return f"{seconds:.0f} s"
