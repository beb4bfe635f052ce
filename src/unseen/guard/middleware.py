"""The guard as ASGI middleware: in front of an application of the same process, without a second server."""

import asyncio
import atexit
import logging
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from unseen.errors import UnseenError
from unseen.guard.asgi import NO_STORE, App, Receive, Send, live
from unseen.guard.checking import refuse_useless
from unseen.guard.gateway import Gateway, open_state
from unseen.guard.keys import closed_to_all
from unseen.guard.opening import open_gateway
from unseen.guard.policy import Policy, policy_from, read_policy
from unseen.guard.refusal import Refused
from unseen.guard.unusable import unusable
from unseen.guard.upstreams.application import OUTER, Application, ApplicationUpstream

LOG = logging.getLogger("unseen.guard")
ENDS = frozenset({"lifespan.startup.failed", "lifespan.shutdown.complete", "lifespan.shutdown.failed"})
NOT_OPEN = Refused(503, "not_open", "The guard is not open, and answers nothing.")


class Middleware:
    """Answers for `app` as a policy says. `upstream` of the policy is not asked: `app` is.

    With Starlette or FastAPI: `app.add_middleware(Middleware, policy="policy.toml")`. The guard is opened and closed
    with the server's lifespan, whose start fails where the guard cannot be opened. Where nobody tells of that, the
    first request opens it, and it is closed by `aclose`, or else when the process ends in order.
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
        refuse_useless(self._policy)
        self._gateway: Gateway | None = None
        self._told = ""  # why it could not be opened, as the logger has it
        self._watching: asyncio.Task[None] | None = None
        self._guard = App(self._current)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request; the application hears of the beginning and the end of the server's life as ever."""
        if scope["type"] == "lifespan":
            await self._begin(scope, receive, send)
            return
        if scope["type"] == "http" and not self._opens():
            await _say(NOT_OPEN, send)
            return
        outer = OUTER.set(scope)
        try:
            await self._guard(scope, receive, send)
        finally:
            OUTER.reset(outer)

    def _open(self) -> None:
        """Open the guard where it is not. Raises `PolicyError` or `FolderError`."""
        if self._gateway is not None:
            return
        try:
            state = open_state(self._policy)
        except OSError as error:
            if not isinstance(error.filename, str | Path):
                raise
            raise unusable(Path(error.filename), error) from None
        try:
            upstream = ApplicationUpstream(self._app, self._policy)
            self._gateway = open_gateway(self._policy, state, upstream=upstream)
        except BaseException:
            state.close_now()
            raise
        self._watching = asyncio.create_task(self._gateway.watch.run())
        atexit.register(self._close_now)
        if closed := closed_to_all(self._policy, state.keys):
            LOG.warning("unseen guard: %s", closed)

    def _opens(self) -> bool:
        """Whether the guard is open now; what keeps it from that is told to the operator once, and to no client."""
        try:
            self._open()
        except UnseenError as error:
            if str(error) != self._told:
                self._told = str(error)
                LOG.error("unseen guard: %s", error)  # noqa: TRY400 - a sentence with the fix, not a fault
            return False
        return True

    def _current(self) -> Gateway:
        if self._gateway is None:
            raise RuntimeError("the guard is not open yet")
        return self._gateway

    async def aclose(self) -> None:
        """Give back what is held of the budgets, and sign the log; the next request would open the guard again."""
        if (gateway := self._let_go()) is not None:
            await gateway.upstream.close()
            await gateway.state.close()

    def _close_now(self) -> None:
        if (gateway := self._let_go()) is not None:
            gateway.state.close_now()

    def _let_go(self) -> Gateway | None:
        gateway, self._gateway = self._gateway, None
        atexit.unregister(self._close_now)
        if self._watching is not None and not self._watching.get_loop().is_closed():
            self._watching.cancel()
        return gateway

    async def _begin(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Open the guard, then let the application begin; where the guard cannot be opened, nothing begins."""
        first = [await receive()]
        try:
            self._open()
        except UnseenError as error:
            await send({"type": "lifespan.startup.failed", "message": f"unseen guard: {error}"})
            raise

        async def receiving() -> MutableMapping[str, Any]:
            return first.pop() if first else await receive()

        try:
            await self._live(scope, self._ending(receiving), self._closing(send))
        except BaseException:
            await self.aclose()
            raise

    async def _live(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Let the application hear of the server's life; one that does not listen to it is spoken for."""
        listens = False

        async def listening() -> MutableMapping[str, Any]:
            nonlocal listens
            listens = True
            return await receive()

        try:
            await self._app(scope, listening, send)
        except Exception:
            if listens:
                raise
        if not listens:
            await live(receive, send)

    def _ending(self, receive: Receive) -> Receive:
        async def receiving() -> MutableMapping[str, Any]:
            message = await receive()
            if message["type"] == "lifespan.shutdown" and self._gateway is not None:
                await self._gateway.upstream.close()  # background tasks end before what they use does
            return message

        return receiving

    def _closing(self, send: Send) -> Send:
        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] in ENDS:
                await self.aclose()
            await send(message)

        return sending


async def _say(refused: Refused, send: Send) -> None:
    """Answer with a refusal where there is no guard to do it."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(refused.body)), NO_STORE]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": refused.body})
