"""The run folder: what an audit leaves behind, and whose it is."""

from pathlib import Path

import msgspec

from unseen.disk import PART, lock_of, write_whole
from unseen.errors import DataError, FolderError, ModelError
from unseen.report import EXIT_CODES, SCHEMA, Report, from_json

CLAIM = "run.json"
RECORDS = "records.parquet"
REPORT = "report.json"
PROCEDURE = "procedure.json"
PLAN = "plan.toml"
LEDGER = "endpoint.ledger"  # what an endpoint answered before the audit was complete


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose run a folder holds: the digests of data and model, or of the recipe under audit, and the seed.

    `recipe` is named only of a run that is to be repeated.
    """

    data: str
    model: str
    seed: int
    recipe: str = ""


def claim(folder: Path | None, data: str, model: str, seed: int, expected: Claim | None = None) -> None:
    """Take `folder` for this run, or continue it; raises `FolderError` where it holds another run or other files.

    Where a run is `expected`, other data raise `DataError`, and another model `ModelError`, before anything is written.
    """
    if expected is not None and expected.data != data:
        raise DataError("the data are not those of the report (other records, sides or order of columns).")
    if expected is not None and expected.model != model:
        raise ModelError("the model is not that of the report: it answers otherwise on the same data.")
    if folder is None:
        return
    wanted = Claim(data, model, seed)
    path = folder / CLAIM
    if path.exists():
        if _read(path) != wanted:
            raise FolderError(f"{folder} holds another run (other data, model, recipe or seed); name another folder.")
        return
    reserve(folder)
    write_whole(path, msgspec.json.encode(wanted))


def reserve(folder: Path | None) -> None:
    """Raise `FolderError` where `folder` holds files that are no run's, before anything is written there."""
    if folder is None or not folder.exists() or (folder / CLAIM).exists():
        return
    if not folder.is_dir() or any(map(_foreign, folder.iterdir())):
        raise FolderError(f"{folder} exists and holds something that is not a run; name an empty or a new folder.")


def _foreign(child: Path) -> bool:
    return child.name not in {PLAN, LEDGER, lock_of(Path(LEDGER)).name} and not child.name.startswith(PART)


def _read(path: Path) -> Claim | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Claim)
    except (msgspec.DecodeError, OSError):
        return None


class _Named(msgspec.Struct, frozen=True):
    schema: str = ""


def read_run(path: Path) -> Report:
    """Return the report of a run folder, or of a report's file; raises `FolderError` where it cannot be read."""
    file = path / REPORT if path.is_dir() else path
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        missing = f"{path} holds no {REPORT}, so no audit has finished" if path.is_dir() else f"there is no run {path}"
        raise FolderError(f"{missing}; `unseen audit` leaves a run folder.") from None
    except OSError as error:
        raise FolderError(f"{file} could not be read: {error.strerror}.") from None
    try:
        schema = msgspec.json.decode(content, type=_Named).schema
        if schema == SCHEMA:
            report = from_json(content)
            if report.state in EXIT_CODES:
                return report
            raise FolderError(f"{file.name} is damaged, or no report: {report.state!r} is no state; audit again.")
    except (msgspec.DecodeError, RecursionError) as error:
        kind = error if isinstance(error, msgspec.ValidationError) else "it is not whole JSON"
        raise FolderError(f"{file.name} is damaged, or no report: {kind}; audit again.") from None
    raise FolderError(
        f"{file.name} has the schema {schema!r}, and this version of unseen reads {SCHEMA!r}: audit again, or use the "
        "version that wrote it."
    )
