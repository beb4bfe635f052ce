"""Worlds of known leakage, specimen attacks, the checks every attack must pass, and `assert_private` for tests.

Public, for third parties too. `assert_private` is imported when first used, so that the pytest plugin beside it costs
nothing where no test audits.
"""

from typing import Any

__all__ = ["assert_private"]


def __getattr__(name: str) -> Any:
    if name != "assert_private":
        raise AttributeError(f"module 'unseen.testing' has no attribute {name!r}")
    from unseen.testing.private import assert_private

    return assert_private
