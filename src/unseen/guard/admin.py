"""The admin API: keys, budgets, noticed clients, counts and the log of a guard that runs, for whoever has its token.

It listens on its own loopback address, off by default. `/health` and `/openapi.json` are open, and say nothing of this
guard. A key is shown once, in the answer that makes it; nothing else here shows a key, a hash or a secret.
"""

import asyncio
import hashlib
import hmac
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from unseen import __version__
from unseen.errors import PolicyError, UnseenError
from unseen.guard.asgi import Receive, Send
from unseen.guard.counts import Snapshot
from unseen.guard.exports.prometheus import CONTENT_TYPE, exposition
from unseen.guard.gateway import Gateway, named
from unseen.guard.keys import Key, KeyRing
from unseen.guard.log.chain import public_of, signing_key
from unseen.guard.log.entries import Done
from unseen.guard.log.verifying import Verdict
from unseen.guard.openapi import (
    Budgets,
    Call,
    Client,
    Clients,
    Health,
    Keys,
    KeyShown,
    Made,
    NewKey,
    Rotation,
    Status,
    Verdicts,
    document,
)
from unseen.guard.policy import Policy
from unseen.guard.refusal import Refused, bad
from unseen.guard.secrets import derive, read_secret, strong
from unseen.guard.snapshots import others
from unseen.guard.stores import open_store
from unseen.guard.watching import released
from unseen.guard.wire import read_json

MOST_BYTES, MOST_DEPTH = 10_000, 8
MOST_ACCOUNTS = 1_000  # that one answer lists
HOUR_S, DAY_S = 3600.0, 86_400.0
VERIFY = (
    "import sys, msgspec; from pathlib import Path; from unseen.guard.log.verifying import verify; "
    "sys.stdout.buffer.write(msgspec.json.encode(verify(Path(sys.argv[1]), [bytes.fromhex(sys.argv[2])])))"
)
INHERITED = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")  # by that process: no secret is among them
OPEN = {"/health", "/openapi.json"}
Changed = TypeVar("Changed")


def admin_app(
    current: Callable[[], Gateway], policy: Policy
) -> Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]:
    """Return the admin API of a guard, an ASGI application; raise `PolicyError` where its token is missing or weak."""
    if policy.guard.admin_token is None:
        raise PolicyError("guard.admin_token: the admin API needs one, named as 'env:NAME' or 'file:PATH'.")
    token = strong(read_secret(policy.guard.admin_token, "guard.admin_token"), "guard.admin_token")
    admin = Admin(current)
    calls = admin.calls()
    described = msgspec.json.encode(document(calls))

    async def openapi(_: Request) -> Response:
        return Response(described, media_type="application/json")

    routes = [
        _route(path, [call for call in calls if call.path == path]) for path in dict.fromkeys(c.path for c in calls)
    ]
    app = Starlette(
        routes=[*routes, Route("/openapi.json", openapi, methods=["GET"])],
        exception_handlers={HTTPException: _http_error},
    )
    return _Gate(app, token, current)


class _Gate:
    """Lets through who shows the token, compared in constant time by its hash."""

    def __init__(self, app: Starlette, token: bytes, current: Callable[[], Gateway]) -> None:
        self._app = app
        self._hash = hashlib.sha256(token).digest()
        self._current = current

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["path"] not in OPEN and not self._shown(scope["headers"]):
            self._current().state.counts.admin_refused += 1
            refused = Refused(
                401, "unauthorized", "The admin token is needed: send it as 'Authorization: Bearer TOKEN'."
            )
            response = _said(refused, {"www-authenticate": "Bearer"})
            await response(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _shown(self, headers: list[tuple[bytes, bytes]]) -> bool:
        said = [value for name, value in headers if name == b"authorization"]
        shown = said[0] if len(said) == 1 else b""
        same = hmac.compare_digest(hashlib.sha256(shown[7:].strip()).digest(), self._hash)
        return same and shown[:7].lower() == b"bearer "


def _route(path: str, calls: list[Call]) -> Route:
    """Return one route for all methods of a path, so that a refused one is told of all others."""
    answering = {call.method: _endpoint(call) for call in calls}

    async def answer(request: Request) -> Response:
        return await answering[{"HEAD": "GET"}.get(request.method, request.method)](request)

    return Route(path, answer, methods=list(answering))


def _endpoint(call: Call) -> Callable[[Request], Awaitable[Response]]:
    """Return what does one call; whatever goes wrong is said in one form."""

    async def answering(request: Request) -> Response:
        try:
            answer = await call.do(*await _given(call, request))
        except Refused as refused:
            return _said(refused)
        except (msgspec.ValidationError, PolicyError) as error:  # the second, of a value that a pattern lets through
            return _said(bad("value", f"{str(error).rstrip('.')}."))
        except UnseenError:
            return _said(Refused(503, "disk", "The guard cannot write its files now."))
        except Exception:  # noqa: BLE001 - a fault of ours, or of a store: nobody is told more
            return _said(Refused(500, "fault", "The guard failed."))
        if isinstance(answer, bytes):
            return Response(answer, headers={"content-type": CONTENT_TYPE, "cache-control": "no-store"})
        content = msgspec.json.encode(answer)
        return Response(content, call.status, {"cache-control": "no-store"}, "application/json")

    return answering


async def _given(call: Call, request: Request) -> list[Any]:
    """Return the parameters and the body of a request, read strictly."""
    asked = [name for name, _ in request.query_params.multi_items()]
    if sorted(asked) != sorted(call.query):
        raise bad("query", f"{call.path} has the query parameters {list(call.query)}, once each, and no others.")
    given: list[Any] = [
        msgspec.convert(dict(request.path_params) | dict(request.query_params), call.parameters, strict=False)
    ]
    body = await _body(request)
    if call.body is not None:
        if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
            raise Refused(415, "content_type", "The body must be JSON: send it with 'Content-Type: application/json'.")
        given.append(msgspec.convert(read_json(body, MOST_DEPTH), call.body))
    elif body:
        raise bad("body", f"{call.method} {call.path} has no body.")
    return given


async def _body(request: Request) -> bytes:
    body = b""
    try:
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                raise Refused(413, "size", f"A body may have {MOST_BYTES} bytes at most.")
    except ClientDisconnect:
        raise bad("body", "The body did not come whole.") from None
    return body


def _said(refused: Refused, headers: dict[str, str] | None = None) -> Response:
    return Response(refused.body, refused.status, {"cache-control": "no-store"} | (headers or {}), "application/json")


async def _http_error(_: Request, error: Exception) -> Response:
    """Say what Starlette refuses in the form of everything else."""
    status = getattr(error, "status_code", 500)
    reason, sentence = {
        404: ("unknown_route", "There is no such route: see /openapi.json."),
        405: ("method", "This route has other methods: see the Allow header."),
    }.get(status, ("http", "The request cannot be answered."))
    return _said(Refused(status, reason, sentence), dict(getattr(error, "headers", None) or {}))


class Admin:
    """What the API does, on the gateway of the moment."""

    def __init__(self, current: Callable[[], Gateway]) -> None:
        self._current = current
        self._verifying = asyncio.Lock()

    def calls(self) -> list[Call]:
        """Return every route: what it takes, does and gives."""
        return [
            Call("GET", "/health", "Whether the guard is up.", self.health, Health, open=True),
            Call("GET", "/metrics", "Counts of all workers, as Prometheus reads them.", self.metrics, bytes),
            Call("GET", "/status", "What runs, and how it fares.", self.status, Status),
            Call("GET", "/keys", "What is kept of every key.", self.keys, Keys),
            Call(
                "POST", "/keys", "Make a key; this answer is its only copy.", self.add, Made, 201, (409,), body=NewKey
            ),
            Call(
                "POST",
                "/keys/{id}/rotate",
                "Make a key that takes another's place, budgets included.",
                self.rotate,
                Made,
                201,
                (409,),
                body=Rotation,
            ),
            Call("POST", "/keys/{id}/revoke", "Close a key at once.", self.revoke, KeyShown),
            Call(
                "GET",
                "/budgets",
                "What is used of the accounts whose names begin so, what workers hold ready included.",
                self.budgets,
                Budgets,
                query=("prefix",),
            ),
            Call("GET", "/clients", "The clients that detectors noticed, and the steps taken.", self.clients, Clients),
            Call(
                "POST",
                "/clients/{id}/release",
                "Forget what was noticed of a client, and end all steps.",
                self.release,
                Client,
            ),
            Call(
                "GET",
                "/log/verify",
                "Whether the log is as this guard wrote it; read by a process of its own.",
                self.verify,
                Verdicts,
                refusals=(409,),
            ),
        ]

    async def health(self, _: Any) -> Health:
        """See `calls`."""
        self._current()
        return Health()

    async def metrics(self, _: Any) -> bytes:
        """See `calls`."""
        gateway = self._current()
        return exposition(await self._counted(), gateway.policy.digest, gateway.policy.guard.mode)

    async def status(self, _: Any) -> Status:
        """See `calls`."""
        gateway, now = self._current(), time.time()
        policy, state = gateway.policy, gateway.state
        counted = await self._counted()
        keys = state.keys.all()
        ended: dict[str, int] = {}
        for row in (row for snapshot in counted.values() for row in snapshot.requests):
            ended[row.reason] = ended.get(row.reason, 0) + row.count
        return Status(
            version=__version__,
            policy=policy.digest,
            mode=policy.guard.mode,
            upstream=policy.upstream.url,
            began=state.counts.began,
            workers=policy.guard.workers,
            counted=len(counted),
            keys=len(keys),
            keys_open=sum(key.valid(now) for key in keys),
            clients_noticed=len(gateway.watch.all()),
            log_records=sum(snapshot.log_records for snapshot in counted.values()),
            records_answered=sum(sum(snapshot.records.values()) for snapshot in counted.values()),
            requests=ended,
            exports=[export for snapshot in counted.values() for export in snapshot.exports],
        )

    async def keys(self, _: Any) -> Keys:
        """See `calls`."""
        return Keys([_shown(key) for key in self._current().state.keys.all()])

    async def add(self, _: Any, new: NewKey) -> Made:
        """See `calls`."""
        gateway = self._current()
        if new.tier not in gateway.policy.tiers:
            raise Refused(409, "tier", f"The policy has no such tier; it has {sorted(gateway.policy.tiers)}.")
        routes = {route.name for route in named(gateway.policy).routes}
        if not set(new.routes) <= routes:
            raise Refused(409, "route", f"The policy has no such route; it has {sorted(routes)}.")
        expires = None if new.days is None else time.time() + new.days * DAY_S
        key, token = await self._changed(
            lambda ring: ring.add(tenant=new.tenant, tier=new.tier, scopes=new.routes, expires=expires)
        )
        async with self._closed_on_failure(key):
            self._wrote("key-added", key)
        return Made(_shown(key), token)

    async def rotate(self, which: Any, rotation: Rotation) -> Made:
        """See `calls`."""
        old = self._key(which.id)
        if not old.valid(time.time()):
            raise Refused(409, "closed", "This key has expired or was revoked: make a new one.")
        key, token = await self._changed(lambda ring: ring.successor(old.id))
        async with self._closed_on_failure(key):
            self._wrote("key-rotated", key)
            await self._changed(lambda ring: ring.retire(old.id, rotation.overlap_hours * HOUR_S))
        return Made(_shown(key), token)

    async def revoke(self, which: Any) -> KeyShown:
        """See `calls`."""
        old = self._key(which.id)
        key = old if old.revoked is not None else await self._changed(lambda ring: ring.revoke(old.id))
        if key is not old:
            self._wrote("key-revoked", key)
        return _shown(key)

    async def budgets(self, which: Any) -> Budgets:
        """See `calls`."""
        gateway = self._current()

        def used() -> dict[str, int]:
            store = open_store(gateway.policy.store, gateway.state.folder)  # its own, so that no request waits for it
            try:
                return store.used(which.prefix)
            finally:
                store.close()

        found = sorted((await asyncio.to_thread(used)).items())
        return Budgets(dict(found[:MOST_ACCOUNTS]), max(0, len(found) - MOST_ACCOUNTS))

    async def clients(self, _: Any) -> Clients:
        """See `calls`."""
        found = self._current().watch.all()
        return Clients([Client(name, one.sightings, one.seen, dict(one.steps)) for name, one in sorted(found.items())])

    async def release(self, which: Any) -> Client:
        """See `calls`."""
        gateway = self._current()
        known = await asyncio.to_thread(released, gateway.state.folder, which.id)
        gateway.watch.was_released(which.id, known=known)
        if not known:
            raise Refused(404, "client", "Nothing was noticed of this client.")
        return Client(which.id, 0, 0.0, {})

    async def verify(self, _: Any) -> Verdicts:
        """See `calls`."""
        if self._verifying.locked():
            raise Refused(409, "verifying", "The log is being verified already.")
        state = self._current().state
        folder, key = str(state.folder / "log"), public_of(signing_key(state.secret)).hex()
        async with self._verifying:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-c", VERIFY, folder, key),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={name: os.environ[name] for name in INHERITED if name in os.environ},
            )
            said, _ = await process.communicate()
        if process.returncode:
            raise Refused(500, "fault", "The log could not be read.")
        verdicts = msgspec.json.decode(said, type=list[Verdict])
        return Verdicts(bool(verdicts) and not any(verdict.bad for verdict in verdicts), verdicts)

    async def _counted(self) -> dict[int, Snapshot]:
        gateway = self._current()
        workers = gateway.policy.guard.workers
        found = await asyncio.to_thread(others, gateway.state.folder, workers) if workers > 1 else {}
        return {0: gateway.state.snapshot()} | found

    def _key(self, name: str) -> Key:
        try:
            return self._current().state.keys.get(name)
        except PolicyError:
            raise Refused(404, "key", "There is no such key.") from None

    async def _changed(self, change: Callable[[KeyRing], Changed]) -> Changed:
        """Change the keys in a thread, through a ring of its own: no request waits for whoever has their lock."""
        state = self._current().state
        changed = await asyncio.to_thread(lambda: change(KeyRing(state.folder, derive(state.secret, "keys"))))
        state.keys.refresh()
        return changed

    @asynccontextmanager
    async def _closed_on_failure(self, key: Key) -> AsyncIterator[None]:
        """Close a key that was made, and is not handed over, where what must be done for it fails."""
        try:
            yield
        except (Refused, UnseenError):
            with suppress(UnseenError):  # what is left then is a key that nobody holds
                await self._changed(lambda ring: ring.revoke(key.id))
            raise

    def _wrote(self, what: str, key: Key) -> None:
        try:
            self._current().state.writer.append(Done, what=what, client=key.client.id, detail=key.id)
        except (OSError, UnseenError):
            raise Refused(503, "log", "The guard cannot keep its records now; a change may have been made.") from None


def _shown(key: Key) -> KeyShown:
    now = time.time()
    state: Literal["open", "expired", "revoked"]
    state = "revoked" if key.revoked is not None else "open" if key.valid(now) else "expired"
    return KeyShown(
        key.id, state, key.tenant, key.tier, list(key.scopes), key.created, key.expires, key.revoked, key.replaces
    )
