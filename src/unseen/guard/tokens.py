"""Tokens of an identity provider (OIDC): signed, for us, from them, in time; anything else is no token.

The header of a token chooses nothing: algorithms are those of the policy, keys are those of the provider's address.
"""

import asyncio
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import aiohttp
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from unseen.errors import PolicyError
from unseen.guard.client import Client
from unseen.guard.policy import Oidc

SCHEME = "https://"
LONGEST = 8_192  # characters of a token
REMEMBERED = 10_000  # tokens that are known to be good, each until it expires
FRESH_S, PATIENCE_S, LONGEST_PATIENCE_S = 300.0, 2.0, 300.0
MOST_BYTES = 1_000_000


class OidcTokens:
    """Knows the tokens of one provider; its keys are read again every five minutes, and later after each failure."""

    def __init__(self, settings: Oidc) -> None:
        self._settings = settings
        self._keys: KeySet | None = None
        self._next = 0.0
        self._patience = PATIENCE_S
        self._known: dict[bytes, tuple[float, Client]] = {}
        self._lock = asyncio.Lock()

    def __repr__(self) -> str:
        return f"OidcTokens({self._settings.issuer!r})"

    async def client_of(self, token: str, now: float) -> Client | None:
        """Return who shows a token, or None where it is not valid now."""
        name = hashlib.sha256(token.encode("latin-1", "replace")).digest()
        if (known := self._known.get(name)) is not None:
            if now < known[0]:
                return known[1]
            del self._known[name]
        if len(token) > LONGEST:
            return None
        await self._refresh()
        if self._keys is None:
            return None
        try:
            read = jwt.decode(token, self._keys, algorithms=list(self._settings.algorithms))
            self._registry(now).validate(read.claims)
            until = float(read.claims["exp"]) + self._settings.leeway_s
            client = self._client(read.claims)
        except (JoseError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
            return None
        if client is not None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[name] = (until, client)
        return client

    def _registry(self, now: float) -> jwt.JWTClaimsRegistry:
        return jwt.JWTClaimsRegistry(
            now=int(now),
            leeway=self._settings.leeway_s,
            iss={"essential": True, "value": self._settings.issuer},
            aud={"essential": True, "value": self._settings.audience},
            exp={"essential": True},
            sub={"essential": True},
        )

    def _client(self, claims: dict[str, Any]) -> Client | None:
        settings = self._settings
        tier, tenant, subject = claims.get(settings.tier_claim), claims.get(settings.tenant_claim), claims.get("sub")
        if not isinstance(tier, str) or not isinstance(subject, str) or not (tier + subject).isprintable():
            return None
        whose = hashlib.sha256(f"{settings.issuer}\0{subject}".encode()).hexdigest()[:16]
        named = tenant if isinstance(tenant, str) and tenant.isprintable() and ":" not in tenant and tenant else "oidc"
        shown = claims.get("auth_time", claims.get("iat"))  # a token that is fetched anew is no new login
        since = float(shown) if isinstance(shown, int | float) else 0.0
        return Client(f"oidc-{whose}", named[:100], tier, frozenset(), f"oidc-{whose}", since)

    async def _refresh(self) -> None:
        if time.monotonic() < self._next:
            return
        async with self._lock:
            if time.monotonic() < self._next:
                return
            try:
                self._keys = KeySet.import_key_set(json.loads(await self._read()))
                self._patience, wait = PATIENCE_S, FRESH_S
            except (aiohttp.ClientError, OSError, ValueError, KeyError, TypeError, RecursionError, JoseError):
                wait = self._patience  # what was known stays known
                self._patience = min(2 * self._patience, LONGEST_PATIENCE_S)
            self._next = time.monotonic() + wait

    async def _read(self) -> bytes:
        where = self._settings.jwks
        if where.startswith("file:"):
            return await asyncio.to_thread(Path(where[5:]).read_bytes)
        if not where.startswith(SCHEME):
            raise PolicyError("oidc.jwks: keys come from an https address or file:PATH.")
        timeout = aiohttp.ClientTimeout(total=5)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(where, allow_redirects=False) as found,
        ):
            found.raise_for_status()
            content = b""
            async for part in found.content.iter_chunked(65_536):
                content += part
                if len(content) > MOST_BYTES:
                    raise ValueError("too long for a set of keys")
            return content
