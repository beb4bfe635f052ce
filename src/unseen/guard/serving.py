"""Serving: worker processes behind one address."""

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import uvloop

from unseen.errors import PolicyError, UnseenError
from unseen.guard.checking import refuse_useless
from unseen.guard.keys import KeyRing, closed_to_all
from unseen.guard.listening import listen
from unseen.guard.opening import successor
from unseen.guard.pace import Pace
from unseen.guard.policy import Policy, address_of, read_policy
from unseen.guard.relay import Relay
from unseen.guard.same_secret import own_secret
from unseen.guard.shared_pace import SharedPace
from unseen.guard.supervising import Supervisor
from unseen.guard.unusable import unusable
from unseen.guard.worker import Shared, Worker


def serve(path: Path, say: Callable[[str], None] = print) -> int:
    """Serve a policy until SIGTERM or SIGINT; SIGHUP reads it again. Returns the exit code.

    Raises `PolicyError` or `FolderError` before anything listens. `say` is told when the guard answers, and when
    another policy holds.
    """
    early: list[int] = []  # a SIGHUP that comes before something else is done about it
    signal.signal(signal.SIGHUP, lambda number, _: early.append(number))
    policy = read_policy(path)
    refuse_useless(policy)
    if closed := closed_to_all(policy, KeyRing(Path(policy.guard.state), b"")):
        raise PolicyError(f"nobody could ask: {closed}")
    own_secret(policy)
    sock = listen(*address_of(policy.guard.listen))
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
            read = successor(path, policy)
            refuse_useless(read)
            newer[:] = [*(earlier for earlier in newer if earlier != read), read]

    if early and not alone:
        with suppress(UnseenError):
            policy = successor(path, policy)
    return work(0) if alone else Supervisor(policy.guard.workers, work, reread).run()


def _nothing(_: str) -> None:
    """Say nothing: the first worker speaks for all."""


def _work(worker: Worker, sock: socket.socket) -> int:
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
