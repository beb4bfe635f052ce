"""The model's server, asked with aiohttp: the default."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from unseen.guard import policy as policies
from unseen.guard.upstream import HEADERS, STREAM_HEADERS, Answer, gone, late, refused_by, too_long

CHUNK = 65_536


class CleanConnector(aiohttp.TCPConnector):
    """Takes up no connection on which something came that nobody asked for: it would be read as the next answer."""

    async def _get(self, key: Any, traces: Any) -> Any:
        waiting = self._conns.get(key)
        while waiting and waiting[0][0].should_close:
            waiting.popleft()[0].close()
        return await super()._get(key, traces)


class AiohttpUpstream:
    """Keeps connections open; follows no redirect, reads no proxy settings, takes no cookies, decompresses nothing."""

    def __init__(self, settings: policies.Upstream, authorization: str | None) -> None:
        self._base = settings.url.rstrip("/")
        self._most = settings.max_response_bytes
        extra = {"authorization": authorization} if authorization else {}
        self._headers, self._stream_headers = HEADERS | extra, STREAM_HEADERS | extra
        self._session = aiohttp.ClientSession(
            connector=CleanConnector(limit=settings.connections, ttl_dns_cache=60),
            timeout=aiohttp.ClientTimeout(total=settings.timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("user-agent",),
        )

    async def ask(self, path: str, body: bytes | None) -> Answer:
        """See `upstream.Upstream`."""
        try:
            async with self._session.request(
                "GET" if body is None else "POST",
                self._base + path,
                data=body,
                headers=self._headers,
                allow_redirects=False,
            ) as response:
                if (response.content_length or 0) > self._most:
                    raise too_long(response.status)
                if response.content_length is not None:
                    return Answer(response.status, await response.read())
                return Answer(response.status, await self._limited(response))
        except TimeoutError:
            raise late() from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise gone() from None

    async def _limited(self, response: aiohttp.ClientResponse) -> bytes:
        parts, size = [], 0
        async for part in response.content.iter_chunked(CHUNK):
            size += len(part)
            if size > self._most:
                raise too_long(response.status)
            parts.append(part)
        return b"".join(parts)

    async def stream(self, path: str, body: bytes) -> AsyncIterator[bytes]:
        """See `upstream.Upstream`."""
        try:
            async with self._session.post(
                self._base + path, data=body, headers=self._stream_headers, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise refused_by(response.status)
                yield b""
                size = 0
                async for part in response.content.iter_any():
                    size += len(part)
                    if size > self._most:
                        raise too_long(response.status)
                    yield part
        except TimeoutError:
            raise late() from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise gone() from None

    async def close(self) -> None:
        """See `upstream.Upstream`."""
        await self._session.close()
