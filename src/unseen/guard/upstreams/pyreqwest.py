"""The model's server, asked with pyreqwest: faster, and young. An extra."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from unseen.errors import MissingExtra
from unseen.guard import policy as policies
from unseen.guard.upstream import HEADERS, STREAM_HEADERS, Answer, gone, late, refused_by, too_long

CHUNK = 65_536


class PyreqwestUpstream:
    """Keeps connections open; follows no redirect, reads no proxy settings, takes no cookies, decompresses nothing."""

    def __init__(self, settings: policies.Upstream, authorization: str | None) -> None:
        try:
            from pyreqwest.client import ClientBuilder
            from pyreqwest.exceptions import PyreqwestError, RequestTimeoutError
        except ImportError:
            raise MissingExtra("upstream.client = 'pyreqwest'", "pyreqwest", "guard-fast") from None
        self._late: type[Exception] = RequestTimeoutError
        self._failed: type[Exception] = PyreqwestError
        self._base = settings.url.rstrip("/")
        self._most = settings.max_response_bytes
        extra = {"authorization": authorization} if authorization else {}
        self._stream_headers = STREAM_HEADERS | extra
        builder = ClientBuilder().default_headers(HEADERS | extra).no_proxy().max_connections(settings.connections)
        builder = builder.follow_redirects(False).timeout(timedelta(seconds=settings.timeout_s))  # noqa: FBT003
        builder = builder.gzip(False).brotli(False).zstd(False).deflate(False)  # noqa: FBT003
        self._client: Any = builder.build()

    async def ask(self, path: str, body: bytes | None) -> Answer:
        """See `upstream.Upstream`."""
        url = self._base + path
        request = self._client.get(url) if body is None else self._client.post(url).body_bytes(body)
        try:
            async with request.streamed_read_buffer_limit(0).build_streamed() as response:
                size = response.get_header("content-length")
                if size is not None and int(size) > self._most:
                    raise too_long(response.status)
                if size is not None:
                    return Answer(response.status, bytes(await response.bytes()))
                return Answer(response.status, await self._limited(response))
        except self._late:
            raise late() from None
        except (self._failed, OSError, ValueError):
            raise gone() from None

    async def _limited(self, response: Any) -> bytes:
        parts, size = [], 0
        while (part := await response.body_reader.read_chunk()) is not None:
            size += len(part)
            if size > self._most:
                raise too_long(response.status)
            parts.append(bytes(part))
        return b"".join(parts)

    async def stream(self, path: str, body: bytes) -> AsyncIterator[bytes]:
        """See `upstream.Upstream`."""
        request = self._client.post(self._base + path).headers(self._stream_headers).body_bytes(body)
        try:
            async with request.streamed_read_buffer_limit(0).build_streamed() as response:
                if response.status != 200:
                    raise refused_by(response.status)
                yield b""
                size = 0
                while (part := await response.body_reader.read_chunk()) is not None:
                    size += len(part)
                    if size > self._most:
                        raise too_long(response.status)
                    yield bytes(part)
        except self._late:
            raise late() from None
        except (self._failed, OSError, ValueError):
            raise gone() from None

    async def close(self) -> None:
        """See `upstream.Upstream`."""
        await self._client.close()
