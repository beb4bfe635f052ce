"""Reading: the segments of a chain, the last whole record of one, and entries as nouns again."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import msgspec

from unseen.guard.log.chain import TAIL
from unseen.guard.log.entries import Entry, Start
from unseen.guard.unusable import unusable

_decode = msgspec.json.Decoder(Entry).decode


@dataclass(frozen=True)
class End:
    """Where a segment ends: its chain, the number and hash of its last whole record, and the bytes torn after it."""

    chain: str
    number: int
    hash: bytes
    torn_bytes: int


def chains(folder: Path) -> list[Path]:
    """Return the folder of every worker's chain, in order. Raises `FolderError` where this user may not read it."""
    return [path for path in inside(folder) if path.match("worker-*") and path.is_dir()]


def segments(folder: Path) -> list[Path]:
    """Return the segments of one chain, oldest first."""
    return [path for path in inside(folder) if path.suffix == ".jsonl" and path.stem.isdecimal()]


def inside(folder: Path) -> list[Path]:
    """Return what stands in a folder, in order: a folder that cannot be read is not an empty one."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unusable(folder, error) from None


def chain_end(path: Path) -> End | None:
    """Return where a segment ends, or None where not even its first record is whole."""
    chain, before, number, at = "", b"", 0, 0
    content = path.read_bytes()
    for line in lines_of(content):
        entry = entry_of(line)
        if entry is None:
            break
        at += len(line)
        number, before = entry.n, bytes.fromhex(line[-67:-3].decode())
        chain = getattr(entry, "chain", chain)
    if not number:
        return None
    return End(chain, number, before, len(content) - at)


def newest_start(folder: Path) -> Start | None:
    """Return the start of the segment that was begun last, of all chains below `folder`; None where there is none."""
    firsts = [next(entries_in(path), None) for chain in chains(folder) for path in segments(chain)[-1:]]
    return max((first for first in firsts if isinstance(first, Start)), key=lambda first: first.t, default=None)


def hash_at(folder: Path, number: int) -> str:
    """Return the hash that stands in one record of a chain, or "" where there is none of that number."""
    for path in reversed(segments(folder)):
        with path.open("rb") as lines:
            first = entry_of(line := next(lines, b""))
            if first is None or first.n > number:
                continue
            line = next(islice(lines, number - first.n - 1, None), b"") if number > first.n else line
        found = entry_of(line)
        return line[-67:-3].decode() if found is not None and found.n == number else ""
    return ""


def lines_of(content: bytes) -> list[bytes]:
    r"""Return the lines with their ends.

    >>> lines_of(b"a\nb"), lines_of(b"")
    ([b'a\n', b'b'], [])
    """
    *whole, rest = content.split(b"\n")
    return [line + b"\n" for line in whole] + ([rest] if rest else [])


def entry_of(line: bytes) -> Entry | None:
    """Return what a line says, or None where it is torn or no entry."""
    if not line.endswith(b'"}\n') or len(line) < TAIL:
        return None
    try:
        return _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def entries(folder: Path) -> Iterator[Entry]:
    """Yield every whole entry of every chain below `folder`, chain by chain."""
    for chain in chains(folder):
        yield from entries_of(chain)


def entries_of(chain: Path) -> Iterator[Entry]:
    """Yield every whole entry of one chain."""
    for segment in segments(chain):
        yield from entries_in(segment)


def entries_in(segment: Path) -> Iterator[Entry]:
    """Yield every whole entry of one segment."""
    with segment.open("rb") as lines:
        for line in lines:
            if (entry := entry_of(line)) is not None:
                yield entry
