"""Relay: what every worker of a guard noticed, brought to the one of them whose detectors look, so that these see all.

Two sockets of the kernel's, made before the workers are: they have no name that anybody else could write to, and last
as long as the guard, whichever worker dies. The worker that looks is the one that has a lock; where it dies, the next
that asks for the lock has it. Vectors and keyed fingerprints are sent, never what a client wrote.
"""

import fcntl
import os
import socket
import struct
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

import msgspec
import numpy as np

from unseen.errors import InputError
from unseen.guard.detector import Query
from unseen.guard.nameless import nameless_file

PIECE = 60_000  # bytes sent at once: what the kernel takes wholly or not at all
LARGEST = 64_000_000  # bytes of what is sent together: more is not sent
BUFFER = 4_000_000  # bytes that may be under way, where the kernel grants so many
PIECES = struct.Struct("<I??")  # the worker that sends, whether a piece is the first, and whether it is the last
KIND = socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_DGRAM


class Noticed(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A query as it is sent: its vectors are numbers of four bytes, `columns` to a record, or none with 0 columns."""

    client: str
    when: float
    columns: int
    vectors: bytes
    fingerprints: tuple[bytes, ...]
    parameters: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Noticed(client={self.client!r})"


class Relay:
    """One end for all workers of a guard, each a child of the process that made it; `worker` is whose it is."""

    def __init__(self) -> None:
        self.worker = 0
        self._lock = nameless_file()
        self._outlet, self._inlet = socket.socketpair(socket.AF_UNIX, KIND)
        with suppress(OSError):  # the kernel grants what it grants
            self._outlet.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        for end in (self._outlet, self._inlet):
            end.settimeout(0)
        self._rest: deque[bytes] = deque()  # pieces that are still to be sent
        self._begun: dict[int, bytearray] = {}  # what each worker has sent a part of

    def close(self) -> None:
        """Let go of the sockets and of the lock; where another process has them too, they stay open there."""
        self._outlet.close()
        self._inlet.close()
        os.close(self._lock)

    def looks(self) -> bool:
        """Whether this worker is the one that looks. It is from now on, where no other is."""
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def ready(self) -> bool:
        """Send what is still to be sent, as far as there is room; return whether all of it is."""
        try:
            while self._rest:
                self._outlet.send(self._rest[0])
                self._rest.popleft()
        except OSError:  # no room now
            return False
        return True

    def send(self, queries: Sequence[Query]) -> bool:
        """Send queries together, as there is room; False where they are too large to be sent at all."""
        sent = msgspec.msgpack.encode([_noticed(query) for query in queries])
        if len(sent) > LARGEST:
            return False
        starts = range(0, len(sent), PIECE)
        for at in starts:
            self._rest.append(PIECES.pack(self.worker, at == 0, at == starts[-1]) + sent[at : at + PIECE])
        self.ready()
        return True

    def received(self) -> list[Query]:
        """Return what one worker has sent together, if anything. Raises `InputError` for what is no query."""
        while (piece := self._piece()) is not None:
            try:
                if queries := self._queries(piece):
                    return queries
            except (struct.error, msgspec.DecodeError, ValueError, InputError):
                raise InputError("what a worker has sent is no query.") from None
        return []

    def _piece(self) -> bytes | None:
        try:
            return self._inlet.recv(PIECES.size + PIECE)
        except BlockingIOError:
            return None

    def _queries(self, piece: bytes) -> list[Query]:
        """Return the queries that end with a piece; one without a beginning went to a worker that has died."""
        worker, first, last = PIECES.unpack_from(piece)
        if first:
            self._begun[worker] = bytearray()
        if (begun := self._begun.get(worker)) is None:
            return []
        begun += piece[PIECES.size :]
        if len(begun) > LARGEST:
            del self._begun[worker]
            raise ValueError("too large")
        if not last:
            return []
        return [_query(noticed) for noticed in msgspec.msgpack.decode(self._begun.pop(worker), type=list[Noticed])]


def _noticed(query: Query) -> Noticed:
    vectors, columns = b"", 0
    if query.vectors is not None:
        vectors, columns = query.vectors.astype("<f4").tobytes(), query.vectors.shape[1]
    return Noticed(query.client, query.when, columns, vectors, query.fingerprints, tuple(query.parameters))


def _query(noticed: Noticed) -> Query:
    vectors = None
    if noticed.columns:
        vectors = np.frombuffer(noticed.vectors, dtype="<f4").reshape(-1, noticed.columns)
    parameters = frozenset(noticed.parameters)
    return Query(noticed.client, noticed.when, vectors, fingerprints=noticed.fingerprints, parameters=parameters)
