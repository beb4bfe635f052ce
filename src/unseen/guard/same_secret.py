"""A check value beside the keys: with another secret no key opens, and the log goes on under another signature."""

import hmac
from hashlib import blake2b
from pathlib import Path

from unseen.disk import write_whole
from unseen.errors import PolicyError
from unseen.guard.keys import KeyRing
from unseen.guard.secrets import derive
from unseen.guard.unusable import check_usable, give_to_owner_of, unusable
from unseen.guard.words import number_of

FILE = "secret.check"


def require_same(folder: Path, secret: bytes) -> None:
    """Raise `PolicyError` where the keys and the log in `folder` were made with another secret.

    Where nothing says which, as in a new folder, this secret is written down: a keyed hash, which tells nothing of it.
    """
    if said := other_secret(folder, secret):
        raise PolicyError(said)
    path = folder / FILE
    if not path.exists():
        check_usable(folder)
        write_whole(path, f"{_check(secret)}\n".encode())
        give_to_owner_of(folder, path)


def other_secret(folder: Path, secret: bytes) -> str:
    """Return the sentence that says that this is another secret, or "" where it is not, or nothing says which was."""
    path = folder / FILE
    try:
        kept = path.read_bytes().strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise unusable(path, error) from None
    if hmac.compare_digest(kept, _check(secret).encode()):
        return ""
    keys = number_of(len(KeyRing(folder, b"").all()), "key")
    return (
        f"guard.secret is another secret than the one that the {keys} and the log in {folder} were made with: set the "
        f"old one again; or, to start anew, delete {path} and make all keys again, for none of the old ones will open."
    )


def _check(secret: bytes) -> str:
    return blake2b(b"the secret of this guard", key=derive(secret, "check"), digest_size=32).hexdigest()
