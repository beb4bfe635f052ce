"""Shared pace: the turns of all workers of one guard, in memory that they share, so that a rate holds for all of them.

A table of fixed size in sets of 32 places, made before the workers are. A client on a route has one set, by a keyed
hash, and takes any place of it whose holder is rested: to be rested is to be unknown. What is in a set is changed under
its own lock, of the kernel's: it goes with a worker that is killed, and what that one left half written is a place
whose holder is rested. The table has no name that anything could be done to, and begins empty with the guard.
"""

import fcntl
import mmap
import os
import time
from hashlib import blake2b

from unseen.guard.nameless import nameless_file
from unseen.guard.pace import after

SETS, PLACES = 16_384, 32
NAME, TIME = 16, 8  # bytes
KNOWN = 10_000  # names that a process need not compute again


class SharedPace:
    """The turns of several processes, each a child of the one that made this. One thread of each may ask."""

    def __init__(self) -> None:
        self._key = os.urandom(32)  # nobody can tell whose set is whose
        self._names = mmap.mmap(-1, SETS * PLACES * NAME)
        self._due = memoryview(mmap.mmap(-1, SETS * PLACES * TIME)).cast("d")
        self._locks = nameless_file()
        self._known: dict[tuple[tuple[str, str], float, int], tuple[bytes, int]] = {}

    def wait(self, who: tuple[str, str], per_second: float, burst: int, now: float | None = None) -> float:
        """Return 0 and take a turn, or the seconds after which a turn is free; nothing is taken then.

        Where all of a set's places have holders that are not rested, whoever has none waits for the first that is.

        >>> pace = SharedPace()
        >>> [round(pace.wait(("a", "r"), 1.0, 2, now), 1) for now in (0.0, 0.0, 0.5, 1.0)]
        [0.0, 0.0, 0.5, 0.0]
        """
        name, number = self._found(who, per_second, burst)
        fcntl.lockf(self._locks, fcntl.LOCK_EX, 1, number)
        try:
            if now is None:
                now = time.monotonic()  # read under the lock, so that who comes later is later
            return self._turn(name, number * PLACES, per_second, burst, now)
        finally:
            fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, number)

    def _found(self, who: tuple[str, str], per_second: float, burst: int) -> tuple[bytes, int]:
        """Return the name in the table of a client on a route at a rate, and the number of its set."""
        asked = who, per_second, burst
        if (known := self._known.get(asked)) is None:
            if len(self._known) >= KNOWN:
                self._known.clear()
            text = repr(asked).encode("ascii", "backslashreplace")
            name = blake2b(text, key=self._key, digest_size=NAME).digest()
            known = self._known[asked] = name, int.from_bytes(name[:TIME], "little") % SETS
        return known

    def _turn(self, name: bytes, first: int, per_second: float, burst: int, now: float) -> float:
        at = self._names.find(name, first * NAME, (first + PLACES) * NAME)
        place = at // NAME
        if at < 0:
            free = self._free(first, now)
            if free is None:
                return min(self._due[first : first + PLACES]) - now
            place = free
            self._names[place * NAME : (place + 1) * NAME] = name
        wait, self._due[place] = after(self._due[place], per_second, burst, now)
        return wait

    def _free(self, first: int, now: float) -> int | None:
        for place in range(first, first + PLACES):
            if self._due[place] <= now:
                return place
        return None
