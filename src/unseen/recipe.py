"""Recipe: how a model like the target is trained; the one thing that references need to be told."""

from typing import Any, Protocol

from unseen.signal import Array
from unseen.target import Target


class Recipe(Protocol):
    """A training procedure: the same records and seed give the same model, as far as the procedure allows."""

    def refit(self, features: Any, labels: Array, seed: int) -> Target:
        """Train a model on these records; everything random in it follows from `seed`."""

    def fingerprint(self) -> str:
        """A digest of the procedure: code, settings and the versions of its libraries."""
