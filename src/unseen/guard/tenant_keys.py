"""Tenant keys: the key of each tenant's fingerprints, a file of its own, so that deleting it shreds them."""

import hashlib
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from unseen.disk import write_whole
from unseen.errors import FolderError

FOLDER = "fingerprint-keys"
LENGTH = 32  # bytes of a key


def tenant_key_path(folder: Path, tenant: str) -> Path:
    """Return where the key of a tenant's fingerprints stands."""
    return folder / FOLDER / hashlib.sha256(tenant.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class TenantKey:
    """The key of a tenant's fingerprints; `file` tells its file from another, `looked` is when they were compared."""

    key: bytes = field(repr=False)
    file: tuple[int, int]
    looked: float


def look_at_tenant_key(path: Path, known: TenantKey | None) -> TenantKey:
    """Return what was known where the file is the one it was read from; otherwise what it holds, made if it is gone."""
    with suppress(FileNotFoundError):
        if known is not None and known.file == _identity(path.stat()):
            return replace(known, looked=time.monotonic())
    return read_tenant_key(path)


def read_tenant_key(path: Path) -> TenantKey:
    """Return the random key of a tenant's fingerprints, made if there is none; deleting its file shreds them."""
    if not path.exists():
        made = path.with_name(f"{path.name}.{os.urandom(4).hex()}")
        write_whole(made, os.urandom(LENGTH))
        with suppress(FileExistsError):  # of two workers that make one, the first is taken by both
            os.link(made, path)
        made.unlink()
    with path.open("rb") as file:
        found, key = os.fstat(file.fileno()), file.read()
    if len(key) != LENGTH:
        raise damage(path)
    return TenantKey(key, _identity(found), time.monotonic())


def damage(path: Path) -> FolderError:
    """Return the error that says what to do about a file that holds no key."""
    return FolderError(f"{path} does not hold a fingerprint key: restore it, or delete it to shred what it made.")


def damaged(folder: Path) -> list[FolderError]:
    """Return what there is to say of each file of a state that should hold a key and does not, by its length."""
    names = [path for path in (folder / FOLDER).glob("*") if not path.suffix]  # others are being made
    return [damage(path) for path in sorted(names) if not path.is_file() or path.stat().st_size != LENGTH]


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_ino, found.st_mtime_ns
