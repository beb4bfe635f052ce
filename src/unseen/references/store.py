"""Finished references on disk: one file each, written whole or not at all, checked when read."""

import io
import zipfile
import zlib
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import msgspec
import numpy as np

from unseen.disk import check_writable, sweep, write_whole
from unseen.reference import ReferenceAnswers
from unseen.signal import Array

DIGEST_BYTES = 32
NOTES = "notes.json"
ARRAYS = {"margin": np.float32, "loss": np.float32, "member": np.bool_}
HEADER_BYTES = 1024  # more than NumPy and ZIP write around one array; a larger file is none of ours
UNREADABLE = (OSError, ValueError, EOFError, KeyError, NotImplementedError, MemoryError, zipfile.BadZipFile, zlib.error)


class ReferenceStore:
    """The references of one key (see `references.key`) under a folder, a run's or a shared one; None keeps nothing.

    Any number of processes may use one folder at once. `damaged_files` names what was there and could not be used.
    """

    def __init__(self, folder: Path | None, key: str) -> None:
        self.home = folder
        self.folder = None if folder is None else folder / "references" / key
        self.damaged_files: list[str] = []

    @property
    def damaged(self) -> int:
        """How many files were damaged."""
        return len(self.damaged_files)

    def prepare(self, references: int, records: int) -> None:
        """See that so many more can be kept, before any is trained, and remove what killed runs left half written.

        Raises `FolderError` where the folder cannot be written to, or has too little room.
        """
        if self.home is None or self.folder is None:
            return
        check_writable(self.folder, references * _most_bytes(records))
        for place in (self.home, self.folder):
            sweep(place)

    def load(self, k: int, records: int) -> ReferenceAnswers | None:
        """Return reference `k` if it is there and whole; a damaged file is named and counts as missing."""
        if self.folder is None:
            return None
        path = self._path(k)
        try:
            return _read(path, records)
        except FileNotFoundError:
            return None
        except UNREADABLE:
            self.damaged_files.append(path.name)
            return None

    def save(self, k: int, answers: ReferenceAnswers) -> None:
        """Keep reference `k`; raises `FolderError` where it cannot be written."""
        if self.folder is None:
            return
        given = {name: getattr(answers, name) for name in ARRAYS}
        buffer = io.BytesIO()
        arrays: dict[str, Array] = {
            name: np.asarray(array, ARRAYS[name]) for name, array in given.items() if array is not None
        }
        np.savez(buffer, allow_pickle=False, **arrays)
        payload = buffer.getvalue()
        write_whole(self._path(k), blake2b(payload, digest_size=DIGEST_BYTES).digest() + payload)

    def note(self, notes: Sequence[str]) -> None:
        """Keep what an engine said beside what it said before: a run that continues says it too."""
        if self.folder is not None and notes and (new := set(notes) - set(known := self.notes)):
            write_whole(self.folder / NOTES, msgspec.json.encode(sorted([*known, *new])))

    @property
    def notes(self) -> list[str]:
        """What engines said of the references that are kept here; nothing where it cannot be read."""
        if self.folder is None:
            return []
        try:
            return msgspec.json.decode((self.folder / NOTES).read_bytes(), type=list[str])
        except (OSError, msgspec.DecodeError):
            return []

    def _path(self, k: int) -> Path:
        if self.folder is None:
            raise ValueError("this store keeps nothing.")
        return self.folder / f"reference-{k:04d}.npz.b2"


def _most_bytes(records: int) -> int:
    return DIGEST_BYTES + sum(np.dtype(kind).itemsize * records + HEADER_BYTES for kind in ARRAYS.values())


def _read(path: Path, records: int) -> ReferenceAnswers:
    """Return what a file holds; raises one of `UNREADABLE` where it is not what `save` writes of so many records."""
    with path.open("rb") as file:
        content = file.read(_most_bytes(records) + 1)
    digest, payload = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if len(content) > _most_bytes(records) or blake2b(payload, digest_size=DIGEST_BYTES).digest() != digest:
        raise ValueError("another length or checksum.")
    with zipfile.ZipFile(io.BytesIO(payload)) as packed:
        if any(one.compress_type != zipfile.ZIP_STORED for one in packed.infolist()):
            raise ValueError("compressed.")
    with np.load(io.BytesIO(payload), allow_pickle=False) as archive:
        arrays = dict(archive)
    if not all(_is_ours(name, array, records) for name, array in arrays.items()):
        raise ValueError("another name, type or shape.")
    return ReferenceAnswers(*(arrays.get(name) for name in ARRAYS))


def _is_ours(name: str, array: object, records: int) -> bool:
    return (
        name in ARRAYS and isinstance(array, np.ndarray) and array.dtype == ARRAYS[name] and array.shape == (records,)
    )
