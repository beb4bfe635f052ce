"""The guard on one page: a policy, its state, and the layers that a request goes through."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

import msgspec

from unseen import __version__
from unseen.disk import held
from unseen.errors import FolderError, PolicyError, UnseenError
from unseen.guard.answering import Controls
from unseen.guard.budget import Store
from unseen.guard.checking import hardenings
from unseen.guard.counts import Counts, Snapshot
from unseen.guard.exchange import Exchange, Handler, Layer, Reply
from unseen.guard.exports.shipping import Shipping
from unseen.guard.keys import KeyRing
from unseen.guard.layers.authenticated import Tokens, authenticated
from unseen.guard.layers.charged import Charged
from unseen.guard.layers.forwarded import Forwarded
from unseen.guard.layers.paced import paced
from unseen.guard.layers.recorded import recorded
from unseen.guard.layers.understood import understood
from unseen.guard.leases import Leases
from unseen.guard.log.chain import signing_key
from unseen.guard.log.entries import Done
from unseen.guard.log.tips import tips_folder, tips_path
from unseen.guard.log.writer import Writer
from unseen.guard.neighbourhood import Neighbourhoods
from unseen.guard.pace import Pace, Turns
from unseen.guard.policy import Policy
from unseen.guard.protocols import adapter_of
from unseen.guard.refusal import Refused
from unseen.guard.relay import Relay
from unseen.guard.same_secret import own_secret
from unseen.guard.secrets import derive
from unseen.guard.stores import open_store
from unseen.guard.tenant_keys import TenantKey, look_at_tenant_key, tenant_key_path
from unseen.guard.unusable import give_to_owner_of, unusable
from unseen.guard.upstream import Upstream
from unseen.guard.watching import Watch

LOG = logging.getLogger("unseen.guard")
OUTSIDE = 1_000  # the first place of commands, beyond those of workers
LOOK_S = 1.0  # how often the file of a tenant's key is looked at for changes made by another process
PLACES = 256  # processes that may share one state


@dataclass(eq=False)
class State:
    """What one worker holds open: it outlives policies, which come and go by reload."""

    folder: Path
    place: IO[str]  # the lock of this worker's chain
    worker: int
    secret: bytes = field(repr=False)
    keys: KeyRing
    store: Store
    leases: Leases
    writer: Writer
    counts: Counts = field(default_factory=Counts)
    shipping: Shipping | None = None
    pace: Turns = field(default_factory=Pace)
    relay: Relay | None = None
    tenants: dict[str, TenantKey] = field(default_factory=dict, repr=False)
    damaged: set[Path] = field(default_factory=set)  # files of tenants' keys that hold none, and were told of

    def tenant_key(self, tenant: str) -> bytes:
        """Return the key of a tenant's fingerprints, made when first needed.

        Its file is looked at once a second: a key that another process shredded is used no longer, and a new one is.
        """
        known = self.tenants.get(tenant)
        if known is None or not 0 <= time.monotonic() - known.looked < LOOK_S:
            known = self.tenants[tenant] = self._look(tenant_key_path(self.folder, tenant), known)
        return known.key

    def _look(self, path: Path, known: TenantKey | None) -> TenantKey:
        """Return the key in a file. Raises `Refused` where there is none; that is told when it is first seen."""
        try:
            found = look_at_tenant_key(path, known)
        except (OSError, FolderError) as error:
            if path not in self.damaged:
                self.damaged.add(path)
                LOG.error("unseen guard: %s", unusable(path, error) if isinstance(error, OSError) else error)  # noqa: TRY400
                with suppress(OSError, UnseenError):  # a log that fails is said of the request itself
                    self.writer.append(Done, what="fingerprint-key-damaged", detail=path.name)
            raise Refused(
                503, "fingerprint_key", "The guard lacks a key of its own now, and answers nothing."
            ) from None
        self.damaged.discard(path)
        return found

    def snapshot(self) -> Snapshot:
        """Return what this worker has counted."""
        exports = self.shipping.shipped() if self.shipping else ()
        return self.counts.snapshot(self.leases.waits, self.leases.wait_s, exports)

    def close_now(self) -> None:
        """Do what `close` does: for callers outside an event loop."""
        self._tell_stranded(self.leases.close_now())
        self.store.close()
        if self.shipping is not None:
            self.shipping.close()
            self.shipping.settle()
        self.writer.close()
        self.place.close()

    async def close(self) -> None:
        """Give back what is held, send what exports wait for, sign the log's last head, let go of everything."""
        self._tell_stranded(await self.leases.close())
        self.store.close()
        if self.shipping is not None:
            await asyncio.to_thread(self.shipping.close)
            self.shipping.settle()
        self.writer.close()
        self.place.close()

    def _tell_stranded(self, count: int) -> None:
        if count:
            with suppress(OSError, UnseenError):
                self.writer.append(Done, what="charges-stranded", count=count)


def open_state(policy: Policy, worker: int = 0) -> State:
    """Open what a worker needs. Raises `PolicyError` or `FolderError`.

    `worker` is the first place that is tried: a chain of the log has one writer, so one that is taken is passed over.
    """
    secret, folder = own_secret(policy), Path(policy.guard.state)
    worker, place = _free_place(folder / "log", worker)
    with ExitStack() as opened:  # what is open is closed again where a later part cannot be opened
        opened.enter_context(place)
        store = open_store(policy.store, folder)
        opened.callback(store.close)
        writer = Writer(
            folder / "log" / f"worker-{worker}",
            signing_key(secret),
            policy.log,
            policy=policy.digest,
            version=__version__,
        )
        opened.callback(writer.close)
        state = State(
            folder=folder,
            place=place,
            worker=worker,
            secret=secret,
            keys=KeyRing(folder, derive(secret, "keys")),
            store=store,
            leases=Leases(store, lease=policy.store.lease, workers=policy.guard.workers),
            writer=writer,
        )
        writer.told = (state.counts.written,)
        if policy.log.exports:
            state.shipping = Shipping(policy.log.exports, worker, state.snapshot, writer.append)
            writer.told = (state.counts.written, state.shipping.take)
        opened.pop_all()
    return state


@contextmanager
def changes(policy: Policy) -> Iterator[Callable[..., object]]:
    """Open the log from outside the guard, in a chain that no worker has; yield what writes a `Done` down.

    What must be written down is done inside: where nothing can be written, or with another secret, it is not begun.
    """
    secret = own_secret(policy)
    log = Path(policy.guard.state) / "log"
    worker, place = _free_place(log, OUTSIDE)
    with place:
        writer = Writer(
            log / f"worker-{worker}", signing_key(secret), policy.log, policy=policy.digest, version=__version__
        )
        try:
            yield partial(writer.append, Done)
        finally:
            writer.close()
            chain = log / f"worker-{worker}"
            kept = [path for path in (tips_folder(log), tips_path(chain)) if path.exists()]
            give_to_owner_of(log.parent, log, log / f"worker-{worker}.lock", chain, *chain.iterdir(), *kept)


def _free_place(log: Path, first: int) -> tuple[int, IO[str]]:
    for worker in range(first, first + PLACES):
        if (place := held(log / f"worker-{worker}.lock")) is not None:
            return worker, place
    raise FolderError(f"{PLACES} guards write in {log} already: give this one a state of its own.")


class Gateway:
    """One policy, checked by `serving.open_gateway` and ready to answer: `handle` takes an exchange through all layers.

    Nothing here changes afterwards.
    """

    def __init__(
        self,
        policy: Policy,
        state: State,
        upstream: Upstream,
        watch: Watch,
        tokens: Tokens | None = None,
        decoys: frozenset[bytes] | None = None,
    ) -> None:
        self.policy = policy
        self.state = state
        self.upstream = upstream
        self.watch = watch
        labels = hardenings(({"name": "label-only"}, {"name": "no-logprobs"}), b"")
        key = derive(state.secret, "controls")
        own = {name: hardenings(tier.controls, key) for name, tier in policy.tiers.items()}
        self._usual = {name: Controls(controls) for name, controls in own.items()}
        self._tightened = {name: Controls([*controls, *labels]) for name, controls in own.items()}
        self.handle: Handler = self._stack(tokens)
        watch.learn(policy, derive(state.secret, "detectors"), decoys)

    def _stack(self, tokens: Tokens | None) -> Handler:
        """Build the layers from the inside out."""
        policy, state = self.policy, self.state
        near = Neighbourhoods(derive(state.secret, "neighbourhoods"), policy.neighbourhood.radius)
        routes = [(route, adapter_of(route)) for route in named(policy).routes]
        layers: list[Layer] = [
            lambda inner: Charged(inner, policy, state.leases, state.store, near),
            lambda inner: understood(inner, policy, state.tenant_key, self._controls),
            lambda inner: paced(inner, policy, state.pace),
            lambda inner: authenticated(inner, policy, state.keys, tokens, routes, self.watch),
            lambda inner: recorded(inner, policy, state.writer, policy.digest, self._notice, state.counts),
        ]
        handler: Handler = Forwarded(policy, self.upstream, self._controls)
        for layer in layers:
            handler = layer(handler)
        return handler

    def _controls(self, exchange: Exchange) -> Controls:
        tightened = self.watch.tightened(exchange.client.id)
        return (self._tightened if tightened else self._usual)[exchange.client.tier]

    def _notice(self, exchange: Exchange, reply: Reply) -> None:
        if reply.status == 200:
            self.watch.notice(exchange)
            self.state.counts.unwatched = self.watch.dropped


def named(policy: Policy) -> Policy:
    """Return the policy with a name for every route: its protocol, or the one it has."""
    routes = tuple(msgspec.structs.replace(route, name=route.name or route.protocol) for route in policy.routes)
    if len({route.name for route in routes}) < len(routes):
        raise PolicyError("two routes have one name: give each [[routes]] table a name of its own.")
    return msgspec.structs.replace(policy, routes=routes)


def new_id() -> str:
    """Return a name for one request that tells nothing and comes once."""
    return os.urandom(8).hex()
