"""Stopping: references are gathered in steps, until a verdict is settled, time is up, or all are there.

What may be concluded early. With k references an attacker does so much; one with more can do that too, by leaving the
rest aside. So "over a limit" and "above chance" stay true whatever the references still to come would say, and they
settle the audit. "Within" and "not found" speak of a weaker attacker than the one asked for: they settle nothing, and
only all references decide them. A report that stopped early understates the strongest attacker, and says so.

What it costs. Every look is one more chance to be wrong, so each has a share of the report's one error budget
(`stats.spending`), and the report is written with the share of the look that it was stopped at. Shares that were not
spent by the last look are the last look's. A stop by the clock spends nothing: the clock knows no scores.
"""

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from unseen.attack import Attack
from unseen.errors import PlanError
from unseen.estimating import ERROR_BUDGET
from unseen.judgement import judge
from unseen.options import Options, quiet
from unseen.reference import Engine, ReferenceAnswers, ReferenceFailure, ReferenceTask
from unseen.references.gather import Gathered, Progress, gather
from unseen.references.store import ReferenceStore
from unseen.report import LEAK, ReferenceFacts
from unseen.signal import Array
from unseen.slicing import Slice
from unseen.stats.spending import looks, spending
from unseen.trial import Trial

FEWEST = 2  # references, below which there is no spread to judge by
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}

Outcome = tuple[int, ReferenceAnswers | ReferenceFailure]
Clock = Callable[[], float]
Settled = Callable[[Gathered, float], str | None]


@dataclass(frozen=True)
class Ration:
    """What may be spent on references: the counts `at` which to look, the last being all, and `seconds` of training."""

    at: tuple[int, ...]
    seconds: float = math.inf
    budget: float = ERROR_BUDGET

    def __post_init__(self) -> None:
        if not self.at or list(self.at) != sorted(set(self.at)):
            raise ValueError(f"a ration needs one look or more, ascending, got {list(self.at)}.")


@dataclass(frozen=True)
class Stopped:
    """Where the gathering ended: references `asked`, `used` and the `most` there could have been.

    `level` is the error that the report may spend, `spent` what the looks before took; together at most the budget.
    `reason` is why no more were needed, empty otherwise; `late` says that the clock ended it.
    """

    asked: int
    used: int
    most: int
    level: float
    spent: float = 0.0
    looks: int = 1
    reason: str = ""
    late: bool = False

    @property
    def saved(self) -> int:
        """How many references were not asked for."""
        return self.most - self.asked

    def notes(self) -> list[str]:
        """Return what a reader of the report should know of it, one sentence each; none where all were asked at once.

        >>> Stopped(asked=4, used=4, most=64, level=0.0025, reason="over the limit, AUC at most 0.6").notes()[0]
        'settled with 4 of at most 64 references, 4 of them used and 60 saved: over the limit, AUC at most 0.6.'
        """
        if self.reason:
            return [*self._settled(), "an attacker with more references can do better than the numbers here."]
        found = []
        if self.late:
            found.append(
                f"training stopped at its time limit with {self.asked} of {self.most} references, {self.used} of them "
                "used; the clock knows no scores, so no error is spent on it."
            )
        if self.looks > 1:
            found.append(
                f"{self.looks - 1} looks with fewer references settled nothing and spent {self.spent:.2%} of the error "
                f"budget of 5 %; this report is judged at the {self.level:.2%} left."
            )
        return found

    def _settled(self) -> list[str]:
        counts = f"{self.asked} of at most {self.most} references, {self.used} of them used and {self.saved} saved"
        shares = f"this report is judged at {self.level:.2%} of error, the looks before spent {self.spent:.2%}"
        return [f"settled with {counts}: {self.reason}.", f"look {self.looks}: {shares}, of a budget of 5 % for all."]


def ration(most: int, *, adaptive: bool, seconds: float = math.inf) -> Ration:
    """Return the ration of an audit of `most` references: one look at all of them, or several where it is adaptive."""
    return Ration(looks(most) if adaptive else (most,), seconds)


def gather_until(
    task: ReferenceTask,
    engine: Engine,
    store: ReferenceStore,
    progress: Progress,
    given: Ration,
    settled: Settled,
    clock: Clock = time.monotonic,
) -> tuple[Gathered, Stopped]:
    """Return the references of the first look that settles the audit, or of the last, and where that was.

    `task` has all references that there could be; row k of its coins and its seed do not depend on how many. At each
    look but the last, `settled(gathered, level)` gives the reason why no more are needed, at an error of `level`, or
    None.
    """
    task = replace(task, cuts=given.at[:-1])
    timed, most, spent = Timed(engine, given.seconds, clock), given.at[-1], 0.0
    once = Once(timed, remember=len(given.at) > 1 and store.home is None)
    for look, (count, level) in enumerate(zip(given.at, spending(given.at, given.budget), strict=True), start=1):
        gathered = gather(_first(task, count), once, store, lambda done, _: progress(done, most))
        tried = gathered.finished + sum(gathered.failures.values())
        late = timed.left <= 0 and tried < most
        asked = min(tried, count) if late else count
        gathered = replace(gathered, asked=asked, reused=gathered.finished - once.trained)
        if count == most or late:
            break
        if (reason := settled(gathered, level)) is not None:
            return gathered, Stopped(asked, gathered.finished, most, level, spent, look, reason)
        spent += level
    return gathered, Stopped(asked, gathered.finished, most, given.budget - spent, spent, look, late=late)


def _first(task: ReferenceTask, count: int) -> ReferenceTask:
    return replace(task, inclusion=task.inclusion[:count], seeds=task.seeds[:count])


class Once:
    """An engine that trains no reference twice, failed ones included, however often it is asked for them.

    Answers are kept in memory where it is to `remember` them, as where no store does.
    """

    def __init__(self, engine: "Timed", *, remember: bool = True) -> None:
        self.engine, self.remember = engine, remember
        self.known: dict[int, ReferenceAnswers | ReferenceFailure] = {}
        self.answered = set[int]()

    @property
    def said(self) -> Sequence[str]:
        """What the engine says that a reader should know."""
        return self.engine.said

    @property
    def trained(self) -> int:
        """How many it has trained that answered."""
        return len(self.answered)

    def train(self, task: ReferenceTask, wanted: Sequence[int]) -> Iterator[Outcome]:
        """Yield each wanted reference: those known from before, and then the others as they finish."""
        yield from ((k, self.known[k]) for k in wanted if k in self.known)
        missing = [k for k in wanted if k not in self.known]
        for k, outcome in self.engine.train(task, missing) if missing else ():
            if isinstance(outcome, ReferenceAnswers):
                self.answered.add(k)
            if self.remember or isinstance(outcome, ReferenceFailure):
                self.known[k] = outcome
            yield k, outcome


class Timed:
    """An engine that trains for so many seconds in all, over all that it is asked for; what it trains is the same."""

    def __init__(self, engine: Engine, seconds: float, clock: Clock = time.monotonic) -> None:
        self.engine, self.left, self.clock = engine, seconds, clock

    @property
    def said(self) -> Sequence[str]:
        """What the engine says that a reader should know, if it ever says anything."""
        return list(getattr(self.engine, "said", ()))

    def train(self, task: ReferenceTask, wanted: Sequence[int]) -> Iterator[Outcome]:
        """Yield wanted references as they finish, until the time is spent and two references are there."""
        there, started = task.inclusion.shape[0] - len(wanted), self.clock()
        try:
            yield from within(self.engine.train(task, wanted), self.left, self.clock, FEWEST - there, self._ready)
        finally:
            self.left -= self.clock() - started

    def _ready(self) -> int:
        return getattr(self.engine, "ready", 0)


def within(
    outcomes: Iterator[Outcome],
    seconds: float,
    clock: Clock = time.monotonic,
    least: int = FEWEST,
    ready: Callable[[], int] = lambda: 0,
) -> Iterator[Outcome]:
    """Yield outcomes until `seconds` are spent and `least` of them are answers; then ask no more, and end the engine.

    What is `ready`, trained already and not handed on, is taken all the same.

    It runs over by what was in the making when the time was spent: one reference or one stack of them, and the start
    of worker processes.
    """
    started, answers = clock(), 0
    while clock() - started < seconds or answers < least or ready() > 0:
        outcome = next(outcomes, None)
        if outcome is None:
            return
        answers += isinstance(outcome[1], ReferenceAnswers)
        yield outcome
    if (close := getattr(outcomes, "close", None)) is not None:
        close()


def seconds_of(text: str) -> float:
    """Return a time such as "90s", "10m" or "2h" in seconds; raises `PlanError` for another.

    >>> seconds_of("1.5h")
    5400.0
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh])", text)
    if found is None or float(found[1]) == 0:
        raise PlanError(f'references.max_time must be a time above zero such as "90s", "10m" or "2h", got {text!r}.')
    return float(found[1]) * UNITS[found[2]]


def settled(
    signals: Mapping[str, Array],
    trial: Trial,
    attacks: Sequence[Attack],
    slices: Sequence[Slice],
    options: Options,
    references: ReferenceFacts,
    level: float,
) -> str | None:
    """Return why a report with these signals would say "leak" at an error of `level` for all its tests, or None.

    It is judged as the report is, every attack, slice and limit of it, so that the report cannot say otherwise. Nothing
    else than a leak settles an audit: see the head of this file.
    """
    quietly = replace(options, progress=quiet, error_share=level / ERROR_BUDGET)
    judgement = judge(signals, trial, attacks, slices, quietly, references)
    return judgement.reasons[0] if judgement.state == LEAK else None
