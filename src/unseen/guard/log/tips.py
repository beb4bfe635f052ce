"""Tips: how far each chain has come for certain, kept beside the log, so that what is gone from its end is missed.

Every writer keeps one file, `log-heads/worker-N.json`, of what the disk has: nothing that only a power cut could take.
Other chains copy its tips into their starts and last heads.
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from unseen.disk import sweep, write_whole
from unseen.errors import FolderError
from unseen.guard.log.chain import public_of
from unseen.guard.log.entries import Tip
from unseen.guard.log.reading import hash_at, inside
from unseen.guard.unusable import check_usable


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of tips, as it was signed."""

    tips: tuple[Tip, ...]
    public_key: str
    signature: str


def tips_folder(log: Path) -> Path:
    """Return where the tips of a log are kept: beside it, so that they are still there where it is deleted."""
    return log.with_name(f"{log.name}-heads")


def tips_path(chain: Path) -> Path:
    """Return the file of one chain's writer."""
    return tips_folder(chain.parent) / f"{chain.name}.json"


def tips_files(log: Path) -> list[Path]:
    """Return the files of all writers, in order."""
    return [path for path in inside(tips_folder(log)) if path.match("worker-*.json")]


class Tips:
    """What one writer keeps of its own chain, and knows of others."""

    def __init__(self, chain: Path, key: Ed25519PrivateKey) -> None:
        self._chain = chain
        self._key = key
        self._public = public_of(key)
        self._path = tips_path(chain)
        self._lost: tuple[Tip, ...] | None = None  # own tips that the chain, as it was found, does not show
        check_usable(self._path.parent)
        sweep(self._path.parent)

    def others(self, chain: str, number: int) -> tuple[Tip, ...]:
        """Return the tips of all other chains; and of `chain`, which has come to `number`, those that it lacks."""
        if self._lost is None:
            own = self._read([self._path])
            self._lost = tuple(tip for tip in own if tip.chain != chain or hash_at(self._chain, tip.n) != tip.hash)
        known = self._read(tips_files(self._chain.parent))
        gone = [tip for tip in known if tip.chain != chain or tip.n > number]
        return tuple(dict.fromkeys((*gone, *self._lost)))

    def keep(self, tip: Tip, segment: Path) -> None:
        """Write a tip down, once the disk has its segment. Where it cannot be written, the one before it stays."""
        tips = (tip, *(self._lost or ()))
        with suppress(OSError, FolderError):
            for place in (segment, segment.parent, segment.parent.parent):
                on_disk(place)
            signature = self._key.sign(_said(tips)).hex()
            write_whole(self._path, msgspec.json.encode(Kept(tips, self._public.hex(), signature)))

    def _read(self, paths: Iterable[Path]) -> list[Tip]:
        """Return all tips of this key; a file that was changed or cannot be read has none."""
        found: list[Tip] = []
        for path in paths:
            with suppress(OSError):
                found += opened_tips(path.read_bytes(), [self._public]) or ()
        return found


def on_disk(path: Path) -> None:
    """Return once the disk has a file, or the names in a folder."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def opened_tips(content: bytes, public_keys: Sequence[bytes]) -> tuple[Tip, ...] | None:
    """Return the tips of a file, or None where it was changed or no `public_keys` signed it.

    Without `public_keys` the key is believed that the file names itself.
    """
    try:
        kept = msgspec.json.decode(content, type=Kept)
        named = bytes.fromhex(kept.public_key)
        if named not in (public_keys or (named,)):
            return None
        Ed25519PublicKey.from_public_bytes(named).verify(bytes.fromhex(kept.signature), _said(kept.tips))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidSignature, ValueError):
        return None
    return kept.tips


def _said(tips: Sequence[Tip]) -> bytes:
    return b"unseen guard log tips\0" + msgspec.json.encode(list(tips))
