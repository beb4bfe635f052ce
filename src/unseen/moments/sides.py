"""Counts, means and variances of each record's signal over the references that had it and those that had not."""

from dataclasses import dataclass, field

import numpy as np

from unseen.errors import UndefinedScore
from unseen.signal import Bools, Floats

CHUNK = 2048  # records at a time, so that a chunk of 64 references stays in the processor's cache


@dataclass(frozen=True)
class Side:
    """One side, in or out: `count`, `mean` and `squares` (sum of squared deviations), each `(records,)`.

    A record with an empty side has count 0, and its mean there is not defined (it is given as the other side's).
    """

    count: Floats = field(repr=False)
    mean: Floats = field(repr=False)
    squares: Floats = field(repr=False)

    @property
    def freedom(self) -> Floats:
        """Degrees of freedom of each variance, `count - 1`, never below 0."""
        return np.maximum(self.count - 1, 0)

    @property
    def pooled_variance(self) -> float:
        """The variance within records, one for all; 1 where the references never differ."""
        freedom = float(self.freedom.sum())
        pooled = float(self.squares.sum()) / freedom if freedom else 0.0
        return pooled if pooled > 0 else 1.0


def sides(signal: Floats, member: Bools) -> tuple[Side, Side]:
    """Return the in and out sides of `signal (references, records)`, by `member (references, records)`.

    Each record is centred on its own mean before squares are taken, so nothing cancels; chunks keep the extra memory
    to a few arrays `(records,)`.
    """
    references, records = signal.shape
    if member.shape != signal.shape:
        raise UndefinedScore(f"references and their members must match, got {signal.shape} and {member.shape}.")
    if references < 2:
        raise UndefinedScore(f"at least two references are needed, got {references}.")
    out = np.empty((5, records))
    for start in range(0, records, CHUNK):
        stop = min(start + CHUNK, records)
        _moments(signal[:, start:stop], member[:, start:stop], out[:, start:stop])
    centre, n1, shift, q1, q0 = out
    n0 = references - n1
    with np.errstate(invalid="ignore", divide="ignore"):
        gap1 = np.where(n1 > 0, shift / n1, 0.0)  # deviations from the centre sum to zero over both sides
        gap0 = np.where(n0 > 0, -shift / n0, 0.0)
    inside = Side(n1, centre + gap1, np.maximum(q1 - n1 * gap1**2, 0.0))
    outside = Side(n0, centre + gap0, np.maximum(q0 - n0 * gap0**2, 0.0))
    return inside, outside


def _moments(signal: Floats, member: Bools, out: Floats) -> None:
    deviation = signal.astype(np.float64)
    centre = deviation.mean(axis=0)
    deviation -= centre
    weight = member.astype(np.float64)
    out[0] = centre
    out[1] = weight.sum(axis=0)
    out[2] = np.einsum("kr,kr->r", deviation, weight)
    np.multiply(deviation, deviation, out=deviation)
    out[3] = np.einsum("kr,kr->r", deviation, weight)
    out[4] = deviation.sum(axis=0) - out[3]
