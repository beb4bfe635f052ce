"""The guard as ASGI middleware: in front of an application of the same process, without a second server."""

import asyncio
import atexit
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from unseen.guard.asgi import App, Receive, Send, live
from unseen.guard.checking import refuse_useless
from unseen.guard.gateway import Gateway, open_state
from unseen.guard.opening import open_gateway
from unseen.guard.policy import Policy, policy_from, read_policy
from unseen.guard.upstreams.application import OUTER, Application, ApplicationUpstream


class Middleware:
    """Answers for `app` as a policy says. `upstream` of the policy is not asked: `app` is.

    With Starlette or FastAPI: `app.add_middleware(Middleware, policy="policy.toml")`. The guard is closed at the end of
    the server's lifespan; where nobody tells of that, by `aclose`, or else when the process ends in order.
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
        self._watching: asyncio.Task[None] | None = None
        self._guard = App(self._current)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request; the application hears of the beginning and the end of the server's life as ever."""
        if scope["type"] == "lifespan":
            await self._live(scope, self._ending(receive), self._closing(send))
            return
        if self._gateway is None:
            state = open_state(self._policy)
            try:
                upstream = ApplicationUpstream(self._app, self._policy)
                self._gateway = open_gateway(self._policy, state, upstream=upstream)
            except BaseException:
                state.close_now()
                raise
            self._watching = asyncio.create_task(self._gateway.watch.run())
            atexit.register(self._close_now)
        outer = OUTER.set(scope)
        try:
            await self._guard(scope, receive, send)
        finally:
            OUTER.reset(outer)

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
            if message["type"] in {"lifespan.shutdown.complete", "lifespan.shutdown.failed"}:
                await self.aclose()
            await send(message)

        return sending
