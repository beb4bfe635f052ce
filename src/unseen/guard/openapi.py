"""What the admin API takes and gives, as records, and the OpenAPI document that follows from them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from unseen import __version__
from unseen.guard.counts import Shipped
from unseen.guard.log.verifying import Verdict

KeyId = Annotated[str, Meta(pattern="^[a-z2-7]{8}$", min_length=8, max_length=8, description="As GET /keys shows it.")]
Tenant = Annotated[str, Meta(min_length=1, max_length=100, pattern="^[A-Za-z0-9][A-Za-z0-9 ._@/+-]*$")]
Name = Annotated[str, Meta(min_length=1, max_length=100)]
Days = Annotated[float, Meta(gt=0, le=36_500, description="After which it opens nothing; null is never.")]
Hours = Annotated[float, Meta(ge=0, le=8_760, description="How long the old key still opens.")]


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A record of the API."""


class NewKey(_Record, frozen=True):
    """A key to make. No routes are all routes."""

    tenant: Tenant
    tier: Name
    routes: Annotated[list[Name], Meta(max_length=100)] = []
    days: Days | None = None


class Rotation(_Record, frozen=True):
    """How to rotate a key."""

    overlap_hours: Hours = 24.0


class KeyShown(_Record, frozen=True):
    """What is kept of a key, without the key. Times are seconds since 1970."""

    id: str
    state: Literal["open", "expired", "revoked"]
    tenant: str
    tier: str
    routes: list[str]
    created: float
    expires: float | None
    revoked: float | None
    replaces: str | None


class Keys(_Record, frozen=True):
    """All keys, oldest first."""

    keys: list[KeyShown]


class Made(_Record, frozen=True):
    """A new key. `token` is its only copy."""

    key: KeyShown
    token: str


class Health(_Record, frozen=True):
    """That the guard is up."""

    status: Literal["up"] = "up"


class Status(_Record, frozen=True):
    """What runs. `counted` says how many of the workers the counts are of; they began with each worker."""

    version: str
    policy: str
    mode: Literal["enforce", "shadow"]
    upstream: str
    began: float
    workers: int
    counted: int
    keys: int
    keys_open: int
    clients_noticed: int
    log_records: int
    records_answered: int
    requests: dict[str, int]
    exports: list[Shipped]


class Budgets(_Record, frozen=True):
    """Records used, by account; `left_out` counts the accounts that are not listed."""

    used: dict[str, int]
    left_out: int


class Client(_Record, frozen=True):
    """A client that was noticed, when last, and the steps with the time that each begins at."""

    id: str
    sightings: int
    seen: float
    steps: dict[str, float]


class Clients(_Record, frozen=True):
    """All clients that were noticed."""

    clients: list[Client]


class Verdicts(_Record, frozen=True):
    """Whether every chain is as it was written."""

    as_written: bool
    chains: list[Verdict]


class Fault(_Record, frozen=True):
    """What was wrong: a sentence for people, a word for programs."""

    message: str
    type: str
    code: str


class Failure(_Record, frozen=True):
    """Every answer that is not what was asked for."""

    error: Fault


class OfKey(_Record, frozen=True):
    """Which key."""

    id: KeyId


class OfClient(_Record, frozen=True):
    """Which client."""

    id: Annotated[str, Meta(min_length=1, max_length=100)]


class OfAccounts(_Record, frozen=True):
    """Which accounts."""

    prefix: Annotated[
        str, Meta(min_length=1, max_length=200, description="key:, tenant:, total or near:, and what follows.")
    ]


class OfNothing(_Record, frozen=True):
    """No parameters."""


SAID = {
    400: "The request is not understood.",
    401: "The admin token is missing or wrong.",
    404: "There is no such thing.",
    405: "The route has other methods.",
    409: "It cannot be done as things stand.",
    413: "The body is too long.",
    415: "The body is not application/json.",
    500: "The guard failed.",
    503: "The log cannot be written; nothing changes then.",
}


@dataclass(frozen=True)
class Call:
    """One route: what `do` takes and gives; `refusals` are the statuses beside those that every route has."""

    method: str
    path: str
    said: str
    do: Callable[..., Awaitable[Any]]
    gives: type
    status: int = 200
    refusals: tuple[int, ...] = ()
    body: type | None = None
    query: tuple[str, ...] = ()
    open: bool = False

    @property
    def parameters(self) -> type:
        """The record of its path's and query's parameters."""
        if self.query:
            return OfAccounts
        return OfKey if self.path.startswith("/keys/") else OfClient if "{" in self.path else OfNothing


def document(calls: Sequence[Call]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the calls; it is the same for every guard of a version."""
    records = {Failure} | {call.gives for call in calls if call.gives is not bytes}
    records |= {call.body for call in calls if call.body is not None}
    ordered = sorted(records, key=lambda record: record.__name__)
    _, schemas = msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {}
    for call in calls:
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call)
    paths["/openapi.json"] = {"get": _own()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "unseen guard: admin", "version": __version__},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(call: Call) -> dict[str, Any]:
    refusals = {400, 405, 413, 500, *call.refusals, *(() if call.open else (401,))}
    refusals |= {503} if call.method == "POST" else set()
    refusals |= {415} if call.body else set()
    refusals |= {404} if "{" in call.path else set()
    answers: dict[str, Any] = {str(call.status): {"description": call.said, "content": _content(call.gives)}}
    answers |= {str(status): {"description": SAID[status], "content": _content(Failure)} for status in sorted(refusals)}
    told: dict[str, Any] = {
        "operationId": getattr(call.do, "__name__", call.path),
        "summary": call.said,
        "responses": answers,
    }
    if parameters := _parameters(call):
        told["parameters"] = parameters
    if call.body is not None:
        told["requestBody"] = {"required": True, "content": _content(call.body)}
    if call.open:
        told["security"] = []
    return told


def _parameters(call: Call) -> list[dict[str, Any]]:
    schemas = msgspec.json.schema(call.parameters)["$defs"][call.parameters.__name__]["properties"]
    queried = set(call.query)
    return [
        {"name": name, "in": "query" if name in queried else "path", "required": True, "schema": schema}
        for name, schema in schemas.items()
    ]


def _content(record: type) -> dict[str, Any]:
    if record is bytes:
        return {"text/plain": {"schema": {"type": "string"}}}
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{record.__name__}"}}}


def _own() -> dict[str, Any]:
    said = {"description": "This document.", "content": {"application/json": {"schema": {"type": "object"}}}}
    return {"operationId": "openapi", "summary": "This document.", "responses": {"200": said}, "security": []}
