"""Stream: server-sent events, read one by one, hardened, and written anew.

Only `data:` passes, as one line of JSON, and the `[DONE]` that OpenAI ends with. A stream that breaks off, or says what
cannot be read, ends with an event that says so.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, suppress
from typing import Any

import msgspec

from unseen.guard.refusal import Refused
from unseen.guard.upstream import gone
from unseen.guard.wire import decode, encode

LONGEST = 1_000_000  # bytes of one event
DONE = b"[DONE]"
LAST_S = 0.1  # between the last event and the end of the stream, at most


async def hardened_events(parts: AsyncIterator[bytes], harden: Callable[[Any], Any]) -> AsyncIterator[bytes]:
    """Yield each event of a stream once it is whole and hardened; let go of the stream however it ends."""
    reader = Events()
    try:
        async with aclosing(parts) as coming:  # type: ignore[type-var] # every stream here is a generator
            async for part in coming:
                for data in reader.feed(part):
                    if data == DONE:
                        yield b"data: [DONE]\n\n"
                        await _ended(coming)
                        return
                    yield b"data: " + encode(harden(_read(data))) + b"\n\n"
    except Refused as refused:
        said = refused if refused.status >= 500 else gone()
    except Exception:  # noqa: BLE001 - a fault of ours: nobody is told more, and nothing leaves
        said = Refused(500, "fault", "The guard failed; the rest was withheld.")
    else:
        said = gone()
    yield b"data: " + said.body + b"\n\n"


async def _ended(parts: AsyncIterator[bytes]) -> None:
    """Wait a moment for the end that follows the last event: its connection serves the next request then."""
    with suppress(TimeoutError, StopAsyncIteration, Refused):
        async with asyncio.timeout(LAST_S):
            await anext(parts)


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
        self._rest: list[bytes] = []  # of a line that is not whole
        self._held = 0  # bytes of it
        self._data: list[bytes] = []  # of an event that is not whole
        self._size = 0  # bytes of it

    def feed(self, part: bytes) -> Iterator[bytes]:
        """Yield the data of every event that a part completes. Raises `Refused` where one is too long."""
        self._rest.append(part)
        self._held += len(part)
        if b"\n" in part:
            *lines, rest = b"".join(self._rest).replace(b"\r\n", b"\n").split(b"\n")
            self._rest, self._held = [rest], len(rest)
            for line in lines:
                if line.startswith(b"data:"):
                    self._data.append(line[5:].removeprefix(b" "))
                    self._size += len(line)
                elif not line:
                    data, self._data, self._size = b"\n".join(self._data), [], 0
                    if data:
                        yield data
                if self._size > LONGEST:
                    raise gone()
        if self._held > LONGEST:
            raise gone()
