"""Provenance: what it takes to run an audit again."""

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from importlib.metadata import version
from typing import Any

from unseen import __version__
from unseen.report import Provenance
from unseen.signal import Array

LIBRARIES = ("numpy", "scipy", "scikit-learn", "polars")


def digest(*arrays: Array) -> str:
    """Return one digest of the bytes of some arrays, in order."""
    total = blake2b(digest_size=16)
    for array in arrays:
        total.update(repr((array.shape, array.dtype.str)).encode())
        total.update(array.tobytes())
    return total.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of the package, of Python, and of the libraries that numbers depend on."""
    return {"unseen": __version__, "python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


def provenance(
    seed: int, data_digest: str, model_digest: str, plan: Mapping[str, Any], started: datetime, recipe_digest: str = ""
) -> Provenance:
    """Return the provenance of an audit that ends now."""
    return Provenance(
        seed=seed,
        versions=versions(),
        data_digest=data_digest,
        model_digest=model_digest,
        plan=dict(plan),
        started=started.isoformat(timespec="seconds"),
        seconds=round((datetime.now(UTC) - started).total_seconds(), 1),
        recipe_digest=recipe_digest,
    )
