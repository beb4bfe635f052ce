"""The ledger of an endpoint: what it was asked and answered, kept as it comes, so that nothing is asked twice."""

import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

import msgspec

from unseen.disk import held, lock_of, refused
from unseen.errors import FolderError
from unseen.runs import LEDGER

VERSION = "unseen ledger 1"


class Ledger:
    """Answers by a keyed digest of the question, in memory and, with a `folder`, in a file of mode 600 there.

    Each line is a checksum and JSON: the first holds the digests' key, the others one answer each, or a tally of
    requests. They are added in one write a request and forced to the disk; of a line that is not whole nothing is
    used, and a torn end is cut off when the file is next opened. Who asks does so `alone`. Raises `FolderError`.

    >>> ledger = Ledger(None)
    >>> ledger.add({ledger.key(b"question"): [0.2, 0.8]}, {"requests": 1})
    >>> ledger.answers[ledger.key(b"question")]
    [0.2, 0.8]
    """

    def __init__(self, folder: Path | None) -> None:
        self.answers: dict[str, Any] = {}
        self.tally: dict[str, int] = {}
        self._salt, self._path = os.urandom(32), None if folder is None else folder / LEDGER
        with self.alone():
            pass

    def __repr__(self) -> str:
        return f"Ledger({len(self.answers)} answers)"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Read what the file holds by now, and keep others from asking; raises `FolderError` where another does."""
        if self._path is None:
            yield
            return
        with _locked(self._path):
            try:
                self._continue(self._path)
            except OSError as error:
                raise refused(LEDGER, self._path.parent, error) from None
            yield

    def key(self, *question: bytes) -> str:
        """Return the digest under which the answer to a question is kept; it says nothing without this ledger's key."""
        total = blake2b(digest_size=16, key=self._salt)
        for part in question:
            total.update(len(part).to_bytes(8, "big") + part)
        return total.hexdigest()

    def add(self, answers: Mapping[str, Any], tally: Mapping[str, int]) -> None:
        """Keep some answers, and count what happened on the way to them."""
        if not answers and not tally:
            return
        lines = [{"q": key, "a": answer} for key, answer in answers.items()]
        counted = [{"n": dict(tally)}] if tally else []
        if self._path is not None:
            try:
                _append(self._path, b"".join(map(_line, [*lines, *counted])))
            except OSError as error:
                raise refused(LEDGER, self._path.parent, error) from None
        for line in [*lines, *counted]:
            self._take(line)

    def _continue(self, path: Path) -> None:
        """Read the file, cut off a torn end, or begin a new one."""
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        lines = [_read(line) for line in whole.splitlines()]
        if not lines:
            _append(path, _line({"ledger": VERSION, "key": self._salt.hex()}), fresh=True)
            return
        head = lines[0]
        if not isinstance(head, dict) or head.get("ledger") != VERSION:
            raise FolderError(
                f"{LEDGER} in {path.parent} is damaged or of another version: move it away, or name another folder."
            )
        self._salt = bytes.fromhex(head["key"])
        if len(whole) < len(content):
            os.truncate(path, len(whole))
        self.answers, self.tally = {}, {}
        for line in lines[1:]:
            if line is not None:
                self._take(line)

    def _take(self, line: Mapping[str, Any]) -> None:
        if "q" in line:
            self.answers[line["q"]] = line["a"]
        for name, count in line.get("n", {}).items():
            self.tally[name] = self.tally.get(name, 0) + count


def _locked(path: Path) -> IO[str]:
    try:
        lock = held(lock_of(path))
    except OSError as error:
        raise refused(LEDGER, path.parent, error) from None
    if lock is None:
        raise FolderError(
            f"another audit is asking with {LEDGER} in {path.parent}, or its disk has no locks: wait for its end, or "
            "name another folder."
        )
    return lock


def _line(content: Any) -> bytes:
    body = msgspec.json.encode(content)
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _read(line: bytes) -> Any:
    """Return what a line holds, or None where it is damaged."""
    mark, _, body = line.partition(b" ")
    try:
        return msgspec.json.decode(body) if int(mark, 16) == zlib.crc32(body) else None
    except (ValueError, msgspec.DecodeError):
        return None


def _append(path: Path, content: bytes, *, fresh: bool = False) -> None:
    """Add bytes to the end of a file that only its owner can read, and wait for the disk."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | (os.O_TRUNC if fresh else 0), 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(file, view) :]
        os.fsync(file)
    finally:
        os.close(file)
