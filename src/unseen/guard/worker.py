"""Worker: one process of a guard, its state, the gateway of the day, and an orderly end."""

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from unseen.errors import PolicyError, UnseenError
from unseen.guard.asgi import App
from unseen.guard.detectors.listed import decoys_of
from unseen.guard.gateway import Gateway, State, open_state
from unseen.guard.held import Held
from unseen.guard.listening import QuietServer, listen, server_of
from unseen.guard.log.entries import Done
from unseen.guard.opening import open_gateway, successor
from unseen.guard.pace import Turns
from unseen.guard.policy import Policy, address_of
from unseen.guard.relay import Relay
from unseen.guard.secrets import derive
from unseen.guard.snapshots import keep_writing
from unseen.guard.traced import tell_failure

FOLLOW_S = 30  # how long one that takes the place of a dead one looks at what the others hold
COLLECT = (10_000, 20, 50)  # a request makes no cycles: to look for them at every seventh is dear


@dataclass(frozen=True)
class Shared:
    """What all workers of a guard have in common; `relay` is there where they are several."""

    pace: Turns
    relay: Relay | None
    held: Held = field(default_factory=Held)


class Worker:
    """One process: its state, the gateway of the day, and the servers that use it.

    `alive` is a pipe that ends with the process that watches over the workers, if there is one.
    """

    def __init__(
        self,
        path: Path,
        policy: Policy,
        number: int,
        shared: Shared,
        alive: int | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        self.newer: tuple[Policy, ...] = ()  # those that were read since, if it takes the place of one that died
        self._say = say
        self.early: list[int] = []  # signals to read the policy again that came before it was there
        self._shared = shared
        self._alive = alive
        self._path = path
        self._policy = policy
        self._number = number
        self._gateway: Gateway | None = None
        self._watching: asyncio.Task[None] | None = None
        self._counting: asyncio.Task[None] | None = None
        self._reloads: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()  # of reloads, one after another
        self._old: list[Gateway] = []  # gateways of earlier policies, whose last answers may be on their way

    async def run(self, sock: socket.socket) -> None:
        """Answer until the server is told to stop; then let requests end, and close the state."""
        asyncio.get_running_loop().set_exception_handler(tell_failure)
        state = open_state(self._policy, self._number)
        state.pace, state.relay = self._shared.pace, self._shared.relay
        if self._shared.relay is not None:
            self._shared.relay.worker = self._number
        try:
            self._gateway = self._newest(state)
            self._watching = asyncio.create_task(self._gateway.watch.run())
            if self._policy.guard.admin is not None and self._policy.guard.workers > 1:
                self._counting = asyncio.create_task(keep_writing(state.folder, self._number, state.snapshot))
            servers = [(server_of(App(self.current), self._policy), sock)]
            if self._policy.guard.admin is not None and self._number == 0:
                from unseen.guard.admin import admin_app

                admin = server_of(admin_app(self.current, self._policy), self._policy)
                servers.append((admin, listen(*address_of(self._policy.guard.admin))))
            gc.collect()
            gc.freeze()  # what is there now stays: the collector need not look at it again
            gc.set_threshold(*COLLECT)
            self._handle_signals([server for server, _ in servers])
            if self.newer:
                self._reloads.add(asyncio.create_task(self._follow()))
            serving = [server.serve(sockets=[opened]) for server, opened in servers]
            await asyncio.gather(*serving, self._announce([server for server, _ in servers]))
        finally:
            for task in filter(None, [self._watching, self._counting, *self._reloads]):
                task.cancel()
            if self._gateway is not None:
                with suppress(Exception):  # whatever it is, the end is orderly
                    self._gateway.watch.tell_again()
            for gateway in filter(None, [*self._old, self._gateway]):
                await gateway.upstream.close()
            await state.close()

    def _newest(self, state: State) -> Gateway:
        """Return a gateway of the policy that the other workers hold."""
        if (held := self._taken(self._policy)) is None:
            return open_gateway(self._policy, state)
        gateway = open_gateway(held, state)
        self._policy = held
        state.writer.policy = held.digest
        state.writer.append(Done, what="policy", detail=held.digest)
        return gateway

    def _taken(self, own: Policy) -> Policy | None:
        """Return the policy that another worker took, where it is one that was read before this one began, and new."""
        digest = self._shared.held.digest
        return next((one for one in self.newer if one.digest == digest != own.digest), None)

    async def _follow(self) -> None:
        """Take what the others take in the first seconds: they may have been told of a new policy just before."""
        for _ in range(FOLLOW_S):
            await asyncio.sleep(1.0)
            if self._taken(self.current().policy) is not None:
                await self._renew(lambda old: self._taken(old) or old)
                return

    async def _announce(self, servers: list[QuietServer]) -> None:
        """Say where the guard listens, once every server answers."""
        for server in servers:
            await server.up.wait()
        guard = self._policy.guard
        admin = "" if guard.admin is None else f", admin API on {guard.admin}"
        url = self._policy.upstream.url
        self._say(f"unseen guard listens on {guard.listen}, in front of {url}, mode {guard.mode}{admin}.")
        if self._number == 0:  # who has the admin API too
            _tell_manager()

    def _handle_signals(self, servers: list[QuietServer]) -> None:
        loop = asyncio.get_running_loop()

        def stop() -> None:
            for server in servers:
                server.should_exit = True
            if self._alive is not None:
                loop.remove_reader(self._alive)  # it stays readable

        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, stop)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGHUP,))
        if self.early:
            self.reload()
        if self._alive is not None:
            loop.add_reader(self._alive, stop)

    def current(self) -> Gateway:
        """Return the gateway that the next request goes through."""
        if self._gateway is None:
            raise PolicyError("the guard is not open yet.")
        return self._gateway

    def reload(self) -> None:
        """Read the policy again and use it once it is read; a bad one leaves the old one running."""
        task = asyncio.create_task(self._reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _reload(self) -> None:
        await self._renew(lambda old: successor(self._path, old))

    async def _renew(self, newer: Callable[[Policy], Policy]) -> None:
        """Go over to a new policy; whatever is wrong with it, the old one stays."""
        async with self._turn:
            old = self.current()
            try:
                policy = newer(old.policy)
                key = derive(old.state.secret, "detectors")
                decoys = await asyncio.to_thread(decoys_of, policy, key)  # it may be long, and requests go on
                new = open_gateway(policy, old.state, old, decoys=decoys)
            except Exception as error:  # noqa: BLE001 - the guard goes on
                said = error if isinstance(error, UnseenError) else type(error).__name__
                sys.stderr.write(f"unseen guard: the new policy is refused, the old one stays: {said}\n")
                old.state.writer.append(Done, what="policy-refused", detail=type(error).__name__)
            else:
                self._swap(old, new)

    def _swap(self, old: Gateway, new: Gateway) -> None:
        writer, policy = old.state.writer, new.policy
        writer.policy = policy.digest
        self._gateway = new
        self._shared.held.digest = policy.digest
        if self._watching is not None:
            self._watching.cancel()
        self._watching = asyncio.create_task(new.watch.run())
        writer.append(Done, what="policy", detail=policy.digest)
        self._old.append(old)
        seconds = old.policy.guard.read_timeout_s + old.policy.upstream.timeout_s + 1.0
        asyncio.get_running_loop().call_later(seconds, lambda: asyncio.ensure_future(self._retire(old)))
        self._say(f"unseen guard: policy {policy.digest} holds from now, mode {policy.guard.mode}.")

    async def _retire(self, old: Gateway) -> None:
        """Let go of an earlier policy's connections: nothing that it asked can still be unanswered."""
        if old in self._old:
            self._old.remove(old)
            await old.upstream.close()


def _tell_manager() -> None:
    """Tell a service manager that the guard is ready, if one asked to be told (`sd_notify(3)`)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.sendto(b"READY=1", f"\0{address[1:]}" if address[0] == "@" else address)
