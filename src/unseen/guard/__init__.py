"""The guard: a policy, enforced in front of a running model.

    import unseen.guard
    guarded = unseen.guard.wrap(model, "policy.toml")      # in this process
    app.add_middleware(unseen.guard.Middleware, policy="policy.toml")      # in front of an ASGI application

On the command line: unseen guard init, check, explain, keys, serve, log, status.
"""

from importlib import import_module
from typing import Any

_PUBLIC = {
    "Guarded": "unseen.guard.wrapping",
    "Middleware": "unseen.guard.middleware",
    "Policy": "unseen.guard.policy",
    "Refused": "unseen.guard.refusal",
    "explain": "unseen.guard.explaining",
    "read_policy": "unseen.guard.policy",
    "serve": "unseen.guard.serving",
    "wrap": "unseen.guard.wrapping",
}

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'unseen.guard' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
