"""The thread that takes the steps of a store, one after another: one that never returns holds up no process's end."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any

Job = tuple["Future[Any]", Callable[..., Any], tuple[Any, ...]]


class StepThread:
    """An executor of one daemon thread: the standard one is waited for when the process ends, whatever it hangs in.

    >>> thread = StepThread()
    >>> thread.submit(max, 1, 2).result()
    2
    >>> thread.shutdown()
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._ended = False
        self._begun: float | None = None  # when what it does now was begun
        self._thread = Thread(target=self._work, name="budget", daemon=True)

    def submit(self, step: Callable[..., Any], *given: Any) -> "Future[Any]":
        """Take a step in its turn; one that is cancelled before that is never begun."""
        future: Future[Any] = Future()
        if self._thread.ident is None:
            self._thread.start()
        if self._ended or not self._thread.is_alive():  # as in a process that was forked from this one
            future.set_exception(RuntimeError("the thread of the store has ended."))
        else:
            self._jobs.put((future, step, given))
        return future

    def busy_s(self) -> float:
        """Return for how long it has been at one step."""
        begun = self._begun
        return 0.0 if begun is None else time.monotonic() - begun

    def shutdown(self) -> None:
        """End after the last step, without waiting for it."""
        self._ended = True
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, step, given = job
            if not future.set_running_or_notify_cancel():
                continue
            self._begun = time.monotonic()
            try:
                found = step(*given)
            except BaseException as error:  # noqa: BLE001 - whatever it is goes to who waits for it
                self._begun = None
                future.set_exception(error)
            else:
                self._begun = None  # before anybody can ask
                future.set_result(found)
