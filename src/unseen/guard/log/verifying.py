"""Verifying: does the log still say what was written, and if not, which record is the first that does not?"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from unseen.guard.log.chain import START, opened, vouched
from unseen.guard.log.entries import Head, Start, Tip
from unseen.guard.log.reading import chains, entry_of, lines_of, segments
from unseen.guard.log.tips import opened_tips, tips_files
from unseen.guard.log.vouching import by_chain, lacking, together

OTHER_KEY = "it names another signing key"


class Verdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was found of one chain. `bad` is the first record that is wrong, as a sentence; "" where none is.

    `unsigned` counts the records after the last signature: whoever can write the folder could replace those, and only
    those, without its being seen. Where the last segment has no orderly end (`ended`), as of a guard that runs or was
    killed, records after the chain's last tip may also have been cut off there: only what was exported meanwhile would
    show it. `torn_bytes` are what killed writers left behind: never part of a record.
    """

    chain: str
    records: int
    signed: int
    unsigned: int
    torn_bytes: int
    bad: str
    ended: bool


def verify(folder: Path, public_keys: Sequence[bytes] = ()) -> list[Verdict]:
    """Judge every chain below `folder`, and that none lacks what others, or the tips kept beside the log, vouch for.

    A chain that stands in two folders is bad in both. Without `public_keys` each is judged by the key that it names
    itself.
    """
    keys = tuple(public_keys)
    kept = {path: path.read_bytes() for path in tips_files(folder)}  # before the chains, which only grow meanwhile
    found = {path.name: _read(path, keys) for path in chains(folder) if segments(path)}  # one is made before its first
    tips = {path: opened_tips(content, keys) for path, content in kept.items()}
    said = [dict.fromkeys(of or (), f"{path.parent.name}/{path.name}") for path, of in tips.items()]
    said += [one.said for one in found.values()]
    extra = [_held(folder, found, chain, of, keys) for chain, of in by_chain(together(said)).items()]
    for path in (path for path, of in tips.items() if of is None):
        bad = f"{path.parent.name}/{path.name}: it was changed, or is not signed by this log's key"
        one = found.setdefault(path.stem, _State(path.stem, keys))
        one.bad = one.bad or bad
    _mark_copies(found)
    return [one.verdict() for one in found.values()] + [one for one in extra if one is not None]


def _mark_copies(found: dict[str, "_State"]) -> None:
    """Mark every folder whose chain stands in another one too: nothing says which is the copy."""
    folders: dict[str, list[str]] = {}
    for name, one in found.items():
        folders.setdefault(one.chain or name, []).append(name)
    for name, one in found.items():
        if others := [other for other in folders[one.chain or name] if other != name]:
            stands = f"the same chain stands in {' and '.join(others)}"
            one.bad = one.bad or f"record 1: {stands}: one of them is a copy, and all in it would count twice"


def _held(
    folder: Path, found: dict[str, "_State"], chain: str, said: dict[Tip, str], keys: tuple[bytes, ...]
) -> Verdict | None:
    """Hold one chain against its tips: mark it as bad, or return what is to say where it is not there at all."""
    most = max(said, key=lambda tip: tip.n)
    one = _longest(found, chain)
    if one is None or (not one.bad and lacking(one.number, one.marks, said)):
        again = _read(folder / most.folder, keys)  # a guard that runs may have written it after we looked
        if again.chain == chain or (not again.chain and most.folder in found):  # its beginning may be what is gone
            found[most.folder] = one = again
    if one is not None:
        one.bad = one.bad or lacking(one.number, one.marks, said)
        return None
    bad = f"record 1: all of chain {chain} is missing: {said[most]} vouches for it up to record {most.n}"
    return Verdict(most.folder, 0, 0, 0, 0, bad, ended=True)


def _longest(found: dict[str, "_State"], chain: str) -> "_State | None":
    return max((one for one in found.values() if one.chain == chain), key=lambda one: one.number, default=None)


def verify_chain(folder: Path, public_keys: Sequence[bytes] = ()) -> Verdict:
    """Judge one chain by itself: order, hashes, links between segments, signatures."""
    return _read(folder, tuple(public_keys)).verdict()


def _read(folder: Path, keys: tuple[bytes, ...]) -> "_State":
    state = _State(folder.name, keys)
    there = segments(folder)
    for place, path in enumerate(there):
        if int(path.stem) != place + 1:
            state.bad = f"segment {place + 1} is missing: {path.name} stands in its place"
        else:
            state.bad = state.segment(path)
        if state.bad:
            break
    if not there:
        state.bad = "there is no segment"
    return state


class _State:
    """How far a chain has been read."""

    def __init__(self, name: str, keys: tuple[bytes, ...]) -> None:
        self.name = name
        self.keys = keys
        self.bad = ""
        self.marks: dict[int, bytes] = {}  # hashes of starts and heads
        self.said: dict[Tip, str] = {}  # of other chains
        self.hash = START
        self.chain = ""
        self.ended = False
        self.number = self.heads = self.vouched = self.torn = self.tail = 0

    def verdict(self) -> Verdict:
        """Return what was found."""
        unsigned = self.number - self.vouched
        return Verdict(self.name, self.number, self.heads, unsigned, self.torn, self.bad, self.ended)

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
            if isinstance(entry, Start | Head):
                self.marks[self.number] = self.hash
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
            return self._start(entry) or self._others(entry)
        if isinstance(entry, Head):
            return self._head(entry) or self._others(entry)
        return ""

    def _others(self, entry: Start | Head) -> str:
        for tip in entry.others:
            if tip.chain == self.chain and tip.n >= entry.n:
                return f"others stood in its place, up to record {tip.n} at least, and were cut off"
            self.said.setdefault(tip, f"record {entry.n} of {self.name}")
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
