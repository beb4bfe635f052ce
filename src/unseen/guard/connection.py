"""Connection: uvicorn's HTTP with limits on the size of a request's head and on how long a request may take to come."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 32_768


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

    A request that comes whole at once, as nearly all do, costs a few comparisons.
    """

    patience_s = 10.0
    _open = False  # whether a request has begun and is not whole
    _head = False  # whether its head is not whole
    _bytes = 0  # of the head, or since a part of the body came
    _body = False  # whether a part of the body came with what came last
    _large = False  # whether more came at once than a head may have
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.patience_s, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._rest()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; wait for the rest where it does not end a request."""
        self._large = len(data) > HEAD_BYTES
        super().data_received(data)
        if not self._open:
            self._rest()
            return
        self._bytes = 0 if self._body else self._bytes + len(data)
        self._body = False
        if self._bytes > HEAD_BYTES:
            self.send_400_response("The head of the request, or what is around its body, is too long.")
        elif self._timer is None:
            self._timer = self.loop.call_later(self.patience_s, self._late)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._open = self._head = True
        self._body = False
        self._bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is whole: what is asked for is a path, and nothing else; what is raised here becomes a 400."""
        self._head = False
        if self.url[:1] != b"/" or b"#" in self.url:
            raise ValueError("no path")
        if self._large and sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES:
            raise ValueError("too long a head")
        super().on_headers_complete()
        self.headers = NO_MORE

    def on_body(self, body: bytes) -> None:
        """A part of its body comes."""
        self._body = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """It is whole."""
        self._open = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, and let the application write it down."""
        self._open = self._head = False
        self._note("bad-http")
        super().send_400_response(msg)

    def _note(self, what: str) -> None:
        if (note := getattr(self.app, "unreadable", None)) is not None:
            note(what)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        """Close; say why where a request has begun and no answer is on its way."""
        self._timer = None
        if self.transport.is_closing():
            return
        if self._open:
            self._note("late")
            if self._nothing_said():
                self.transport.write(LATE)
        self.transport.close()

    def _nothing_said(self) -> bool:
        before = self.cycle is None or (self.cycle.response_complete and self._head)
        return not self.pipeline and (before or not (self._head or self.cycle.response_started))
