"""Opening: a gateway over a state, and which policy may come after another."""

from pathlib import Path

from unseen.errors import PolicyError
from unseen.guard.checking import refuse_useless
from unseen.guard.detectors import from_settings
from unseen.guard.gateway import Gateway, State
from unseen.guard.policy import Policy, read_policy
from unseen.guard.upstream import Upstream
from unseen.guard.upstreams import open_upstream
from unseen.guard.watching import Watch

FIXED = ("listen", "admin", "admin_token", "secret", "state", "workers", "read_timeout_s", "drain_s")


def successor(path: Path, old: Policy) -> Policy:
    """Return the policy in a file. Raises `PolicyError` where it says what a guard that runs cannot change."""
    policy = read_policy(path)
    for name in FIXED:
        if getattr(policy.guard, name) != getattr(old.guard, name):
            raise PolicyError(f"guard.{name} changes only by a restart.")
    for part in ("store", "log"):
        if getattr(policy, part) != getattr(old, part):
            raise PolicyError(f"[{part}] changes only by a restart.")
    return policy


def open_gateway(
    policy: Policy,
    state: State,
    old: Gateway | None = None,
    upstream: Upstream | None = None,
    decoys: frozenset[bytes] | None = None,
) -> Gateway:
    """Return a gateway over a state; detectors whose settings did not change keep what they know.

    `decoys` is the list that the policy names, if it was read already.
    """
    refuse_useless(policy, lists=False)  # the gateway reads them itself
    same = old is not None and policy.detectors == old.policy.detectors and policy.actions == old.policy.actions
    shadow = policy.guard.mode == "shadow"
    if old is not None and same and shadow == (old.policy.guard.mode == "shadow"):
        watch = old.watch
    else:
        detectors = from_settings(policy.detectors)
        watch = Watch(detectors, policy.actions, state.writer, state.folder, shadow=shadow, relay=state.relay)
        if old is not None:
            watch.follow(old.watch)
    tokens = None
    if policy.oidc is not None:
        from unseen.guard.tokens import OidcTokens

        tokens = OidcTokens(policy.oidc)
    return Gateway(policy, state, upstream or open_upstream(policy.upstream), watch, tokens, decoys)
