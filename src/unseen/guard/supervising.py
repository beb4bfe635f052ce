"""Supervising: one process a worker; a dead one is replaced, signals are passed on, none outlives its supervisor."""

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress

RESTART_S = 1.0  # how long the place of a worker that died stays empty
AGAIN_S = 5.0  # how long it does where the one after it could not open its state, while a store is away say
WRONG_INPUT = 2  # the exit code of a worker that could not open its state
STEP_S = 0.1
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

Work = Callable[[int, int], int]


def _tell(number: int, code: int) -> None:
    ended = f"was killed (signal {-code})" if code < 0 else f"ended (exit code {code})"
    said = (
        f"unseen guard: worker {number} {ended}; another takes its place. What it held of budgets may stay charged.\n"
    )
    sys.stderr.write(said)


class Supervisor:
    """Runs `work(number, alive)` in `workers` processes; `alive` is a pipe that ends when this process dies.

    One that cannot open its state ends all, where it is of the first; where it takes the place of another, it is
    started again and again: what is wrong may pass, and the others answer meanwhile.

    `work` begins with SIGHUP blocked, so that none is lost before something is done about it; `reread` is called when
    it comes, before it is passed on.
    """

    def __init__(self, workers: int, work: Work, reread: Callable[[], None]) -> None:
        self._workers = workers
        self._work = work
        self._reread = reread
        self._children: dict[int, int] = {}
        self._first: set[int] = set()  # children that no other came before
        self._stopping = False
        self._alive, self._mine = os.pipe()

    def run(self) -> int:
        """Return the worst exit code, once told to stop and all have ended."""
        for name in PASSED_ON:
            signal.signal(name, self._pass_on)
        for number in range(self._workers):
            self._first.add(self._start(number))
        worst = 0
        while self._children:
            child, status = os.wait()
            number = self._children.pop(child)
            code = os.waitstatus_to_exitcode(status)
            closed = code == WRONG_INPUT
            if closed and child in self._first and not self._stopping:  # it said why; the next would say the same
                self._pass_on(signal.SIGTERM, None)
            if self._stopping:
                worst = max(worst, code)
                continue
            _tell(number, code)
            self._pause(AGAIN_S if closed else RESTART_S)
            if not self._stopping:  # it may have been told to stop meanwhile
                self._start(number)
        return worst

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < until:
            time.sleep(STEP_S)

    def _start(self, number: int) -> int:
        signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
        child = os.fork()
        if child == 0:
            for name in PASSED_ON:
                signal.signal(name, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))
            os.close(self._mine)
            os._exit(self._work(number, self._alive))
        self._children[child] = number
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
        if self._stopping:  # the signal came before this child could be told
            os.kill(child, signal.SIGTERM)
        return child

    def _pass_on(self, name: int, _frame: object) -> None:
        if name == signal.SIGHUP:
            self._reread()
        else:
            self._stopping = True
        for child in self._children:
            with suppress(ProcessLookupError):  # it ended just now
                os.kill(child, name)
