"""Serving: worker processes behind one address, reload without a gap, and an orderly end."""

import asyncio
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from unseen.errors import FolderError, PolicyError, UnseenError
from unseen.guard.asgi import App
from unseen.guard.checking import refuse_useless
from unseen.guard.connection import GuardedHttp
from unseen.guard.detectors import from_settings
from unseen.guard.detectors.listed import decoys_of
from unseen.guard.gateway import Gateway, State, open_state
from unseen.guard.held import Held
from unseen.guard.keys import KeyRing
from unseen.guard.log.entries import Done
from unseen.guard.outbox import Outbox
from unseen.guard.pace import Pace, Turns
from unseen.guard.policy import Policy, address_of, read_policy
from unseen.guard.relay import Relay
from unseen.guard.same_secret import require_same
from unseen.guard.secrets import derive, read_secret, strong
from unseen.guard.shared_pace import SharedPace
from unseen.guard.snapshots import keep_writing
from unseen.guard.supervising import Supervisor
from unseen.guard.traced import tell_failure
from unseen.guard.unusable import unusable
from unseen.guard.upstream import Upstream
from unseen.guard.upstreams import open_upstream
from unseen.guard.watching import Watch

FIXED = ("listen", "admin", "admin_token", "secret", "state", "workers", "read_timeout_s", "drain_s")
BACKLOG = 1024
FOLLOW_S = 30  # how long a worker that takes the place of a dead one looks at what the others hold
COLLECT = (10_000, 20, 50)  # a request makes no cycles: to look for them at every seventh is dear


def serve(path: Path, say: Callable[[str], None] = print) -> int:
    """Serve a policy until SIGTERM or SIGINT; SIGHUP reads it again. Returns the exit code.

    Raises `PolicyError` or `FolderError` before anything listens. `say` is told when the guard answers, and when
    another policy holds.
    """
    early: list[int] = []  # a SIGHUP that comes before something else is done about it
    signal.signal(signal.SIGHUP, lambda number, _: early.append(number))
    policy = read_policy(path)
    refuse_useless(policy)
    keys = KeyRing(Path(policy.guard.state), b"").all()
    if policy.oidc is None and not any(key.valid(time.time()) for key in keys):
        raise PolicyError("nobody could ask: there is no key that opens, and no [oidc]: see unseen guard keys add.")
    require_same(Path(policy.guard.state), strong(read_secret(policy.guard.secret, "guard.secret"), "guard.secret"))
    sock = _listen(*address_of(policy.guard.listen))
    alone = policy.guard.workers == 1
    shared = Shared(Pace(), None) if alone else Shared(SharedPace(), Relay())
    newer: list[Policy] = []

    def work(number: int, alive: int | None = None) -> int:
        worker = Worker(path, policy, number, shared, alive, say if number == 0 else _nothing)
        worker.newer = tuple(newer)
        worker.early = early if alone else []
        return _work(worker, sock)

    def reread() -> None:
        with suppress(Exception):  # whatever it is: each worker reads it too, and says so
            read = _successor(path, policy)
            refuse_useless(read)
            newer[:] = [*(earlier for earlier in newer if earlier != read), read]

    if early and not alone:
        with suppress(UnseenError):
            policy = _successor(path, policy)
    return work(0) if alone else Supervisor(policy.guard.workers, work, reread).run()


def _tell_manager() -> None:
    """Tell a service manager that the guard is ready, if one asked to be told (`sd_notify(3)`)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.sendto(b"READY=1", f"\0{address[1:]}" if address[0] == "@" else address)


def _nothing(_: str) -> None:
    """Say nothing: the first worker speaks for all."""


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise FolderError(f"{host}:{port} cannot be listened on: {error.strerror}.") from None
    return sock


def _work(worker: "Worker", sock: socket.socket) -> int:
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(worker.run(sock))
    except OSError as error:
        if not isinstance(error.filename, str | Path):
            raise
        sys.stderr.write(f"unseen guard: {(denied := unusable(Path(error.filename), error))}\n")
        return denied.exit_code
    except UnseenError as error:
        sys.stderr.write(f"unseen guard: {error}\n")
        return error.exit_code
    return 0


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
            servers = [(_server(App(self.current), self._policy), sock)]
            if self._policy.guard.admin is not None and self._number == 0:
                from unseen.guard.admin import admin_app

                admin = _server(admin_app(self.current, self._policy), self._policy)
                servers.append((admin, _listen(*address_of(self._policy.guard.admin))))
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

    async def _announce(self, servers: list["QuietServer"]) -> None:
        """Say where the guard listens, once every server answers."""
        for server in servers:
            await server.up.wait()
        guard = self._policy.guard
        admin = "" if guard.admin is None else f", admin API on {guard.admin}"
        url = self._policy.upstream.url
        self._say(f"unseen guard listens on {guard.listen}, in front of {url}, mode {guard.mode}{admin}.")
        if self._number == 0:  # who has the admin API too
            _tell_manager()

    def _handle_signals(self, servers: list["QuietServer"]) -> None:
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
        await self._renew(lambda old: _successor(self._path, old))

    async def _renew(self, successor: Callable[[Policy], Policy]) -> None:
        """Go over to a new policy; whatever is wrong with it, the old one stays."""
        async with self._turn:
            old = self.current()
            try:
                policy = successor(old.policy)
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


def _successor(path: Path, old: Policy) -> Policy:
    """Return the policy in a file. Raises `PolicyError` where it says what a guard that runs cannot change."""
    policy = read_policy(path)
    for name in FIXED:
        if getattr(policy.guard, name) != getattr(old.guard, name):
            raise PolicyError(f"guard.{name} changes only by a restart.")
    for part in ("store", "log"):
        if getattr(policy, part) != getattr(old, part):
            raise PolicyError(f"[{part}] changes only by a restart.")
    return policy


def open_gateway(
    policy: Policy,
    state: State,
    old: Gateway | None = None,
    upstream: Upstream | None = None,
    decoys: frozenset[bytes] | None = None,
) -> Gateway:
    """Return a gateway over a state; detectors whose settings did not change keep what they know.

    `decoys` is the list that the policy names, if it was read already.
    """
    refuse_useless(policy, lists=False)  # the gateway reads them itself
    same = old is not None and policy.detectors == old.policy.detectors and policy.actions == old.policy.actions
    shadow = policy.guard.mode == "shadow"
    if old is not None and same and shadow == (old.policy.guard.mode == "shadow"):
        watch = old.watch
    else:
        detectors = from_settings(policy.detectors)
        watch = Watch(detectors, policy.actions, state.writer, state.folder, shadow=shadow, relay=state.relay)
        if old is not None:
            watch.follow(old.watch)
    tokens = None
    if policy.oidc is not None:
        from unseen.guard.tokens import OidcTokens

        tokens = OidcTokens(policy.oidc)
    return Gateway(policy, state, upstream or open_upstream(policy.upstream), watch, tokens, decoys)


class QuietServer(uvicorn.Server):
    """uvicorn without its signal handlers: they would end the process before its state is closed.

    `up` is set once its sockets are answered.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        self.up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the worker."""
        yield


def _server(app: Any, policy: Policy) -> QuietServer:
    return QuietServer(uvicorn.Config(app, **server_settings(policy)))


def server_settings(policy: Policy) -> dict[str, Any]:
    """Return what uvicorn is told: HTTP alone, nothing logged, no word of the server, no proxy believed."""
    return {
        "http": type("PatientHttp", (GuardedHttp,), {"patience_s": policy.guard.read_timeout_s, "outbox": Outbox()}),
        "ws": "none",
        "loop": "none",
        "lifespan": "off",
        "log_config": None,
        "log_level": "critical",
        "access_log": False,
        "server_header": False,
        "date_header": False,
        "proxy_headers": False,
        "timeout_keep_alive": 65,
        "timeout_graceful_shutdown": int(policy.guard.drain_s) + 1,
        "backlog": BACKLOG,
    }
