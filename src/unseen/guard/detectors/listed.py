"""The list of decoys: a file of made-up requests, read as the route would read them, kept as fingerprints only."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from unseen.errors import PolicyError
from unseen.guard.detector import Detector
from unseen.guard.detectors import from_settings
from unseen.guard.detectors.decoys import Decoys
from unseen.guard.policy import Policy, Route
from unseen.guard.protocols import adapter_of
from unseen.guard.protocols.openai import ASKED
from unseen.guard.question import Adapter
from unseen.guard.refusal import Refused
from unseen.guard.shape import coarse_forms, fingerprint
from unseen.guard.wire import read_json


def learn_decoys(
    detectors: Iterable[Detector], policy: Policy, key: bytes, known: frozenset[bytes] | None = None
) -> None:
    """Give a detector of decoys the fingerprints of its file, under `key`. Raises `PolicyError`; then nothing changed.

    `key` must be the one that queries get their fingerprints with; `known` is what `decoys_of` has read under it.
    """
    for detector in detectors:
        if isinstance(detector, Decoys):
            detector.known = _read(detector, policy, key) if known is None else known


def decoys_of(policy: Policy, key: bytes) -> frozenset[bytes] | None:
    """Return the fingerprints of the list that a policy names, or None where it names none. Raises `PolicyError`.

    A long list takes a second: a guard that runs reads it in a thread.
    """
    named = [detector for detector in from_settings(policy.detectors) if isinstance(detector, Decoys)]
    return _read(named[0], policy, key) if named else None


def _read(detector: Decoys, policy: Policy, key: bytes) -> frozenset[bytes]:
    return read_decoys(Path(detector.file), _route(policy, detector.route), policy, key)


def read_decoys(path: Path, route: Route, policy: Policy, key: bytes) -> frozenset[bytes]:
    """Return the fingerprint of every record that the requests in a file ask about, one request a line.

    Raises `PolicyError`, with the number of a line that the route would not take, and never what stands there.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise PolicyError(f"decoys: {path} cannot be read: {error.strerror}.") from None
    adapter = adapter_of(route)
    found: set[bytes] = set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            content = read_json(line, policy.guard.max_depth)
            forms = coarse_forms(adapter.read(_path(adapter, route, content), content, frozenset()).rows, route)
        except Refused as refused:
            named = route.name or route.protocol
            raise PolicyError(
                f"decoys: {path}, line {number} is no request that route {named} takes ({refused.reason})."
            ) from None
        found |= {fingerprint(key, form) for form in forms}
    if not found:
        raise PolicyError(f"decoys: {path} holds none: write one request a line, as a client would send it.")
    return frozenset(found)


def _route(policy: Policy, name: str) -> Route:
    """Return the route of a name; the only one, where no name is said."""
    named = {route.name or route.protocol: route for route in policy.routes}
    if not name and len(policy.routes) == 1:
        return policy.routes[0]
    if name not in named:
        raise PolicyError(f"decoys: route must be one of {sorted(named)}, got {name!r}.")
    return named[name]


def _path(adapter: Adapter, route: Route, content: Any) -> str:
    """Return where a request would go: of OpenAI's three addresses, the one that takes its field."""
    if route.protocol != "openai":
        return route.path
    for end, field in ASKED.items():
        path = f"{route.path.rstrip('/') or '/v1'}/{end}"
        if isinstance(content, dict) and field in content and adapter.match("POST", path):
            return path
    raise Refused(400, "field", "It asks about nothing.")
