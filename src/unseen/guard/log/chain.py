"""Chain: every record carries a hash over itself and the record before it; heads are signed.

A line is one JSON object whose last field is `hash`: SHA-256 over the hash before it and the object without that field.
"""

import hashlib
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from unseen.guard.secrets import derive

START = b"\0" * 32  # the hash before the first record
FIELD = b',"hash":"'
TAIL = len(FIELD) + 64 + 2  # the field, its 64 digits, and `"}`
_encode = msgspec.json.Encoder().encode


def linked(before: bytes, record: Any) -> tuple[bytes, bytes]:
    """Return the hash of a record and its line.

    >>> value, line = linked(START, {"n": 1})
    >>> line.startswith(b'{"n":1,"hash":"'), opened(START, line) == value
    (True, True)
    """
    payload = _encode(record)
    value = hashlib.sha256(before + payload).digest()
    return value, b"".join((payload[:-1], FIELD, value.hex().encode(), b'"}\n'))


def opened(before: bytes, line: bytes) -> bytes | None:
    """Return the hash of a line where it is whole and follows `before`, else None."""
    body, field, rest = line[: -TAIL - 1], line[-TAIL - 1 : -TAIL - 1 + len(FIELD)], line[-66 - 1 :]
    if field != FIELD or not rest.endswith(b'"}\n'):
        return None
    value = hashlib.sha256(before + body + b"}").digest()
    return value if value.hex().encode() == rest[:64] else None


def signed(key: Ed25519PrivateKey, chain: str, number: int, value: bytes) -> str:
    """Return the signature that says: record `number` of `chain` had this hash."""
    return key.sign(_said(chain, number, value)).hex()


def vouched(public: bytes, signature: str, chain: str, number: int, value: bytes) -> bool:
    """Whether a signature says so."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(bytes.fromhex(signature), _said(chain, number, value))
    except (InvalidSignature, ValueError):
        return False
    return True


def _said(chain: str, number: int, value: bytes) -> bytes:
    return b"\0".join((b"unseen guard log", chain.encode(), str(number).encode(), value))


def signing_key(secret: bytes) -> Ed25519PrivateKey:
    """Return the key that signs the log of a guard with this secret."""
    return Ed25519PrivateKey.from_private_bytes(derive(secret, "log signatures"))


def public_of(key: Ed25519PrivateKey) -> bytes:
    """Return the 32 bytes of the public key."""
    return key.public_key().public_bytes_raw()
