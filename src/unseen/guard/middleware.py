"""The guard as ASGI middleware: in front of an application of the same process, without a second server."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from unseen.guard.asgi import App, Receive, Send
from unseen.guard.gateway import Gateway, open_state
from unseen.guard.policy import Policy, policy_from, read_policy
from unseen.guard.serving import open_gateway
from unseen.guard.upstream import HEADERS, Answer, gone, late, refused_by, too_long

Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class Middleware:
    """Answers for `app` as a policy says. `upstream` of the policy is not asked: `app` is.

    With Starlette or FastAPI: `app.add_middleware(Middleware, policy="policy.toml")`.
    """

    def __init__(self, app: Application, policy: Policy | dict[str, Any] | str | Path) -> None:
        self._app = app
        self._policy = (
            policy
            if isinstance(policy, Policy)
            else policy_from(policy)
            if isinstance(policy, dict)
            else read_policy(policy)
        )
        self._gateway: Gateway | None = None
        self._watching: asyncio.Task[None] | None = None
        self._guard = App(self._current)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request; the application hears of the beginning and the end of the server's life as ever."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, self._closing(send))
            return
        if self._gateway is None:
            state = open_state(self._policy)
            self._gateway = open_gateway(self._policy, state, upstream=ApplicationUpstream(self._app, self._policy))
            self._watching = asyncio.create_task(self._gateway.watch.run())
        await self._guard(scope, receive, send)

    def _current(self) -> Gateway:
        if self._gateway is None:
            raise RuntimeError("the guard is not open yet")
        return self._gateway

    def _closing(self, send: Send) -> Send:
        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "lifespan.shutdown.complete" and self._gateway is not None:
                gateway, self._gateway = self._gateway, None
                if self._watching is not None:
                    self._watching.cancel()
                await gateway.state.close()
            await send(message)

        return sending


class ApplicationUpstream:
    """An ASGI application, asked like a server."""

    def __init__(self, app: Application, policy: Policy) -> None:
        self._app = app
        self._most = policy.upstream.max_response_bytes
        self._timeout_s = policy.upstream.timeout_s

    async def ask(self, path: str, body: bytes | None) -> Answer:
        """See `upstream.Upstream`."""
        status, parts, size = 0, [], 0
        try:
            async with asyncio.timeout(self._timeout_s), aclosing(self._messages(path, body)) as messages:
                async for message in messages:
                    if message["type"] == "http.response.start":
                        status = int(message["status"])
                    elif message["type"] == "http.response.body":
                        parts.append(message.get("body", b""))
                        size += len(parts[-1])
                        if size > self._most:
                            raise too_long()
        except TimeoutError:
            raise late() from None
        if not status:
            raise gone()
        return Answer(status, b"".join(parts))

    async def stream(self, path: str, body: bytes) -> AsyncIterator[bytes]:
        """See `upstream.Upstream`."""
        size = 0
        async with aclosing(self._messages(path, body)) as messages:
            async for message in messages:
                if message["type"] == "http.response.start":
                    if message["status"] != 200:
                        raise refused_by(int(message["status"]))
                    yield b""
                elif message["type"] == "http.response.body":
                    size += len(message.get("body", b""))
                    if size > self._most:
                        raise too_long()
                    yield message.get("body", b"")

    async def close(self) -> None:
        """See `upstream.Upstream`."""

    async def _messages(self, path: str, body: bytes | None) -> AsyncGenerator[MutableMapping[str, Any]]:
        queue: asyncio.Queue[MutableMapping[str, Any] | None] = asyncio.Queue(maxsize=16)
        given = iter([{"type": "http.request", "body": body or b"", "more_body": False}])

        async def receive() -> MutableMapping[str, Any]:
            return next(given, {"type": "http.disconnect"})

        async def run() -> None:
            try:
                await self._app(_scope(path, body), receive, queue.put)
            finally:
                await queue.put(None)

        task = asyncio.create_task(run())
        try:
            while (message := await queue.get()) is not None:
                yield message
            try:
                await task
            except Exception:  # noqa: BLE001 - whatever the application raised
                raise gone() from None
        finally:
            task.cancel()


def _scope(path: str, body: bytes | None) -> dict[str, Any]:
    headers = {**HEADERS, "content-length": str(len(body or b""))}
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET" if body is None else "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "server": ("guard", 80),
        "client": ("guard", 0),
    }
