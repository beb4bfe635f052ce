"""Guards for tests: a policy, a model's server that is not one, and a running guard."""

import asyncio
import contextlib
import functools
import socket
from dataclasses import dataclass, field
from typing import Any

import msgspec
import uvicorn

from unseen.guard.asgi import App
from unseen.guard.gateway import Gateway, open_state
from unseen.guard.listening import QuietServer
from unseen.guard.opening import open_gateway
from unseen.guard.policy import policy_from
from unseen.guard.upstream import Answer

SECRET = "0123456789abcdef-0123456789ABCDEF-test"


def policy(folder, **changes):
    """A policy with one MLflow route; `changes` replace whole tables, by name."""
    content = {
        "guard": {"state": str(folder / "state"), "listen": "127.0.0.1:0"},
        "upstream": {"url": "http://127.0.0.1:9"},
        "routes": [{"protocol": "mlflow"}],
        "tiers": {
            "basic": {
                "rate": "1000000 per second, burst 100000",
                "budget": {"lifetime": 1000},
                "controls": [{"name": "rounding", "decimals": 2}],
            }
        },
        "store": {"durability": "process", "lease": 10},
    }
    for name, table in changes.items():
        merged = name != "tiers" and isinstance(content.get(name), dict)
        content[name] = {**content[name], **table} if merged else table
    return policy_from(content)


@dataclass
class FakeModel:
    """Answers every MLflow question with `answer` for each record, and counts what it was asked."""

    answer: Any = field(default_factory=lambda: [0.7123, 0.2, 0.0877])
    status: int = 200
    asked: list[Any] = field(default_factory=list)
    events: tuple[bytes, ...] = ()
    fails: BaseException | None = None
    wait: asyncio.Event | None = None

    async def ask(self, path, body):
        self.asked.append((path, body))
        if self.wait is not None:
            await self.wait.wait()
        if self.fails is not None:
            raise self.fails
        rows = rows_of(body) if body else 0
        return Answer(self.status, msgspec.json.encode({"predictions": [self.answer] * rows}))

    async def stream(self, path, body):
        self.asked.append((path, body))
        if self.fails is not None:
            raise self.fails
        yield b""
        for event in self.events:
            yield event

    async def close(self):
        pass


def rows_of(body):
    """How many records an MLflow question has."""
    table = next(iter(msgspec.json.decode(body).values()))
    return len(table["data"] if isinstance(table, dict) and "data" in table else table)


@dataclass
class Running:
    """A guard that answers at `url`; `key` opens it."""

    url: str
    gateway: Gateway
    key: str
    upstream: Any

    @property
    def headers(self):
        return {"authorization": f"Bearer {self.key}", "content-type": "application/json"}


@contextlib.asynccontextmanager
async def opened(read, upstream=None):
    """A gateway over its state, without a server."""
    state = open_state(read)
    gateway = open_gateway(read, state, upstream=upstream)
    try:
        yield gateway
    finally:
        await gateway.upstream.close()
        await state.close()


@contextlib.asynccontextmanager
async def running(read, upstream=None, **server):
    """A guard behind a real server, on a free port of this machine. Without `upstream` it asks the policy's own."""
    async with opened(read, upstream) as gateway:
        _, key = gateway.state.keys.add(tenant="acme", tier=next(iter(read.tiers)))
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        server = QuietServer(uvicorn.Config(App(lambda: gateway), **settings(read), **server))
        task = asyncio.create_task(server.serve(sockets=[sock]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.005)
        try:
            yield Running(f"http://127.0.0.1:{sock.getsockname()[1]}", gateway, key, gateway.upstream)
        finally:
            server.should_exit = True
            await task
            sock.close()


def settings(read):
    """The settings that the guard serves with, and a short end."""
    from unseen.guard.listening import server_settings

    return server_settings(read) | {"timeout_graceful_shutdown": 1}


async def asked(gateway, body, *, key=None, path="/invocations", method="POST", **headers):
    """Ask a gateway without a server: status, headers, body."""
    sent = []
    given = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive():
        return next(given, None) or await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    named = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})} | headers
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
    }
    await App(lambda: gateway)(scope, receive, send)
    start = sent[0]
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body


def in_loop(test):
    """A test that is a coroutine, run by a loop of its own."""

    @functools.wraps(test)
    def run(*given, **named):
        return asyncio.run(test(*given, **named))

    return run
