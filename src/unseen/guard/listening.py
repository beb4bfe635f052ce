"""Listening: a socket, and uvicorn as the guard wants it."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from unseen.errors import FolderError
from unseen.guard.connection import GuardedHttp
from unseen.guard.outbox import Outbox
from unseen.guard.policy import Policy

BACKLOG = 1024


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises `FolderError` where that cannot be done."""
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


def server_of(app: Any, policy: Policy) -> QuietServer:
    """Return a server of an application, as a policy wants it."""
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
