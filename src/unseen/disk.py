"""Files written whole or not at all, for the owner's eyes only, and errors of the disk in one sentence."""

import os
import tempfile
from pathlib import Path

from unseen.errors import FolderError

PART = ".part-"  # how the name of a file begins that is not whole yet


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path` through a temporary file beside it; only the owner can read it (mode 600)."""
    temporary = None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=PART, delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise FolderError(f"{path.name} could not be written in {path.parent}: {error.strerror}.") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
