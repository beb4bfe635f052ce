"""Writer: one worker's chain, appended record by record, in segments that are never changed afterwards."""

import asyncio
import errno
import os
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from unseen.disk import PART, refused
from unseen.errors import FolderError
from unseen.guard.log.chain import START, linked, public_of, signed
from unseen.guard.log.entries import Done, Entry, Head, Start, Tip
from unseen.guard.log.reading import End, chain_end, segments
from unseen.guard.log.tips import Tips, on_disk
from unseen.guard.policy import Log

SYNC_S = 0.005  # how long a record waits for others before the disk is asked to keep them all
SYNC_AT = 256  # how many records are enough to ask at once
HEAD_S = 10.0  # a signature stands at most this many seconds after a record, or `sign_every` records
TIP_S = 10.0  # signatures nearer than this to the last tip leave none


class Writer:
    """Appends records to the chain in `folder`. A record is in the kernel's hands when `append` returns.

    That survives `kill -9`; `kept` waits until the disk has it, which survives a power cut. Raises `FolderError`
    where a record cannot be written: whoever answers requests must not answer then. How far the chain has come is
    kept beside the log as a tip, and copied from there by all other writers.
    """

    def __init__(self, folder: Path, key: Ed25519PrivateKey, settings: Log, *, policy: str, version: str) -> None:
        self._folder = folder
        self._key = key
        self._settings = settings
        self.policy = policy
        self._version = version
        self._file = -1
        self._unsynced = self._since = self._number = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log")
        self._sync: asyncio.Task[None] | None = None
        self.told: tuple[Callable[[Entry], None], ...] = ()  # called with each entry once it is written
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise refused("the audit log", folder, error) from None
        self._tips = Tips(folder, key)
        self._open()
        self._tips.keep(self._mark, self._path)

    @property
    def number(self) -> int:
        """The number of the last record."""
        return self._number

    def append(self, noun: type, **fields: Any) -> int:
        """Write one record and return its number."""
        n, t = self.place()
        return self.put(noun(n=n, t=t, **fields))

    def place(self) -> tuple[int, float]:
        """Return the number of the record that comes next, and its time: for `put`."""
        if self._file < 0 or self._size > self._settings.segment_bytes:
            self.roll()
        return self._number + 1, round(time.time(), 3)

    def put(self, entry: Entry) -> int:
        """Write one record, made for the place that `place` gave just now, and return its number."""
        self._write(entry)
        self._since += 1
        if self._since >= self._settings.sign_every or time.monotonic() - self._signed > HEAD_S:
            self.sign()
        for tell in self.told:
            tell(entry)
        return self._number

    def sign(self, *, last: bool = False) -> None:
        """Write a signed head, unless the last record is one."""
        if self._since or last:
            signature = signed(self._key, self._chain, self._number, self._hash)
            others = self._tips.others(self._chain, self._number) if last else ()
            self._write(Head(self._number + 1, round(time.time(), 3), signature, last, others))
            self._mark = self._last()
            if not last and time.monotonic() - self._tipped > TIP_S:
                self._keep_tip_later()
        self._since = 0
        self._signed = time.monotonic()

    async def kept(self) -> None:
        """Return once everything appended so far is on the disk; many wait for one write."""
        if self._sync is None or self._sync.done():
            self._sync = asyncio.create_task(self._keep(0.0 if self._unsynced >= SYNC_AT else SYNC_S))
        task = self._sync
        wanted = self._number
        await asyncio.shield(task)
        if self._synced < wanted:
            await self.kept()

    def keep_now(self) -> None:
        """Return once the disk has everything: for callers outside an event loop."""
        os.fdatasync(self._file)
        self._synced = self._number

    def close(self) -> None:
        """Sign the last head, let the disk have everything, and keep the tip."""
        ended = False
        with suppress(FolderError, OSError):
            if self._file >= 0:
                self.sign(last=True)
                self._let_go()
                ended = True
        self._file = -1
        self._thread.shutdown()
        if ended:
            self._tips.keep(self._mark, self._path)

    def roll(self) -> None:
        """Begin the next segment."""
        end = None
        if self._file >= 0:
            self.sign(last=True)
            try:
                self._let_go()
            except OSError as error:
                raise refused("the audit log", self._folder, error) from None
            end = End(self._chain, self._number, self._hash, 0)
        self._open(end)
        self._keep_tip_later()

    def _let_go(self) -> None:
        """Close the segment once the disk has it; nothing follows in it, whatever the disk says."""
        file, self._file = self._file, -1
        try:
            os.fdatasync(file)
        finally:
            os.close(file)

    async def _keep(self, pause: float) -> None:
        await asyncio.sleep(pause)
        number, self._unsynced = self._number, 0
        file = self._file
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, os.fdatasync, file)
        except OSError:  # what the kernel could not keep it may have dropped: no record follows in this segment
            if file == self._file:
                os.close(file)
                self._file = -1
            raise
        self._synced = number

    def _open(self, end: End | None = None) -> None:
        """Begin a segment after the last whole record of the one before; what was torn there stays, and is counted.

        Where that one ends is read from it, unless `end` says so.
        """
        there = segments(self._folder)
        if there and end is None:
            end = chain_end(there[-1])
        if there and end is None:
            raise FolderError(
                f"the audit log cannot go on in {self._folder}: its last segment was damaged; see unseen guard log "
                "verify, and give the folder another name to begin a new chain."
            )
        self._chain = end.chain if end else secrets.token_hex(8)
        self._hash = end.hash if end else START
        self._number = self._synced = end.number if end else 0
        self._size = self._since = 0
        self._signed = self._tipped = time.monotonic()
        segment = int(there[-1].stem) + 1 if there else 1
        self._path = self._folder / f"{segment:06d}.jsonl"
        try:
            if there:  # a tip in this segment says that the disk has all before it
                on_disk(there[-1])
        except OSError as error:
            raise refused("the audit log", self._folder, error) from None
        self._begin(
            self._path,
            Start(
                n=self._number + 1,
                t=round(time.time(), 3),
                chain=self._chain,
                segment=segment,
                before=self._hash.hex(),
                torn_bytes=end.torn_bytes if end else 0,
                public_key=public_of(self._key).hex(),
                policy=self.policy,
                version=self._version,
                others=self._tips.others(self._chain, self._number),
            ),
        )
        self._mark = self._last()
        self._since = 1
        if end and end.torn_bytes:
            self._write(Done(n=self._number + 1, t=round(time.time(), 3), what="torn", count=end.torn_bytes))

    def _last(self) -> Tip:
        return Tip(self._folder.name, self._chain, self._number, self._hash.hex())

    def _keep_tip_later(self) -> None:
        """Keep the tip in the log's thread: nobody waits for it."""
        self._tipped = time.monotonic()
        with suppress(RuntimeError):  # the writer was closed, or the process ends
            self._thread.submit(self._tips.keep, self._mark, self._path)

    def _begin(self, path: Path, start: Start) -> None:
        """Make a segment that has its start from the first moment that it has its name."""
        part = path.with_name(f"{PART}{secrets.token_hex(4)}")
        try:
            self._file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            self._write(start)
            os.link(part, path)
        except OSError as error:
            if self._file >= 0:
                os.close(self._file)
            self._file = -1
            raise refused("the audit log", self._folder, error) from None
        finally:
            part.unlink(missing_ok=True)

    def _write(self, record: Any) -> None:
        value, line = linked(self._hash, record)
        try:
            whole = os.write(self._file, line) == len(line)
            error: OSError | None = None if whole else OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as raised:
            error = raised
        if error is not None:  # what stands there is torn: the next record begins a segment after the last whole one
            os.close(self._file)
            self._file = -1
            raise refused("the audit log", self._folder, error)
        self._hash = value
        self._number += 1
        self._size += len(line)
        self._unsynced += 1
