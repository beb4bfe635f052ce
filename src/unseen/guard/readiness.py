"""Readiness: what this machine lacks for a guard to start with a policy that is right in itself."""

from collections.abc import Iterator
from pathlib import Path

from unseen.errors import InputError
from unseen.guard.checking import Finding, note, secrets_of, secrets_of_exports
from unseen.guard.keys import KeyRing, closed_to_all
from unseen.guard.policy import Policy
from unseen.guard.same_secret import other_secret
from unseen.guard.secrets import read_secret, strong
from unseen.guard.tenant_keys import damaged

STRONG = {"guard.secret", "guard.admin_token"}  # those that nobody may guess: the others are made elsewhere
HERE = "no guard starts on this machine:"


def missing(policy: Policy) -> Iterator[Finding]:
    """Yield a note for each secret and tenant's key that cannot be read here, and for want of a key. Writes nothing."""
    for place, where in (secrets_of(policy) | secrets_of_exports(policy)).items():
        try:
            secret = b"" if where is None else read_secret(where, place)
            if where is not None and place in STRONG:
                strong(secret, place)
            said = other_secret(Path(policy.guard.state), secret) if place == "guard.secret" else ""
        except InputError as error:
            said = str(error)
        if said:
            yield note(place, f"{HERE} {said}")
    for one in damaged(Path(policy.guard.state)):
        yield note("guard.state", f"a tenant is not answered: {one}")
    try:
        closed = closed_to_all(policy, KeyRing(Path(policy.guard.state), b""))
    except InputError as error:
        closed = str(error)
    if closed:
        yield note("guard.state", f"{HERE} {closed}")
