"""Policy of a guard: one TOML file that says who may ask what, how often, and what they get.

Every noun here is a frozen record; an unknown key or a value out of its range is refused with its place in the file.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

import msgspec

from unseen.errors import PolicyError
from unseen.guard.wrong_types import wrong_type, wrong_value

Kind = Literal["probabilities", "labels", "values"]
Protocol = Literal["open-inference-v2", "mlflow", "kserve-v1", "openai", "json"]
RATE = re.compile(r"^(\d{1,9}(?:\.\d{1,9})?) per (second|minute|hour)(?:, burst (\d{1,9}))?$")
SECONDS = {"second": 1, "minute": 60, "hour": 3600}
DAY_S, MOST_LEEWAY_S = 86_400, 600
NO_ADDRESS = frozenset(' "\\<>^`{|}')  # printable, and in no address (RFC 3986)
PLAIN = "must be http://HOST[:PORT] or https://, without a user, a query or a fragment."


class _Noun(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the policy."""


class Server(_Noun, frozen=True):
    """Where the guard listens and keeps its state, and how it starts.

    `secret` names the master secret; `mode` "shadow" logs what "enforce" would refuse, tighten or reduce, and changes
    nothing. `strict` refuses answers that carry numbers which the policy does not speak of.
    """

    listen: str = "127.0.0.1:8080"
    admin: str | None = None  # such as "127.0.0.1:9090": off by default
    admin_token: str | None = None
    secret: str = "env:UNSEEN_GUARD_SECRET"  # noqa: S105 - the name of the variable, not a secret
    state: str = "guard-state"
    mode: Literal["enforce", "shadow"] = "enforce"
    strict: bool = True
    workers: int = 1
    max_request_bytes: int = 2_000_000
    max_records: int = 1_000
    max_depth: int = 32
    max_headers: int = 64
    read_timeout_s: float = 10.0
    drain_s: float = 20.0


class Upstream(_Noun, frozen=True):
    """The one server that is asked: fixed here, whatever a client sends; redirects are not followed."""

    url: str
    client: Literal["aiohttp", "pyreqwest"] = "aiohttp"
    timeout_s: float = 30.0
    connections: int = 64
    max_response_bytes: int = 20_000_000
    authorization: str | None = None  # names the secret sent as the Authorization header


class Route(_Noun, frozen=True):
    """One surface of the upstream: its protocol, its path, and what its answers are.

    `outputs` says it for named outputs, columns or JSON pointers; `classes` is how many classes there are, where known.
    `features` names what a record has, and nothing else is let in: its columns, or, for open-inference-v2, the inputs.
    `shape` is that of one record where it is more than a row, such as [28, 28]; `shapes` says it for each input of
    `features`, where they differ. `path` is the one model of a V1 or V2 server, such as "/v2/models/credit".
    """

    protocol: Protocol
    name: str = ""
    path: str = ""
    answers: Kind = "probabilities"
    outputs: dict[str, Kind] = {}
    records: str = ""  # JSON pointer to the array of records in a request, protocol "json" only
    fields: tuple[str, ...] = ()  # json: pointers to what else of a request is let through
    features: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    shapes: dict[str, tuple[int, ...]] = {}  # open-inference-v2: [] is one number a record
    b64: bool = False  # kserve-v1: whether values may be bytes, as {"b64": TEXT}
    width: int = 1  # how many numbers the answer to one record has, where it is values
    classes: int | None = None
    step: float = 0.01  # grid of the coarse form of a number, in units of its scale
    scales: tuple[float, ...] = ()  # one unit for each feature, in order; 1 where none is said
    embeddings: bool = False  # openai: whether embeddings may be asked for
    models: tuple[str, ...] = ()  # openai: those that may be asked; any where none is named


class Budget(_Noun, frozen=True):
    """How many records may be asked; None is no limit of that kind, and one kind at least must be there for a key."""

    per_day: int | None = None
    lifetime: int | None = None
    per_neighbourhood: int | None = None  # of one record, for one key, over its lifetime


class Tier(_Noun, frozen=True):
    """What the keys of one tier get: their rate, their budget, and the controls that their answers go through."""

    controls: tuple[dict[str, Any], ...] = ()
    rate: str = "10 per second, burst 20"
    budget: Budget = Budget()
    parameters: tuple[str, ...] = ()  # openai: allowed beside the harmless ones


UNSAID = Budget()  # of [budgets], where the policy does not speak of one: an empty one it does speak of is another


class Shared(_Noun, frozen=True):
    """Budgets that keys share: of each tenant, and of everybody together."""

    tenant: Budget = UNSAID
    total: Budget = UNSAID


class Neighbourhood(_Noun, frozen=True):
    """What counts as near: `radius` in units of a route's `scales`; answers to `budget.per_neighbourhood`."""

    radius: float = 0.5


class Store(_Noun, frozen=True):
    """Where budgets are kept; `url` names the secret that holds the address of Redis or PostgreSQL.

    A worker takes up to `lease` records at a time, and workers together at most a hundredth of a budget: what crashes
    strand of it, at most.
    """

    kind: Literal["sqlite", "redis", "postgresql"] = "sqlite"
    url: str | None = None
    lease: int = 1_000
    durability: Literal["power", "process"] = "power"


class Export(_Noun, frozen=True):
    """Where the log's entries are sent as they are written: to `address`, or appended to the file at `path`.

    `address` is udp://, tcp:// or tls://HOST:PORT for syslog, the http:// or https:// address of a collector for OTLP.
    What waits is held in memory, `queue` entries at most. `authorization` names the secret sent as that header to OTLP;
    `gen_ai` adds attributes of OpenTelemetry's conventions for generative models, which are not stable yet.
    """

    to: Literal["syslog", "file", "otlp"]
    address: str | None = None
    path: str | None = None
    format: Literal["jsonl", "ocsf", "cef", "ecs", "syslog"] | None = None  # syslog: "syslog"; file: "jsonl"
    queue: int = 10_000
    authorization: str | None = None
    every_s: float = 30.0  # otlp: how often counts are sent
    gen_ai: bool = False


class Log(_Noun, frozen=True):
    """The audit log: "process" survives a killed process, "power" a power cut, at the price of waiting for the disk."""

    durability: Literal["power", "process"] = "process"
    segment_bytes: int = 64_000_000
    sign_every: int = 1_000
    exports: tuple[Export, ...] = ()


class Oidc(_Noun, frozen=True):
    """Tokens of an identity provider that are accepted beside API keys."""

    issuer: str
    audience: str
    jwks: str  # an https address, or file:PATH
    algorithms: tuple[str, ...] = ("ES256", "RS256", "EdDSA")
    tier_claim: str = "unseen_tier"
    tenant_claim: str = "unseen_tenant"
    leeway_s: int = 30


AT_ONCE = frozenset({"log", "alert"})  # steps that are written down and change nothing for the client


class Actions(_Noun, frozen=True):
    """What sightings of probing lead to: one step of the ladder each.

    What a client could notice of it begins late, by a random time within `delay_s`; `log` and `alert` come at once.
    """

    ladder: tuple[Literal["log", "alert", "tighten", "reauthenticate", "suspend"], ...] = ("log", "alert")
    delay_s: tuple[float, float] = (600.0, 7200.0)


class Policy(_Noun, frozen=True):
    """The whole file."""

    upstream: Upstream
    routes: tuple[Route, ...]
    guard: Server = Server()
    tiers: dict[str, Tier] = {}
    budgets: Shared = Shared()
    neighbourhood: Neighbourhood = Neighbourhood()
    store: Store = Store()
    log: Log = Log()
    oidc: Oidc | None = None
    detectors: dict[str, dict[str, Any]] = {}
    actions: Actions = Actions()

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that change with any word of the policy."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()[:16]


def read_policy(path: str | Path) -> Policy:
    """Return the policy in a TOML file; raise `PolicyError` with the place of the first thing that is wrong."""
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PolicyError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:  # of TOML, of its encoding, of a number that is too long
        raise PolicyError(f"{path} is not TOML: {error}.") from None
    except RecursionError:
        raise PolicyError(f"{path} is nested too deeply.") from None
    return policy_from(content)


def policy_from(content: dict[str, Any]) -> Policy:
    """Return the policy that a mapping says.

    >>> policy_from({"upstream": {"url": "http://127.0.0.1:5001"}, "routs": []})
    Traceback (most recent call last):
    unseen.errors.PolicyError: the policy has an unknown key 'routs'; did you mean 'routes'?
    """
    if said := wrong_value(content):
        raise PolicyError(said)
    try:
        return _checked(msgspec.convert(content, Policy))
    except msgspec.ValidationError as error:
        raise PolicyError(wrong_type(content, Policy) or f"the policy: {error}.") from None


def rate_of(text: str) -> tuple[float, int]:
    """Return requests a second and the burst that a rate says; the burst is one second's worth unless it is said.

    >>> rate_of("30 per minute, burst 5")
    (0.5, 5)
    """
    if not (found := RATE.match(text)) or float(found[1]) <= 0 or found[3] == "0":
        raise PolicyError(f"a rate is written '10 per second' or '30 per minute, burst 5', got {text!r}.")
    per_second = float(found[1]) / SECONDS[found[2]]
    return per_second, int(found[3]) if found[3] else max(1, int(per_second))


def address_of(listen: str) -> tuple[str, int]:
    """Return host and port.

    >>> address_of("127.0.0.1:8080")
    ('127.0.0.1', 8080)
    """
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or len(port) > 5 or int(port) > 65535:
        raise PolicyError(f"an address to listen on is written HOST:PORT, got {listen!r}.")
    return host.strip("[]"), int(port)


def endpoint_of(address: str) -> tuple[str, str, int]:
    """Return how, host and port of a syslog server.

    >>> endpoint_of("udp://127.0.0.1:514")
    ('udp', '127.0.0.1', 514)
    """
    if (url := _split(address)) is not None:
        bare = not (url.path or url.query or url.fragment or url.username or url.password)
        if url.scheme in {"udp", "tcp", "tls"} and url.hostname and url.port and bare:
            return url.scheme, url.hostname, url.port
    raise PolicyError(f"a syslog server is written udp://HOST:PORT, tcp:// or tls://, got {address!r}.")


def _split(address: str) -> SplitResult | None:
    """Return the parts of an address, or None where its host or its port can be none."""
    try:
        url = urlsplit(address)
        _ = url.port
    except ValueError:
        return None
    return url


def is_plain(address: str) -> bool:
    """Whether an address is of HTTP, with a host, a port that can be one, and no user, password, query or fragment.

    >>> [is_plain(f"http://{rest}") for rest in ("a", "[::1]:80/v1", "a:99999", "[::1:80", ":b@a", "a?b", "a b", 'a"b')]
    [True, True, False, False, False, False, False, False]
    """
    if (url := _split(address)) is None:
        return False
    more = url.query or url.fragment or url.username or url.password
    plain = address.isprintable() and not set(address) & NO_ADDRESS
    return url.scheme in {"http", "https"} and bool(url.hostname) and plain and not more


def _check_export(export: Export, state: str) -> None:
    """Refuse an export that says too little or too much."""
    needed, no_use = ("path", "address") if export.to == "file" else ("address", "path")
    if getattr(export, needed) is None or getattr(export, no_use) is not None:
        raise PolicyError(f"to = {export.to!r} needs {needed}, and {no_use} says nothing there.")
    if export.to != "otlp" and (export.authorization is not None or export.gen_ai):
        raise PolicyError("authorization and gen_ai are for to = 'otlp' only.")
    if export.to == "syslog":
        endpoint_of(export.address or "")
    elif export.to == "file":
        if Path(state).resolve() in Path(export.path or "").resolve().parents:
            raise PolicyError("path must not be inside guard.state, where the log itself stands.")
    else:
        if not is_plain(export.address or ""):
            raise PolicyError(f"address {PLAIN}")
        if export.format is not None:
            raise PolicyError("format says nothing for to = 'otlp', which has its own.")


def _checked(policy: Policy) -> Policy:
    """Refuse what no guard could serve; what is unwise is judged in `checking`."""
    if not is_plain(policy.upstream.url):
        raise PolicyError(f"upstream.url {PLAIN}")
    if not policy.routes:
        raise PolicyError("the policy needs at least one [[routes]] table: nothing is forwarded that no route names.")
    for name, tier in policy.tiers.items():
        try:
            rate_of(tier.rate)
        except PolicyError as error:
            raise PolicyError(f"tiers.{name}.rate: {error}") from None
    for number, export in enumerate(policy.log.exports):
        try:
            _check_export(export, policy.guard.state)
        except PolicyError as error:
            raise PolicyError(f"log.exports {number + 1}: {error}") from None
    if len({(export.to, export.address or export.path) for export in policy.log.exports}) < len(policy.log.exports):
        raise PolicyError("log.exports: two send to one place.")
    address_of(policy.guard.listen)
    _check_ranges(policy)
    return policy


def _check_ranges(policy: Policy) -> None:
    """Refuse a number below its least value, or above its greatest."""
    for what, least, value in _counts(policy):
        if value is not None and value < least:
            raise PolicyError(f"{what} must be at least {least:g}, got {value:g}.")
    for what, most, number, why in _ends(policy):
        if number > most:
            raise PolicyError(f"{what} must be at most {most:,}, got {number:.10g}: {why}.")


def _ends(policy: Policy) -> Iterator[tuple[str, int, float, str]]:
    """Yield every number that has a greatest value, with its place and the reason."""
    times = {f"guard.{name}": getattr(policy.guard, name) for name in ("read_timeout_s", "drain_s")}
    times |= {"upstream.timeout_s": policy.upstream.timeout_s, "actions.delay_s": max(policy.actions.delay_s)}
    times |= {f"log.exports {n}.every_s": export.every_s for n, export in enumerate(policy.log.exports, 1)}
    for place, seconds in times.items():
        yield place, DAY_S, seconds, "what is a day late does not come"
    if policy.oidc is not None:
        yield "oidc.leeway_s", MOST_LEEWAY_S, policy.oidc.leeway_s, "a token opens for so long after its end"


def _counts(policy: Policy) -> list[tuple[str, float, float | None]]:
    """Every number that has a least value, with its place."""
    budgets = {"budgets.tenant": policy.budgets.tenant, "budgets.total": policy.budgets.total}
    budgets |= {f"tiers.{name}.budget": tier.budget for name, tier in policy.tiers.items()}
    found: list[tuple[str, float, float | None]] = [
        (f"{place}.{kind}", 1, getattr(budget, kind))
        for place, budget in budgets.items()
        for kind in ("per_day", "lifetime", "per_neighbourhood")
    ]
    server, upstream = policy.guard, policy.upstream
    found += [(f"guard.{name}", 1, getattr(server, name)) for name in ("workers", "max_records", "max_depth")]
    found += [(f"guard.{name}", 100, getattr(server, name)) for name in ("max_request_bytes",)]
    found += [(f"guard.{name}", 0.01, getattr(server, name)) for name in ("read_timeout_s", "drain_s")]
    found += [("guard.max_headers", 8, server.max_headers), ("upstream.timeout_s", 0.01, upstream.timeout_s)]
    found += [("upstream.connections", 1, upstream.connections), ("store.lease", 1, policy.store.lease)]
    found += [("upstream.max_response_bytes", 100, upstream.max_response_bytes)]
    found += [("log.sign_every", 1, policy.log.sign_every), ("log.segment_bytes", 10_000, policy.log.segment_bytes)]
    found += [(f"log.exports {n + 1}.queue", 1, export.queue) for n, export in enumerate(policy.log.exports)]
    found += [(f"log.exports {n + 1}.every_s", 1, export.every_s) for n, export in enumerate(policy.log.exports)]
    found += [("oidc.leeway_s", 0, policy.oidc.leeway_s if policy.oidc else None)]
    found += [("neighbourhood.radius", 1e-9, policy.neighbourhood.radius)]
    for number, route in enumerate(policy.routes):
        found += [(f"routes {number + 1}.step", 1e-12, route.step), (f"routes {number + 1}.width", 1, route.width)]
        found += [(f"routes {number + 1}.shape", 1, size) for size in route.shape]
        found += [
            (f"routes {number + 1}.shapes.{name}", 1, size) for name in route.shapes for size in route.shapes[name]
        ]
    return found
