"""The guard as an ASGI application: one HTTP request in, one exchange through the layers, one reply out."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import aclosing, suppress
from functools import partial
from typing import Any

from unseen.errors import UnseenError
from unseen.guard.exchange import Exchange, Gone, Reply
from unseen.guard.gateway import Gateway, new_id
from unseen.guard.log.entries import Done
from unseen.guard.refusal import Refused, bad

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ONCE = frozenset(  # said twice, two readers could take different ones
    {b"authorization", b"x-api-key", b"content-type", b"content-length", b"content-encoding", b"transfer-encoding"}
    | {b"idempotency-key", b"host"}
)


NO_STORE = (b"cache-control", b"no-store")


class App:
    """Answers with whatever gateway `current` returns when a request begins: a reload swaps it between requests."""

    def __init__(self, current: Callable[[], Gateway]) -> None:
        self._current = current

    def unreadable(self, what: str = "bad-http") -> None:
        """Write down that something came which is no HTTP, or came too late; the server has refused it."""
        with suppress(OSError, UnseenError):
            self._current().state.writer.append(Done, what=what)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request. Anything but HTTP is refused."""
        if scope["type"] == "lifespan":
            await live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        gateway = self._current()
        exchange = Exchange(scope["method"], _below(scope), {}, b"", new_id(), time.time(), time.monotonic())
        try:
            exchange.headers = headers = _headers(scope, gateway)
            exchange.read = partial(_body, receive, headers, gateway)
        except Refused as refused:
            exchange.fault = refused
        try:
            reply = await gateway.handle(exchange)
        except Gone:
            return
        if reply.events is None:
            await _send_whole(reply, exchange, send)
        else:
            await _send_events(reply, reply.events, exchange, receive, send)


def _below(scope: Message) -> str:
    """Return the path below where the guard is mounted, as ASGI's `root_path` says."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and f"{path}/".startswith(f"{root}/") else path


def _headers(scope: Message, gateway: Gateway) -> dict[bytes, bytes]:
    """Return the headers by name; refuse what two readers could understand differently."""
    headers: dict[bytes, bytes] = {}
    given = scope["headers"]
    if len(given) > gateway.policy.guard.max_headers:
        raise Refused(431, "headers", f"A request may have {gateway.policy.guard.max_headers} headers at most.")
    for name, value in given:
        if name in headers and name in ONCE:
            raise bad("headers", "A header that may come once came twice.")
        headers[name] = value
    _refuse_others(headers, scope)
    return headers


def _refuse_others(headers: dict[bytes, bytes], scope: Message) -> None:
    """Refuse what is HTTP, and is not what is understood here."""
    if b"transfer-encoding" in headers and b"content-length" in headers:
        raise bad("headers", "A request has a length or a transfer encoding, not both.")
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise Refused(415, "content_encoding", "The body must not be compressed.")
    if b"inference-header-content-length" in headers:
        raise Refused(415, "content_type", "Tensors in binary form are not understood: send them as JSON.")
    if b"host" not in headers and scope.get("http_version") == "1.1":
        raise bad("headers", "A request of HTTP/1.1 names its host.")
    if b"upgrade" in headers:
        raise bad("headers", "Another protocol is not spoken here: leave the header upgrade out.")
    if b"%" in scope.get("raw_path", b""):
        raise bad("path", "A path is written plainly here, without percent signs.")
    if scope.get("query_string"):
        raise bad("query", "A query string is not understood: leave it out.")


async def _body(receive: Receive, headers: dict[bytes, bytes], gateway: Gateway) -> bytes:
    most = gateway.policy.guard.max_request_bytes
    size = headers.get(b"content-length", b"0")
    if not size.isdigit():
        raise bad("headers", "The content length is not a number.")
    if len(size) > 18 or int(size) > most:
        raise _too_long(most)
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        parts, length = [body], len(body)
        while message.get("more_body", False) and length <= most:
            message = await receive()
            parts.append(message.get("body", b""))
            length += len(parts[-1])
        body = b"".join(parts)
    if message["type"] == "http.disconnect":
        raise Gone
    if len(body) > most:
        raise _too_long(most)
    return body


def _too_long(most: int) -> Refused:
    return Refused(413, "size", f"A body may have {most} bytes at most.")


async def _send_whole(reply: Reply, exchange: Exchange, send: Send) -> None:
    headers = [
        (b"content-type", reply.content_type),
        (b"content-length", b"%d" % len(reply.body)),
        (b"x-request-id", exchange.id.encode()),
        NO_STORE,
    ]
    if reply.wait_s is not None:
        headers.append((b"retry-after", str(max(1, int(reply.wait_s + 0.999))).encode()))
    if reply.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


async def _send_events(
    reply: Reply, stream: AsyncIterator[bytes], exchange: Exchange, receive: Receive, send: Send
) -> None:
    """Send a stream event by event; stop asking the model once the client has gone."""
    headers = [
        (b"content-type", reply.content_type),
        NO_STORE,
        (b"x-request-id", exchange.id.encode()),
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    gone = asyncio.ensure_future(_disconnected(receive))
    task = asyncio.current_task()

    def stop(_: object) -> None:
        if task is not None:
            task.cancel()

    gone.add_done_callback(stop)  # a model that says nothing for long is let go, too
    try:
        async with aclosing(stream) as events:  # type: ignore[type-var] # every stream here is a generator
            async for event in events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    except asyncio.CancelledError:
        if task is None or not gone.done() or task.uncancel():
            raise
    finally:
        gone.remove_done_callback(stop)
        gone.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def live(receive: Receive, send: Send) -> None:
    """Say yes to the beginning and the end of a server's life."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
