"""Secrets, read from the environment or from files, checked for weakness, and never shown."""

import hashlib
import hmac
import os
from pathlib import Path

from unseen.errors import PolicyError

SHORTEST = 32  # bytes: what `unseen guard init` makes, and what an attacker cannot try through
FEWEST_KINDS = 10  # different bytes in a secret: 32 random ones have 27 or more, "changeme" repeated has 7


def read_secret(where: str, what: str) -> bytes:
    """Return the secret that `where` names, `env:NAME` or `file:PATH`; trailing line ends of a file are not part of it.

    Raises `PolicyError` where it is missing, empty, or stands in the policy itself. `what` says whose secret it is.
    """
    kind, _, name = where.partition(":")
    if kind == "env" and name:
        if not (text := os.environ.get(name, "")):
            raise PolicyError(f"{what} is read from the environment variable {name}, which is not set.")
        return text.encode()
    if kind == "file" and name:
        return _from_file(Path(name), what)
    raise PolicyError(f"{what} must be named as 'env:NAME' or 'file:PATH'; a secret never stands in the policy itself.")


def _from_file(path: Path, what: str) -> bytes:
    try:
        secret = path.read_bytes().rstrip(b"\r\n")
        others = path.stat().st_mode & 0o027  # a group may read it: credentials of systemd come so
    except OSError as error:
        raise PolicyError(f"{what} is read from the file {path}: {error.strerror}.") from None
    if not secret:
        raise PolicyError(f"{what} is read from the file {path}, which is empty.")
    if others:
        raise PolicyError(f"{what} stands in {path}, which others may read or its group may write: chmod 600 {path}.")
    return secret


def strong(secret: bytes, what: str) -> bytes:
    """Return `secret`; raise `PolicyError` where it is shorter than 32 bytes or plainly not random.

    >>> strong(b"changeme" * 8, "guard.secret")
    Traceback (most recent call last):
    unseen.errors.PolicyError: guard.secret is too weak: it has 7 different bytes; make one with: openssl rand -hex 32
    """
    make = "make one with: openssl rand -hex 32"
    if len(secret) < SHORTEST:
        raise PolicyError(f"{what} is too weak: it has {len(secret)} bytes, and {SHORTEST} are needed; {make}")
    if len(set(secret)) < FEWEST_KINDS:
        raise PolicyError(f"{what} is too weak: it has {len(set(secret))} different bytes; {make}")
    return secret


def derive(secret: bytes, purpose: str) -> bytes:
    """Return 32 bytes for one purpose: HMAC-SHA-256 of its name under the guard's secret (one step of HKDF-expand)."""
    return hmac.digest(secret, f"unseen guard: {purpose}".encode(), hashlib.sha256)
