"""An ASGI application of this process, asked like a server; what a server would make a 500 counts as that status."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any

from unseen.guard.policy import Policy
from unseen.guard.traced import traced
from unseen.guard.upstream import HEADERS, STREAM_HEADERS, Answer, late, refused_by, too_long

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
OUTER: ContextVar[Message | None] = ContextVar("OUTER", default=None)  # the scope of the request that is answered
OWN = ("app", "state", "root_path")  # of it, what the server and the application have put there, and no client
LOG = logging.getLogger("unseen.guard")
AHEAD = 16  # messages that an application may be ahead of who reads them


class ApplicationUpstream:
    """Asks an application. It sees a request of the guard's own, with the `app` and `state` of the outer one."""

    def __init__(self, app: Application, policy: Policy) -> None:
        self._app = app
        self._most = policy.upstream.max_response_bytes
        self._timeout_s = policy.upstream.timeout_s
        self._drain_s = policy.guard.drain_s
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, path: str, body: bytes | None) -> Answer:
        """See `upstream.Upstream`."""
        status, parts, size = 0, [], 0
        async with aclosing(self._messages(path, body, HEADERS)) as messages:
            async for message in messages:
                if message["type"] == "http.response.start":
                    status = int(message["status"])
                elif message["type"] == "http.response.body":
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > self._most:
                        raise too_long(status)
        return Answer(status, b"".join(parts))

    async def stream(self, path: str, body: bytes) -> AsyncIterator[bytes]:
        """See `upstream.Upstream`."""
        size = 0
        async with aclosing(self._messages(path, body, STREAM_HEADERS)) as messages:
            async for message in messages:
                if message["type"] == "http.response.start":
                    if message["status"] != 200:
                        raise refused_by(int(message["status"]))
                    yield b""
                elif message["type"] == "http.response.body":
                    size += len(message.get("body", b""))
                    if size > self._most:
                        raise too_long(200)
                    yield message.get("body", b"")

    async def close(self) -> None:
        """Let background tasks end, for as long as requests may when a guard is told to stop."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._drain_s)
        for task in self._tasks:
            task.cancel()

    async def _messages(self, path: str, body: bytes | None, headers: dict[str, str]) -> AsyncGenerator[Message]:
        """Yield what the application sends until its answer is whole; a task that it leaves behind goes on."""
        call = Call(body or b"")
        task = asyncio.create_task(call.run(self._app, _scope(path, body, headers)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        try:
            while True:
                message = await _until(deadline, call.sent)
                if message is None:
                    raise refused_by(500)
                yield message
                if _last(message):
                    return
        finally:
            if not call.over.is_set():
                call.over.set()
                task.cancel()


class Call:
    """One call of an application: `sent` is what it says, and None where it ends too early; `over` once it need not."""

    def __init__(self, body: bytes) -> None:
        self.sent: asyncio.Queue[Message | None] = asyncio.Queue(AHEAD)
        self.over = asyncio.Event()
        self._given = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def run(self, app: Application, scope: Message) -> None:
        """Call the application, and tell the operator where it failed, without its words."""
        try:
            await app(scope, self._receive, self._send)
        except Exception as error:  # noqa: BLE001 - whatever an application raises
            what = "after its answer" if self.over.is_set() else "which is a status 500 here"
            LOG.error("unseen guard: the application failed, %s.\n%s", what, traced(error))  # noqa: TRY400
        finally:
            if not self.over.is_set():
                await self.sent.put(None)

    async def _receive(self) -> Message:
        if (given := next(self._given, None)) is not None:
            return given
        await self.over.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if not self.over.is_set():
            await self.sent.put(message)
            if _last(message):
                self.over.set()


def _last(message: Message) -> bool:
    return message["type"] == "http.response.body" and not message.get("more_body", False)


async def _until(deadline: float, sent: "asyncio.Queue[Message | None]") -> Message | None:
    try:
        async with asyncio.timeout_at(deadline):
            return await sent.get()
    except TimeoutError:
        raise late() from None


def _scope(path: str, body: bytes | None, headers: dict[str, str]) -> dict[str, Any]:
    outer = OUTER.get() or {}
    extensions = {  # those of answers are between the server and the guard
        name: value for name, value in outer.get("extensions", {}).items() if not name.startswith("http.response.")
    }
    path = str(outer.get("root_path", "")) + path
    named = {**headers, "content-length": str(len(body or b""))}
    return {
        "root_path": "",
        **{name: outer[name] for name in OWN if name in outer},
        "extensions": extensions,
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET" if body is None else "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        "server": ("guard", 80),
        "client": ("guard", 0),
    }
