"""Outbox: what one turn of the event loop writes leaves at its end, a connection's parts together.

A write wakes whoever waits for it, and a woken process takes the caches from this one. Written one after another at
the end of a turn, the answers of many requests cost half as much of that, and the head of an answer leaves with its
body in one packet.
"""

import asyncio
from typing import Any


class Outbox:
    """Holds what is written to transports until the event loop, one for all of them, has gone through what is ready."""

    def __init__(self) -> None:
        self._parts: dict[asyncio.Transport, list[bytes]] = {}

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write `data` at the end of this turn, after what was given before."""
        parts = self._parts.get(transport)
        if parts is not None:
            parts.append(data)
            return
        if not self._parts:
            asyncio.get_running_loop().call_soon(self._flush)
        self._parts[transport] = [data]

    def flush(self, transport: asyncio.Transport) -> None:
        """Write now what is held for one transport."""
        _write(transport, self._parts.pop(transport, ()))

    def _flush(self) -> None:
        held, self._parts = self._parts, {}
        for transport, parts in held.items():
            try:
                _write(transport, parts)
            except Exception:  # noqa: BLE001 - whatever it is, it is this connection's alone
                transport.abort()


def _write(transport: asyncio.Transport, parts: Any) -> None:
    if parts and not transport.is_closing():
        transport.write(parts[0] if len(parts) == 1 else b"".join(parts))


class Delayed(asyncio.Transport):
    """A transport whose writes go through an outbox; it closes after what was written."""

    def __init__(self, transport: asyncio.Transport, outbox: Outbox) -> None:
        super().__init__()
        self._transport = transport
        self._outbox = outbox
        self.is_closing = transport.is_closing  # type: ignore[method-assign] # asked often: one call, not two
        self.get_extra_info = transport.get_extra_info  # type: ignore[method-assign]
        self.pause_reading = transport.pause_reading  # type: ignore[method-assign]
        self.resume_reading = transport.resume_reading  # type: ignore[method-assign]
        self.get_write_buffer_size = transport.get_write_buffer_size  # type: ignore[method-assign]
        self.abort = transport.abort  # type: ignore[method-assign]

    def write(self, data: Any) -> None:
        """See `asyncio.Transport`."""
        self._outbox.write(self._transport, data)

    def close(self) -> None:
        """See `asyncio.Transport`."""
        self._outbox.flush(self._transport)
        self._transport.close()
