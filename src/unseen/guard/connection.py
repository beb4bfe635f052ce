"""Connection: uvicorn's HTTP with limits on the size of a request's head, and on how long it and its answer take."""

import asyncio
import fcntl
import struct
import termios
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from unseen.guard.outbox import Delayed, Outbox

HEAD_BYTES = 32_768
TAKEN = 65_536  # bytes of an answer that is waiting which a client takes at least, in the time that a request may take


def not_taken(transport: Any) -> int:
    """Return how many bytes of what was written the other side has not taken, here and in the kernel."""
    size = int(transport.get_write_buffer_size())
    sock = transport.get_extra_info("socket")
    if sock is None:
        return size
    try:
        (queued,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))
    except (OSError, ValueError):  # it is closed
        return size
    return size + int(queued)


class NoMore(list[tuple[bytes, bytes]]):
    """The headers of a request whose head is whole: what comes after its body is no header, and becomes a 400."""

    def append(self, header: object) -> None:
        """Refuse a trailer: what a proxy in front has checked are the headers."""
        del header
        raise ValueError("a trailer")


NO_MORE = NoMore()
LATE = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 34\r\n"
    b"connection: close\r\n\r\nThe request took too long to come."
)


class GuardedHttp(HttpToolsProtocol):
    """Closes a connection whose request has too long a head, or does not come in time, and reports what is no HTTP.

    It closes one whose client does not take its answer, too: what waits for it is kept in memory.

    A request that comes whole at once, as nearly all do, costs a few comparisons.
    """

    patience_s = 10.0
    outbox = Outbox()  # of all connections of a server
    _open = False  # whether a request has begun and is not whole
    _bytes = 0  # of the head, or since a part of the body came
    _mixed = False  # whether a part of a body, or the end of a request, came with what came last
    _least = HEAD_BYTES  # how much must have come at once for a head to be measured once it is whole
    _large = False  # whether that much came
    _timer: asyncio.TimerHandle | None = None
    _waits: asyncio.TimerHandle | None = None  # for the client to take what was written

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(Delayed(transport, self.outbox))
        self._timer = self.loop.call_later(self.patience_s, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._rest()
        self._taken()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """More is written than the client has taken: it has a while to take some."""
        super().pause_writing()
        self._wait(not_taken(self.transport))

    def resume_writing(self) -> None:
        """The client has taken nearly all."""
        self._taken()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Take what came; wait for the rest where it does not end a request."""
        self._large = len(data) > self._least
        self._mixed = False
        super().data_received(data)
        if not self._open:
            if self._timer is None and (self.cycle is None or self.cycle.response_complete):  # an empty line, say
                self._timer = self.loop.call_later(self.patience_s, self._late)
            return
        if not self._mixed:
            self._bytes += len(data)
        elif self._head:  # how much of it is of this head is not known
            self._least = 0
        else:
            self._bytes = 0
        if self._bytes > HEAD_BYTES:
            self.send_400_response("The head of the request, or what is around its body, is too long.")
        elif self._timer is None:
            self._timer = self.loop.call_later(self.patience_s, self._late)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._open = True
        self._bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is whole: what is asked for is a path, and nothing else; what is raised here becomes a 400."""
        if self.url[:1] != b"/" or b"#" in self.url:
            raise ValueError("no path")
        if self._large:
            self._least = HEAD_BYTES
            if sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES:
                raise ValueError("too long a head")
        super().on_headers_complete()
        self.headers = NO_MORE

    def on_body(self, body: bytes) -> None:
        """A part of its body comes."""
        self._mixed = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """It is whole."""
        self._open = False
        self._mixed = True
        self._rest()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, and let the application write it down."""
        self._open = False
        self._note("bad-http")
        super().send_400_response(msg)

    @property
    def _head(self) -> bool:
        """Whether the head of a request that is open is not whole."""
        return self.headers is not NO_MORE

    def _note(self, what: str) -> None:
        if (note := getattr(self.app, "unreadable", None)) is not None:
            note(what)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, size: int) -> None:
        self._waits = self.loop.call_later(self.patience_s, self._stuck, size)

    def _taken(self) -> None:
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None

    def _stuck(self, before: int) -> None:
        """Break off, unless the client has taken enough meanwhile."""
        left = not_taken(self.transport)
        if before - left < TAKEN:
            self.transport.abort()
        else:
            self._wait(left)

    def _late(self) -> None:
        """Close; say why where a request has begun and no answer is on its way."""
        self._timer = None
        if self.transport.is_closing():
            return
        if self.flow.read_paused:  # by this side, until an answer is through: what is late is not the client
            self._timer = self.loop.call_later(self.patience_s, self._late)
            return
        if self._open:
            self._note("late")
            if self._nothing_said():
                self.transport.write(LATE)
        self.transport.close()

    def _nothing_said(self) -> bool:
        before = self.cycle is None or (self.cycle.response_complete and self._head)
        return not self.pipeline and (before or not (self._head or self.cycle.response_started))
