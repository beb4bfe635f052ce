"""Shipping: entries of the log to other systems as they are written, by a bounded queue and a thread for each.

A target that is down, slow or wrong delays no request and fails none: its queue fills up, and what then comes for it is
dropped, counted, and told of in the log itself. The log on the disk lacks nothing.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from unseen.errors import UnseenError
from unseen.guard.counts import Shipped, Snapshot
from unseen.guard.exports.targets import Target, open_target
from unseen.guard.log.entries import Done, Entry
from unseen.guard.policy import Export

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 60.0  # between tries, doubled each time
TRIES = 10  # of the same entries, before they are dropped
FLUSH_S = 2.0  # how long a guard that stops waits for what is left, in all
TELL_S = 60.0  # how often at most the log is told of what was dropped


class Line:
    """The queue and the thread of one target."""

    def __init__(self, name: str, target: Target, most: int, counted: Callable[[], Snapshot]) -> None:
        self._name = name
        self._target = target
        self._most = most
        self._counted = counted
        self._queue: deque[Entry] = deque()
        self._batch: list[Entry] = []
        self._sent = self._failures = 0
        self._refused = self._unsendable = self._left = 0  # dropped: at a full queue, by the thread, at the end
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._due = time.monotonic() + (target.every_s or 0.0)
        self._thread = threading.Thread(target=self._run, name=f"export to {name}", daemon=True)
        self._thread.start()

    def take(self, entry: Entry) -> None:
        """Keep an entry to be sent, or drop it where too many wait."""
        if len(self._queue) >= self._most:
            self._refused += 1
            return
        self._queue.append(entry)
        if not self._wake.is_set():
            self._wake.set()

    @property
    def dropped(self) -> int:
        """How many entries were dropped."""
        return self._refused + self._unsendable + self._left

    def shipped(self) -> Shipped:
        """Return what became of all entries."""
        waiting = 0 if self._left else len(self._queue) + len(self._batch)
        return Shipped(self._name, self._sent, self.dropped, self._failures, waiting)

    def stop(self) -> None:
        """Ask the thread to end once it has sent what is left, or fails to."""
        self._stopping.set()
        self._wake.set()

    def end(self, until: float) -> None:
        """Wait for that, and give up what is left."""
        self._thread.join(max(0.0, until - time.monotonic()))
        self._left = len(self._queue) + len(self._batch)

    def _run(self) -> None:
        pause, tries = FIRST_PAUSE_S, 0
        while self._next():
            try:
                unsendable = self._target.send(self._batch)
            except Exception:  # noqa: BLE001 - whatever a target raises: this thread must not end
                self._failures += 1
                tries += 1
                if self._stopping.is_set():
                    break
                if tries >= TRIES:
                    self._unsendable += len(self._batch)
                    self._batch, tries = [], 0
                self._stopping.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
                continue
            self._sent += len(self._batch) - unsendable
            self._unsendable += unsendable
            self._batch, pause, tries = [], FIRST_PAUSE_S, 0
        with suppress(Exception):
            self._target.close()

    def _next(self) -> bool:
        """Wait for entries to send; False once the guard stops and there is none."""
        while True:
            self._tell()
            while self._queue and len(self._batch) < self._target.at_once:
                self._batch.append(self._queue.popleft())
            if self._batch:
                return True
            if self._stopping.is_set():
                return False
            self._wake.wait(self._target.every_s)
            self._wake.clear()

    def _tell(self) -> None:
        """Send the counts where that is due; what fails comes again, added up, the next time."""
        if self._target.every_s is None or (time.monotonic() < self._due and not self._stopping.is_set()):
            return
        self._due = time.monotonic() + self._target.every_s
        try:
            self._target.tell(self._counted())
        except Exception:  # noqa: BLE001 - as above
            self._failures += 1


class Shipping:
    """All exports of one worker. `write` writes an entry to the log, as `Writer.append` does."""

    def __init__(
        self,
        exports: Sequence[Export],
        worker: int,
        counted: Callable[[], Snapshot],
        write: Callable[..., object],
    ) -> None:
        self._write = write
        self._told = 0
        self._closed = False
        self._next = time.monotonic() + TELL_S
        targets = [(export, open_target(export, worker)) for export in exports]
        self._lines = [Line(name_of(export), target, export.queue, counted) for export, target in targets]

    def take(self, entry: Entry) -> None:
        """Hand an entry to every export. Takes no time, raises nothing."""
        if self._closed:
            return
        for line in self._lines:
            line.take(entry)
        if time.monotonic() > self._next:
            self._tell_log()

    def shipped(self) -> tuple[Shipped, ...]:
        """Return what became of the entries for each export."""
        return tuple(line.shipped() for line in self._lines)

    def close(self) -> None:
        """Send what is left, for `FLUSH_S` seconds at most; blocks. `settle` comes after it."""
        self._closed = True
        until = time.monotonic() + FLUSH_S
        for line in self._lines:
            line.stop()
        for line in self._lines:
            line.end(until)

    def settle(self) -> None:
        """Tell the log of what was dropped in the end; nothing is sent any more."""
        self._tell_log()

    def _tell_log(self) -> None:
        self._next = time.monotonic() + TELL_S
        dropped = sum(line.dropped for line in self._lines)
        new, self._told = dropped - self._told, dropped
        if new:
            with suppress(OSError, UnseenError):
                self._write(Done, what="export-dropped", count=new)


def name_of(export: Export) -> str:
    """Return what metrics call an export: never more than the policy says, and no two have one name.

    >>> name_of(Export(to="syslog", address="udp://127.0.0.1:514"))
    'syslog udp://127.0.0.1:514'
    """
    return f"{export.to} {export.address or export.path}"
