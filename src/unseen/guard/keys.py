"""API keys: made from 32 random bytes, kept as a keyed hash (BLAKE2b), found by prefix, compared in constant time."""

import base64
import hmac
import os
import secrets
import time
import zlib
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

import msgspec

from unseen.disk import write_whole
from unseen.errors import FolderError, PolicyError
from unseen.guard.client import Client
from unseen.guard.policy import Policy
from unseen.guard.unusable import alone_in_state, give_to_owner_of, unusable

FILE = "keys.json"
PREFIX = "unseen"
NOTHING = "0" * 64  # what an unknown key is compared with, so that it takes as long as a known one
LONGEST_SHOWN = 16  # characters of an id that is not known: anything longer may be a key
PATIENCE_S = 5.0  # how long the changes of other processes are waited for
LOOK_S = 1.0  # how often the file is looked at for changes made by another process


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept of a key: everything but the key. Times are seconds since 1970; `scopes` names routes, () is all."""

    id: str
    hash: str
    tenant: str
    tier: str
    created: float
    scopes: tuple[str, ...] = ()
    expires: float | None = None
    revoked: float | None = None
    replaces: str | None = None

    def valid(self, now: float) -> bool:
        """Whether it opens anything at a time."""
        return self.revoked is None and (self.expires is None or now < self.expires)

    @property
    def client(self) -> Client:
        """Who asks with it: a rotated key stays the same client, with the same budgets."""
        return Client(self.replaces or self.id, self.tenant, self.tier, frozenset(self.scopes), self.id, self.created)


class KeyRing:
    """The keys of one state folder; `pepper` is derived from the guard's secret and never kept beside them."""

    def __init__(self, folder: Path, pepper: bytes) -> None:
        self._path = folder / FILE
        self._pepper = pepper
        self._keys: dict[str, Key] = {}
        self._clients: dict[str, Client] = {}
        self._seen: tuple[int, int, int] | None = None
        self._looked = float("-inf")
        self.refresh()

    def __repr__(self) -> str:
        return f"KeyRing({len(self._keys)} keys)"

    def refresh(self) -> None:
        """Read the file again if another process changed it; a damaged file leaves what was known, unless at start."""
        try:
            found = self._path.stat()
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
            if seen == self._seen:
                return
            keys = msgspec.json.decode(self._path.read_bytes(), type=list[Key])
        except FileNotFoundError:
            seen, keys = None, []
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            if self._seen is not None:
                return
            if isinstance(error, OSError):
                raise unusable(self._path, error) from None
            raise FolderError(f"{self._path} does not hold keys ({type(error).__name__}): restore it.") from None
        self._seen, self._keys = seen, {key.id: key for key in keys}
        self._clients = {key.id: key.client for key in keys}

    def find(self, token: str, now: float) -> Client | None:
        """Return who asks, or None for a key that is unknown, wrong, expired or revoked: all in the same time."""
        if now - self._looked > LOOK_S or now < self._looked:
            self._looked = now
            self.refresh()
        key = self._keys.get(_id_of(token))
        same = hmac.compare_digest(self._hash(token), key.hash if key else NOTHING)
        return self._clients[key.id] if key is not None and same and key.valid(now) else None

    def add(
        self,
        *,
        tenant: str,
        tier: str,
        scopes: Iterable[str] = (),
        expires: float | None = None,
        replaces: str | None = None,
    ) -> tuple[Key, str]:
        """Make a key and keep its hash; the second part is the only copy of the key itself."""
        if not tenant.isprintable() or not tenant or len(tenant) > 100 or ":" in tenant:
            raise PolicyError("a tenant is 1 to 100 printable characters without ':'.")
        now = time.time()
        name = base64.b32encode(os.urandom(5)).decode().lower()
        bare = f"{PREFIX}_{name}_{secrets.token_urlsafe(32)}"
        token = bare + _checksum(bare)
        key = Key(name, self._hash(token), tenant, tier, now, tuple(scopes), expires, None, replaces)
        with alone_in_state(self._path, PATIENCE_S):
            self.refresh()
            self._write([*self._keys.values(), key])
        return key, token

    def successor(self, name: str) -> tuple[Key, str]:
        """Make a key that takes the place of another, which opens as before until it is retired."""
        old = self.get(name)
        if not old.valid(time.time()):
            raise PolicyError(f"the key {old.id} has expired or was revoked: add a new one.")
        return self.add(
            tenant=old.tenant,
            tier=old.tier,
            scopes=old.scopes,
            expires=old.expires,
            replaces=old.replaces or old.id,
        )

    def retire(self, name: str, overlap_s: float) -> Key:
        """Let a key that has a successor open for `overlap_s` seconds more, and no longer than it did."""
        end = time.time() + overlap_s
        return self._change(name, expires=min(end, self.get(name).expires or end))

    def revoke(self, name: str) -> Key:
        """Close a key at once: guards that run notice within a second."""
        return self._change(name, revoked=time.time())

    def get(self, name: str) -> Key:
        """Return what is kept of a key, by its id or by the key itself, which no message shows."""
        self.refresh()
        name = id_in(name)
        if name not in self._keys:
            shown = f" {name!r}" if len(name) <= LONGEST_SHOWN else " of this id"
            raise PolicyError(f"there is no key{shown}: unseen guard keys list shows what there is.")
        return self._keys[name]

    def all(self) -> list[Key]:
        """Return what is kept of every key, oldest first."""
        self.refresh()
        return sorted(self._keys.values(), key=lambda key: key.created)

    def _change(self, name: str, **fields: float) -> Key:
        with alone_in_state(self._path, PATIENCE_S):
            key = msgspec.structs.replace(self.get(name), **fields)
            self._write([key if old.id == key.id else old for old in self._keys.values()])
        return key

    def _write(self, keys: list[Key]) -> None:
        write_whole(self._path, msgspec.json.format(msgspec.json.encode(keys)))
        give_to_owner_of(self._path.parent, self._path)
        self._seen = None
        self.refresh()

    def _hash(self, token: str) -> str:
        return blake2b(token.encode("utf-8", "surrogateescape"), key=self._pepper, digest_size=32).hexdigest()


def id_in(text: str) -> str:
    """Return the id where a whole key was given in its place, else the text as it is.

    >>> id_in("unseen_cc6fsgld_SECRET"), id_in("cc6fsgld")
    ('cc6fsgld', 'cc6fsgld')
    """
    _, found, rest = text.partition(f"{PREFIX}_")
    return rest.split("_")[0] if found else text


def _id_of(token: str) -> str:
    """Return the prefix by which a key is found, or nothing where this is no key of ours.

    >>> _id_of("Bearer of bad news")
    ''
    """
    parts = token.split("_", 2)
    return parts[1] if len(parts) == 3 and parts[0] == PREFIX else ""


def closed_to_all(policy: Policy, ring: KeyRing) -> str:
    """Return what to do where no key opens and no token could, or "". Raises `FolderError`."""
    if policy.oidc is not None or any(key.valid(time.time()) for key in ring.all()):
        return ""
    return "there is no key that opens, and no [oidc]: see unseen guard keys add."


def _checksum(bare: str) -> str:
    """Return six digits by which scanners of code tell a key from what looks like one."""
    return f"{zlib.crc32(bare.encode('utf-8', 'surrogateescape')) & 0xFFFFFF:06x}"
