"""Verifying: does the log still say what was written, and if not, which record is the first that does not?"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from unseen.guard.log.chain import START, opened, vouched
from unseen.guard.log.entries import Head, Start
from unseen.guard.log.reading import chains, entry_of, lines_of, segments

OTHER_KEY = "it names another signing key"


class Verdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was found of one chain. `bad` is the first record that is wrong, as a sentence; "" where none is.

    `unsigned` counts the records after the last signature: whoever can write the folder could replace those, and only
    those, without its being seen. Where the last segment has no orderly end (`ended`), as of a guard that runs or was
    killed, records may also have been cut off there: only what was exported meanwhile would show it. `torn_bytes` are
    what killed writers left behind: never part of a record.
    """

    chain: str
    records: int
    signed: int
    unsigned: int
    torn_bytes: int
    bad: str
    ended: bool


def verify(folder: Path, public_keys: Sequence[bytes] = ()) -> list[Verdict]:
    """Judge every chain below `folder`; without `public_keys`, by the key that each names itself."""
    return [verify_chain(chain, public_keys) for chain in chains(folder)]


def verify_chain(folder: Path, public_keys: Sequence[bytes] = ()) -> Verdict:
    """Judge one chain: order, hashes, links between segments, signatures."""
    state = _State(tuple(public_keys))
    bad = ""
    there = segments(folder)
    for place, path in enumerate(there):
        if int(path.stem) != place + 1:
            bad = f"segment {place + 1} is missing: {path.name} stands in its place"
            break
        bad = state.segment(path)
        if bad:
            break
    if not there:
        bad = "there is no segment"
    unsigned = state.number - state.vouched
    return Verdict(folder.name, state.number, state.heads, unsigned, state.torn, bad, state.ended)


class _State:
    """How far a chain has been read."""

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        self.keys = keys
        self.hash = START
        self.chain = ""
        self.ended = False
        self.number = self.heads = self.vouched = self.torn = self.tail = 0

    def segment(self, path: Path) -> str:
        """Read one segment; return what is wrong first, or nothing."""
        lines = lines_of(path.read_bytes())
        ended = self.ended = False
        for place, line in enumerate(lines):
            value = opened(self.hash, line)
            if value is None and not ended and self._torn(line, last=place + 1 == len(lines)):
                break
            wrong = "" if value else "its content or its hash was changed, or the record before it"
            wrong = wrong or ("it follows an orderly end" if ended else "")
            entry = None if wrong else entry_of(line)
            wrong = wrong or self._entry(entry, first=place == 0)
            if wrong:
                return f"record {self.number + 1} ({path.name}, line {place + 1}): {wrong}"
            ended = self.ended = isinstance(entry, Head) and entry.last
            self.number += 1
            self.hash = value or self.hash
        return "" if lines else f"record {self.number + 1}: {path.name} is empty"

    def _torn(self, line: bytes, *, last: bool) -> bool:
        """Whether a killed writer left this: the last line, without its end, and no record whose end was changed."""
        torn = last and not line.endswith(b"\n") and opened(self.hash, line[:-1] + b"\n") is None
        self.tail = len(line) if torn else 0
        self.torn += self.tail
        return torn

    def _entry(self, entry: object, *, first: bool) -> str:
        if entry is None:
            return "it is no entry of a log"
        if first != isinstance(entry, Start):
            return "a segment must begin with its start" if first else "a start stands inside a segment"
        if getattr(entry, "n", 0) != self.number + 1:
            return f"it says that it is record {getattr(entry, 'n', 0)}"
        if isinstance(entry, Start):
            return self._start(entry)
        if isinstance(entry, Head):
            return self._head(entry)
        return ""

    def _start(self, start: Start) -> str:
        if self.chain and start.chain != self.chain:
            return "it begins another chain"
        if start.before != self.hash.hex():
            return "it does not go on where the segment before it ended"
        if start.torn_bytes != self.tail:
            return f"it found {start.torn_bytes} torn bytes before it, and {self.tail} stand there"
        self.tail = 0
        self.chain = start.chain
        named = bytes.fromhex(start.public_key)
        if not self.keys:
            self.keys = (named,)
        return "" if named in self.keys else OTHER_KEY

    def _head(self, head: Head) -> str:
        if not any(vouched(key, head.signature, self.chain, self.number, self.hash) for key in self.keys):
            return "its signature is not of this log's key"
        self.heads += 1
        self.vouched = self.number + 1
        return ""
