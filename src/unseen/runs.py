"""The run folder: what an audit leaves behind, and whose it is."""

from pathlib import Path

import msgspec

from unseen.disk import PART, write_whole
from unseen.errors import FolderError

CLAIM = "run.json"
RECORDS = "records.parquet"
REPORT = "report.json"
PLAN = "plan.toml"


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose run a folder holds: the digests of data and model, and the seed."""

    data: str
    model: str
    seed: int


def claim(folder: Path | None, data: str, model: str, seed: int) -> None:
    """Take `folder` for this run, or continue it; raises `FolderError` where it holds another run or other files."""
    if folder is None:
        return
    wanted = Claim(data, model, seed)
    path = folder / CLAIM
    if path.exists():
        if _read(path) != wanted:
            raise FolderError(f"{folder} holds another run (other data, model or seed); name another folder.")
        return
    if folder.exists() and (not folder.is_dir() or any(map(_foreign, folder.iterdir()))):
        raise FolderError(f"{folder} exists and holds something that is not a run; name an empty or a new folder.")
    write_whole(path, msgspec.json.encode(wanted))


def _foreign(child: Path) -> bool:
    return child.name != PLAN and not child.name.startswith(PART)


def _read(path: Path) -> Claim | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Claim)
    except (msgspec.DecodeError, OSError):
        return None
