"""The axes a display draws on: those handed in, or new ones."""

from typing import Any

MEMBER, NON_MEMBER, OTHER = "#b3341f", "#1f5fb3", "#555555"  # told apart by lightness too


def axes(ax: Any, width: float = 5.0, height: float = 4.2) -> Any:
    """Return `ax`, or the axes of a new figure of `width` by `height` inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt  # only who draws pays for it

    return plt.subplots(figsize=(width, height), layout="constrained")[1]
