"""A check value beside the keys: with another secret no key opens, and the log goes on under another signature."""

import hmac
from hashlib import blake2b
from pathlib import Path

from unseen.disk import write_whole
from unseen.errors import PolicyError
from unseen.guard.keys import KeyRing
from unseen.guard.policy import Policy
from unseen.guard.secrets import derive, read_secret, strong
from unseen.guard.unusable import check_usable, give_to_owner_of, unusable
from unseen.guard.words import number_of

FILE = "secret.check"


def require_same(folder: Path, secret: bytes) -> None:
    """Raise `PolicyError` where the keys and the log in `folder` were made with another secret.

    Where nothing says which, as in a new folder, or the owner emptied the file to start anew, this secret is written
    down: a keyed hash, which tells nothing of it.
    """
    if said := other_secret(folder, secret):
        raise PolicyError(said)
    path = folder / FILE
    if not _kept(path):
        check_usable(folder)
        write_whole(path, f"{_check(secret)}\n".encode())
        give_to_owner_of(folder, path)


def own_secret(policy: Policy) -> bytes:
    """Return the secret of a policy, where it is the one that the state was made with: whatever is written needs it."""
    secret = strong(read_secret(policy.guard.secret, "guard.secret"), "guard.secret")
    require_same(Path(policy.guard.state), secret)
    return secret


def other_secret(folder: Path, secret: bytes) -> str:
    """Return the sentence that says that this is another secret, or "" where it is not, or nothing says which was.

    Where there is no check value, as of a guard that kept none yet, the key that the log was last begun with says it.
    """
    path = folder / FILE
    kept = _kept(path)
    same = _signed_last(folder / "log", secret) if kept is None else hmac.compare_digest(kept, _check(secret).encode())
    if same or kept == b"":
        return ""
    keys = number_of(len(KeyRing(folder, b"").all()), "key")
    return (
        f"guard.secret is another secret than the one that the {keys} and the log in {folder} were made with: set the "
        f"old one again; or, to start anew, make {path} an empty file and make all keys again, for none of the old "
        "ones will open."
    )


def _kept(path: Path) -> bytes | None:
    """Return the check value, or None where there is no file."""
    try:
        return path.read_bytes().strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unusable(path, error) from None


def _signed_last(log: Path, secret: bytes) -> bool:
    """Whether the log names the key of this secret in the segment that was begun last, or has none."""
    from unseen.guard.log.chain import public_of, signing_key
    from unseen.guard.log.reading import newest_start

    start = newest_start(log)
    return start is None or start.public_key == public_of(signing_key(secret)).hex()


def _check(secret: bytes) -> str:
    return blake2b(b"the secret of this guard", key=derive(secret, "check"), digest_size=32).hexdigest()
