"""A server on a socket that answers every request by a script of ours: whatever a broken network or server may do."""

import asyncio
import contextlib

WORDS = b"words of the server's own"
GOOD = b'{"predictions": [[0.7123, 0.2, 0.0877]]}'


def whole(body=GOOD, status=b"200 OK", extra=b""):
    """A plain answer."""
    head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%s\r\n" % (status, len(body), extra)
    return head + body


class FaultProxy:
    """`script(reader, writer)` is called once a request has come; `asked` counts them, `left` counts closed ends."""

    def __init__(self, script):
        self._script = script
        self.asked = self.left = 0
        self._tasks = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks)

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._request(reader):
                self.asked += 1
                if await self._script(reader, writer):
                    break
        self.left += 1
        writer.close()

    async def _request(self, reader):
        """Read one request; False where the other end has closed."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return False
        size = [int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
        await reader.readexactly(size[0] if size else 0)
        return True


def says(*parts, pause=0.0, then="close"):
    """A script: write the parts, pausing before each but the first; then close, reset, half-close, stay, or keep."""

    async def script(reader, writer):
        for number, part in enumerate(parts):
            if number:
                await asyncio.sleep(pause)
            writer.write(part)
            await writer.drain()
        if then == "reset":
            writer.transport.abort()
        elif then == "half-close":
            writer.write_eof()
            await asyncio.sleep(0.3)
        elif then == "stay":
            await reader.read()
        return then != "keep"

    return script


def giant(size):
    """A script: an answer of `size` bytes without a length, as fast as it is read."""

    async def script(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        block = b"%x\r\n" % 65536 + b" " * 65536 + b"\r\n"
        for _ in range(size // 65536):
            writer.write(block)
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        return True

    return script
