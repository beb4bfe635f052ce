"""Which unit each reference is trained on: independent coins that know nothing of the target's membership."""

import numpy as np

from unseen.signal import Bools

STREAM = 0x1BC7  # keeps the coins' generators apart from every other use of the seed


def draw_inclusion(seed: int, references: int, units: int, rate: float) -> Bools:
    """Return `(references, units)` independent coins with probability `rate`; row k does not depend on `references`.

    Independent, not balanced: in a balanced design the number of references that had a record gives its membership
    away when the target is one of the design.

    >>> draw_inclusion(0, 2, 5, 1.0).all()
    np.True_
    """
    if not 0 < rate <= 1:
        raise ValueError(f"rate must be in (0, 1], got {rate}.")
    rows = [np.random.default_rng([seed, STREAM, k]).random(units) < rate for k in range(references)]
    return np.stack(rows) if rows else np.zeros((0, units), dtype=bool)


def draw_seeds(seed: int, references: int) -> list[int]:
    """Return one seed below 2^31 for each reference; number k does not depend on `references`."""
    return [int(np.random.SeedSequence([seed, STREAM + 1, k]).generate_state(1)[0] >> 1) for k in range(references)]
