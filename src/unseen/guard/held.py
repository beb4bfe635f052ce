"""Held: which policy the workers of a guard have come to hold, in memory that they share."""

import mmap

LENGTH = 16  # of a policy's digest


class Held:
    """The digest of the policy that a worker took last; empty while all hold the one that the guard began with.

    A worker that takes the place of a dead one asks for it: the newest policy that was read may have been refused.

    >>> held = Held()
    >>> held.digest = "0123456789abcdef"
    >>> held.digest
    '0123456789abcdef'
    """

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, LENGTH)

    @property
    def digest(self) -> str:
        """What was written last, by whichever worker."""
        return self._shared[:].rstrip(b"\0").decode("ascii")

    @digest.setter
    def digest(self, digest: str) -> None:
        self._shared[:] = digest.encode("ascii").ljust(LENGTH, b"\0")
