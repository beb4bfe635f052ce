"""The model's server, asked with aiohttp: the default.

Its pool of connections and its parser do the work. Its session, which keeps cookies, follows redirects and reads
settings of proxies, is left out: none of these may happen here, and it takes half of the time of a request.
"""

import asyncio
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Any, Self

import aiohttp
import msgspec
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from unseen.guard import policy as policies
from unseen.guard.outbox import Outbox
from unseen.guard.refusal import Refused
from unseen.guard.upstream import HEADERS, STREAM_HEADERS, Answer, gone, late, refused_by, too_long

CHUNK = 65_536
BEFORE = range(100, 200)  # statuses that come before the answer's own
UPGRADED = 101  # but this one
PATHS = 1_000  # heads of requests that are kept
EARLY_S = 0.01  # by which the timer of an event loop may be early
AGAIN = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)
BROKEN = (aiohttp.ClientError, aiohttp.EofStream, HttpProcessingError, OSError, ValueError)


class CleanConnector(aiohttp.TCPConnector):
    """Takes up no connection on which something came that nobody asked for: it would be read as the next answer."""

    async def _get(self, key: Any, traces: Any) -> Any:
        waiting = self._conns.get(key)
        while waiting and waiting[0][0].should_close:
            waiting.popleft()[0].close()
        return await super()._get(key, traces)


class Opened(msgspec.Struct, frozen=True):
    """A connection on which an answer has begun: its status, its length where it is said (else -1), and its body.

    `open_ended` says that the answer ends where the connection does, so that what breaks off looks like an end.
    Left before the body's end the connection is closed; otherwise the next request takes it.
    """

    connection: Connection
    timer: asyncio.TimerHandle
    status: int
    length: int
    open_ended: bool
    content: aiohttp.StreamReader

    def __enter__(self) -> Self:
        """Hold the connection."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Let go of it."""
        self.timer.cancel()
        if kind is None or self.content.is_eof():
            self.connection.release()
        else:
            self.connection.close()


class AiohttpUpstream:
    """Keeps connections open; follows no redirect, reads no proxy settings, takes no cookies, decompresses nothing.

    Where an answer takes too long, its connection is broken off: whoever reads it wakes up, and looks at the clock.
    """

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
            answer = await self._answer(request, until)
        except AGAIN as error:
            if body is not None or self._is_late(until):  # what may have been answered is asked once
                raise self._broken(error, until) from None
            try:
                answer = await self._answer(request, until)
            except BROKEN as error:
                raise self._broken(error, until) from None
        except BROKEN as error:
            raise self._broken(error, until) from None
        return answer

    async def _answer(self, request: bytes, until: float) -> Answer:
        with await self._open(request, until) as opened:
            if opened.length > self._most:
                raise too_long(opened.status)
            body = await (opened.content.read() if opened.length >= 0 else self._limited(opened))
        if opened.open_ended and self._is_late(until):
            raise late()
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
        try:
            with await self._open(self._request("POST", path, self._stream_headers, body), until) as opened:
                if opened.status != 200:
                    raise refused_by(opened.status)
                yield b""
                size = 0
                while part := await opened.content.readany():
                    size += len(part)
                    if size > self._most:
                        raise too_long(opened.status)
                    yield part
        except BROKEN as error:
            raise self._broken(error, until) from None
        if opened.open_ended and self._is_late(until):
            raise late()

    async def _open(self, request: bytes, until: float) -> Opened:
        """Send a request and return what is known once the head of its answer is there."""
        connection = await self._connector.connect(self._address, [], self._limits)
        timer = None
        try:
            protocol, transport = _both(connection)
            timer = self._loop.call_at(until, transport.abort)
            protocol.set_response_params(read_until_eof=True, auto_decompress=False)
            self._outbox.write(transport, request)
            while True:
                message, content = await protocol.read()
                if message.code not in BEFORE or message.code == UPGRADED:
                    length = int(message.headers.get("content-length", -1))
                    open_ended = length < 0 and not message.chunked
                    return Opened(connection, timer, message.code, length, open_ended, content)
        except BaseException:
            if timer is not None:
                timer.cancel()
            connection.close()
            raise

    def _request(self, method: str, path: str, headers: bytes, body: bytes | None) -> bytes:
        head = self._head(method, path, headers)
        return b"%s\r\n" % head if body is None else b"%scontent-length: %d\r\n\r\n%s" % (head, len(body), body)

    def _is_late(self, until: float) -> bool:
        return self._loop.time() > until - EARLY_S

    def _broken(self, error: BaseException, until: float) -> Refused:
        return late() if isinstance(error, TimeoutError) or self._is_late(until) else gone()

    async def close(self) -> None:
        """See `upstream.Upstream`."""
        await self._connector.close()

    def _new_head(self, method: str, path: str, headers: bytes) -> bytes:
        return f"{method} {URL(self._base + path).raw_path_qs} HTTP/1.1\r\n".encode() + headers


def _both(connection: Connection) -> tuple[ResponseHandler, asyncio.Transport]:
    if connection.protocol is None or connection.transport is None:
        raise aiohttp.ServerDisconnectedError
    return connection.protocol, connection.transport


def _lines(headers: dict[str, str]) -> bytes:
    """Return headers as they are sent. Raises `ValueError` for one that would be more than one line."""
    if any(not name.isprintable() or not value.isprintable() for name, value in headers.items()):
        raise ValueError("a header is one line")
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode()
