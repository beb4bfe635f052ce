"""Files written whole or not at all, for the owner's eyes only, and errors of the disk in one sentence."""

import errno
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from unseen.errors import FolderError

if sys.platform != "win32":
    import fcntl

AGAIN_S = 0.01  # how often a lock that another process has is tried
PART = ".part-"  # how the name of a file begins that is not whole yet
FULL = "free some space there, or name another folder; the same run then continues"
CLOSED = "name a folder that can be written to"
REPAIRS = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EROFS: CLOSED,
    errno.EACCES: CLOSED,
    errno.EPERM: CLOSED,
}


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path` through a temporary file beside it; only the owner can read it (mode 600).

    Of several processes that write the same path, one's content stands there in the end, whole. Raises `FolderError`.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        while not _replaced(path, content):  # once, but for another process that sweeps the folder at this instant
            pass
    except OSError as error:
        raise refused(path.name, path.parent, error) from None


def _replaced(path: Path, content: bytes) -> bool:
    """Put a new file in the place of `path`; False where another process took it for abandoned and removed it."""
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=PART, delete=False) as file:
            temporary = Path(file.name)
            _lock(file.fileno())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            temporary.replace(path)
        except FileNotFoundError:
            return False
        return True
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def alone(path: Path, patience_s: float = math.inf) -> Iterator[None]:
    """Hold the lock beside `path` while it is read, changed and written: of two processes' changes, none is lost.

    Raises `FolderError` where another process has held it for `patience_s` seconds, or the disk has no locks.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    end = time.monotonic() + patience_s
    lock = lock_of(path)
    with lock.open("w") as file:
        while not _lock(file.fileno(), wait=patience_s == math.inf):
            if patience_s == math.inf:
                raise FolderError(f"{path.parent} is on a disk without locks: name another folder.")
            if time.monotonic() >= end:
                raise FolderError(f"{lock} is held by another process, or its disk has no locks: try again.")
            time.sleep(AGAIN_S)
        yield


def lock_of(path: Path) -> Path:
    """Return the file that is locked while `path` is changed."""
    return path.with_name(f"{path.name}.lock")


def held(path: Path) -> IO[str] | None:
    """Return the open lock of `path`, held until it is closed or this process dies; None where another has it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = path.open("w")
    if _lock(file.fileno(), wait=False):
        return file
    file.close()
    return None


def sweep(folder: Path) -> None:
    """Remove what killed processes left half written in `folder`; what a living one is writing stays."""
    for path in folder.glob(f"{PART}*"):
        with suppress(OSError):
            with path.open("rb+") as file:
                abandoned = _lock(file.fileno(), wait=False)
            if abandoned:
                path.unlink(missing_ok=True)


def _lock(file: int, *, wait: bool = True) -> bool:
    """Lock an open file until it is closed or its process dies; say whether it is ours.

    A disk that has no locks is never swept. Windows needs none: there nobody can remove a file that is open.
    """
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def check_writable(folder: Path, size: int) -> None:
    """Make `folder`, and raise `FolderError` unless a file can be written there and `size` bytes are free."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        raise refused("a file", folder, error) from None
    if free < size:
        raise FolderError(
            f"{size_of(size)} are needed in {folder}, and {size_of(free)} are free there: free some space, or name "
            "another folder."
        )


def refused(what: str, folder: Path, error: OSError) -> FolderError:
    """Return the error that says in one sentence what could not be written where, why, and what to do about it."""
    repair = REPAIRS.get(error.errno or 0, "name another folder")
    return FolderError(f"{what} could not be written in {folder}: {error.strerror or type(error).__name__}; {repair}.")


def size_of(size: int) -> str:
    """Return a size for people.

    >>> [size_of(size) for size in (999, 8_300, 400_000_000, 12_340_000_000)]
    ['999 B', '8.3 kB', '400 MB', '12 GB']
    """
    for name, unit in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 1000)):
        if size >= unit:
            return f"{size / unit:.1f} {name}" if size < 10 * unit else f"{size / unit:.0f} {name}"
    return f"{size} B"
