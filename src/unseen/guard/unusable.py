"""Files and folders that this user may not use: whose they are, and as whom to run. That is no damage."""

import errno
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from unseen.disk import alone, lock_of
from unseen.errors import FolderError

DENIED = {errno.EACCES, errno.EPERM}


def unusable(path: Path, error: OSError) -> FolderError:
    """Return the error that says in one sentence why a file of the guard cannot be read or written, and what to do."""
    if error.errno == errno.EROFS:
        return FolderError(f"{path} cannot be written: its disk is read-only; name another folder in guard.state.")
    if error.errno not in DENIED:
        return FolderError(f"{path} cannot be read or written: {error.strerror or type(error).__name__}.")
    place = _there(path)
    owner, me = _user(place.stat().st_uid), _user(os.geteuid())
    whose = "it" if place == path else str(place)
    repair = f"run this as {owner}" if owner != me else f"give that user the right to (chmod u+rwX {place})"
    return FolderError(
        f"{path} is not readable or not writable for user {me}; {whose} belongs to {owner}: {repair}, "
        "or name another place."
    )


def check_usable(folder: Path) -> None:
    """Make `folder` where it is not there; raise `FolderError` where this user cannot write in it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise unusable(folder, error) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise unusable(folder, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def give_to_owner_of(folder: Path, *made: Path) -> None:
    """Give what root made to whom `folder` belongs to: the guard that reads it runs as that user.

    Where root may not, as in some containers, it stays as it is: whoever cannot use it is told whose it is.
    """
    if os.geteuid() == 0:
        owner = folder.stat()
        for path in made:
            with suppress(OSError):
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


@contextmanager
def alone_in_state(path: Path, patience_s: float) -> Iterator[None]:
    """Hold the lock beside a file of a state, and leave it to whom the state belongs to. Raises `FolderError`."""
    lock = lock_of(path)
    try:
        with alone(path, patience_s):
            give_to_owner_of(path.parent, lock)
            yield
    except OSError as error:
        raise unusable(Path(error.filename or lock), error) from None


def _there(path: Path) -> Path:
    """Return the path itself, or the nearest folder above it that can be looked at."""
    for place in (path, *path.absolute().parents):
        try:
            place.stat()
        except OSError:
            continue
        return place
    return Path(path.anchor or "/")


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
