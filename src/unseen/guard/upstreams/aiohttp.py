"""The model's server, asked with aiohttp: the default.

Its pool of connections and its parser do the work. Its session, which keeps cookies, follows redirects and reads
settings of proxies, is left out: none of these may happen here, and it takes half of the time of a request.
"""

import asyncio
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Any, Self

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import EMPTY_PAYLOAD
from yarl import URL

from unseen.guard import policy as policies
from unseen.guard.outbox import Outbox
from unseen.guard.refusal import Refused
from unseen.guard.upstream import HEADERS, STREAM_HEADERS, Answer, gone, late, refused_by, too_long

CHUNK = 65_536
BEFORE = range(100, 200)  # statuses that come before the answer's own
UPGRADED = 101  # but this one
PATHS = 1_000  # heads of requests that are kept
AGAIN = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)
BROKEN = (  # the last where it is asked for more of an answer whose connection it has closed
    *(aiohttp.ClientError, aiohttp.EofStream, HttpProcessingError, OSError, ValueError),
    RuntimeError,
)


class CleanConnector(aiohttp.TCPConnector):
    """Takes up no connection on which something came that nobody asked for: it would be read as the next answer."""

    async def _get(self, key: Any, traces: Any) -> Any:
        while (found := await super()._get(key, traces)) is not None and _both(found)[0].should_close:
            found.close()
        return found


class Opened:
    """One request on a connection, until its answer has come or is given up; then the connection is let go.

    `status`, `length` (-1 where it is not said) and `content` are there once the head of the answer is. `open_ended`
    says that the answer ends where the connection does.
    """

    __slots__ = ("_connection", "_timer", "content", "length", "open_ended", "protocol", "status", "transport")

    def __init__(self, connection: Connection, until: float, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self.protocol, self.transport = _both(connection)
        self.content: aiohttp.StreamReader = EMPTY_PAYLOAD
        self.status, self.length, self.open_ended = 0, -1, False
        self._timer = loop.call_at(until, self._expire)

    def begin(self, message: RawResponseMessage, content: aiohttp.StreamReader) -> None:
        """Take the head of the answer."""
        self.content = content
        self.status = message.code
        self.length = int(message.headers.get("content-length", -1))
        self.open_ended = self.length < 0 and not message.chunked
        content.on_eof(self._end)

    def refuse_cut(self) -> None:
        """Raise `ClientPayloadError` where what looked like the end of an answer was a broken connection."""
        if self.open_ended and isinstance(self.protocol.exception(), OSError):
            raise aiohttp.ClientPayloadError

    def __enter__(self) -> Self:
        """Hold the connection."""
        return self

    def __exit__(self, *_: object) -> None:
        """Break the connection off, unless its answer has ended."""
        self._timer.cancel()
        if self._connection.protocol is not None:
            self.transport.abort()
            self._connection.close()

    def _end(self) -> None:
        """Let the next request have the connection at once: what comes now is no part of the answer."""
        self._timer.cancel()
        if self.transport.get_write_buffer_size():  # the answer came before the request was through
            self.transport.abort()
            self._connection.close()
        else:
            self._connection.release()

    def _expire(self) -> None:
        """Tell whoever reads that it took too long, whatever became of the connection."""
        late = TimeoutError()
        self.protocol.set_exception(late)
        self.content.set_exception(late)
        self.transport.abort()


class AiohttpUpstream:
    """Keeps connections open; follows no redirect, reads no proxy settings, takes no cookies, decompresses nothing."""

    def __init__(self, settings: policies.Upstream, authorization: str | None) -> None:
        self._base = settings.url.rstrip("/")
        self._most = settings.max_response_bytes
        self._timeout_s = settings.timeout_s
        self._limits = aiohttp.ClientTimeout(total=settings.timeout_s, connect=settings.timeout_s)
        self._connector = CleanConnector(limit=settings.connections, ttl_dns_cache=60)
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox()
        self._address = aiohttp.ClientRequest("GET", URL(self._base), loop=self._loop)
        host = {"host": self._address.headers["host"]}
        extra = {"authorization": authorization} if authorization else {}
        self._headers = _lines(host | HEADERS | extra)
        self._stream_headers = _lines(host | STREAM_HEADERS | extra)
        self._head = lru_cache(PATHS)(self._new_head)

    async def ask(self, path: str, body: bytes | None) -> Answer:
        """See `upstream.Upstream`."""
        until = self._loop.time() + self._timeout_s
        request = self._request("GET" if body is None else "POST", path, self._headers, body)
        try:
            try:
                return await self._answer(request, until, self._limits)
            except AGAIN:
                left = until - self._loop.time()
                if body is not None or left <= 0:  # what may have been answered is asked once
                    raise
                return await self._answer(request, until, aiohttp.ClientTimeout(connect=left))
        except BROKEN as error:
            raise _told(error) from None

    async def _answer(self, request: bytes, until: float, limits: aiohttp.ClientTimeout) -> Answer:
        opened = await self._open(request, until, limits)
        with opened:
            if opened.length > self._most:
                raise too_long(opened.status)
            body = await (opened.content.read() if opened.length >= 0 else self._limited(opened))
            opened.refuse_cut()
        return Answer(opened.status, body)

    async def _limited(self, opened: Opened) -> bytes:
        parts, size = [], 0
        async for part in opened.content.iter_chunked(CHUNK):
            size += len(part)
            if size > self._most:
                raise too_long(opened.status)
            parts.append(part)
        return b"".join(parts)

    async def stream(self, path: str, body: bytes) -> AsyncIterator[bytes]:
        """See `upstream.Upstream`."""
        until = self._loop.time() + self._timeout_s
        request = self._request("POST", path, self._stream_headers, body)
        try:
            with await self._open(request, until, self._limits) as opened:
                if opened.status != 200:
                    raise refused_by(opened.status)
                yield b""
                size = 0
                while part := await opened.content.readany():
                    size += len(part)
                    if size > self._most:
                        raise too_long(opened.status)
                    yield part
                opened.refuse_cut()
        except BROKEN as error:
            raise _told(error) from None

    async def close(self) -> None:
        """See `upstream.Upstream`."""
        await self._connector.close()

    async def _open(self, request: bytes, until: float, limits: aiohttp.ClientTimeout) -> Opened:
        """Send a request and return what is known once the head of its answer is there."""
        opened = Opened(await self._connector.connect(self._address, [], limits), until, self._loop)
        try:
            opened.protocol.set_response_params(read_until_eof=True, auto_decompress=False)
            self._outbox.write(opened.transport, request)
            while True:
                message, content = await opened.protocol.read()
                if message.code not in BEFORE or message.code == UPGRADED:
                    opened.begin(message, content)
                    return opened
        except BaseException:
            opened.__exit__()
            raise

    def _request(self, method: str, path: str, headers: bytes, body: bytes | None) -> bytes:
        head = self._head(method, path, headers)
        return b"%s\r\n" % head if body is None else b"%scontent-length: %d\r\n\r\n%s" % (head, len(body), body)

    def _new_head(self, method: str, path: str, headers: bytes) -> bytes:
        return f"{method} {URL(self._base + path).raw_path_qs} HTTP/1.1\r\n".encode() + headers


def _told(error: BaseException) -> Refused:
    return late() if isinstance(error, TimeoutError) else gone()


def _both(connection: Connection) -> tuple[ResponseHandler, asyncio.Transport]:
    if connection.protocol is None or connection.transport is None:
        connection.close()
        raise aiohttp.ServerDisconnectedError
    return connection.protocol, connection.transport


def _lines(headers: dict[str, str]) -> bytes:
    """Return headers as they are sent: those of the policy, and one secret that was read as one line."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode()
