"""Stream: server-sent events, read one by one, hardened, and written anew.

Only `data:` passes, as one line of JSON, and the `[DONE]` that OpenAI ends with. A stream that breaks off, or says what
cannot be read, ends with an event that says so.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import msgspec

from unseen.guard.refusal import Refused
from unseen.guard.upstream import gone
from unseen.guard.wire import decode, encode

LONGEST = 1_000_000  # bytes of one event
DONE = b"[DONE]"


async def hardened_events(parts: AsyncIterator[bytes], harden: Callable[[Any], Any]) -> AsyncIterator[bytes]:
    """Yield each event of a stream once it is whole and hardened."""
    reader = Events()
    try:
        async for part in parts:
            for data in reader.feed(part):
                if data == DONE:
                    yield b"data: [DONE]\n\n"
                    return
                yield b"data: " + encode(harden(_read(data))) + b"\n\n"
        raise gone()
    except Refused as refused:
        said = refused if refused.status >= 500 else gone()
        yield b"data: " + said.body + b"\n\n"


def _read(data: bytes) -> Any:
    try:
        return decode(data)
    except (msgspec.DecodeError, RecursionError):
        raise gone() from None


class Events:
    r"""Cuts a stream of bytes into the data of its events, whatever the cuts between the parts.

    >>> events = Events()
    >>> [list(events.feed(part)) for part in (b"data: 1", b"\n\nda", b"ta: 2\ndata: 3\n\n: ping\n\n")]
    [[], [b'1'], [b'2\n3']]
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, part: bytes) -> Iterator[bytes]:
        """Yield the data of every event that a part completes. Raises `Refused` where one is too long."""
        *lines, self._rest = (self._rest + part).replace(b"\r\n", b"\n").split(b"\n")
        if len(self._rest) > LONGEST:
            raise gone()
        for line in lines:
            if line.startswith(b"data:"):
                value = line[5:].removeprefix(b" ")
                self._size += len(value)
                if self._size > LONGEST:
                    raise gone()
                self._data.append(value)
            elif not line and self._data:
                data, self._data, self._size = b"\n".join(self._data), [], 0
                yield data
