"""Leverage: a least-squares fit bends towards the records it was given, and the more so the further out they lie."""

import numpy as np

from unseen.attack import Attack
from unseen.signal import Floats
from unseen.signals import LEVERAGE, LOSS

MOST = 1 - 1e-9  # a record that alone spans a direction has leverage 1, and would be infinitely far out


def leverage(loss: Floats, leverage: Floats, share: float = 0.5) -> Floats:
    """Score each record by the log likelihood ratio of its residual, given how far out it lies.

    `loss` is residual^2 / 2 in units of the noise, `leverage (records,)` is that among all audited records. With g =
    x'(X'X)^-1 x over the training records other than this one, a member's residual is N(0, 1 / (1 + g)) (its leverage
    is h = g / (1 + g), and its variance 1 - h) and another's N(0, 1 + g): the score is log(1 + g) -
    loss ((1 + g) - 1 / (1 + g)). Exact for least squares with normal noise, but that g is estimated, see `held_out`:
    as if `share` of the audited records had been trained on. A classifier's 2 loss is the squared deviance residual: by
    that analogy a small loss says more of a record that lies far out, and helps a little where it was measured.

    >>> leverage(np.tile([0.0, 0.5, 2.0], 4), np.full(12, 0.1))[:3].round(3)
    array([ 0.229, -0.002, -0.695])
    """
    out = held_out(leverage, share)
    return np.log1p(out) - loss.astype(np.float64) * ((1 + out) - 1 / (1 + out))


def held_out(leverage: Floats, share: float) -> Floats:
    """Return x'(X'X)^-1 x over `share` of the other records, `(records,)`, from leverages among all of them.

    h / (1 - h) is that over all others. Fewer records know directions less well: for normal features (X'X)^-1 of n
    records is (n - columns - 1)^-1 in expectation (inverse Wishart), and the leverages' sum counts the columns.
    """
    among = np.minimum(leverage.astype(np.float64), MOST)
    columns = float(among.sum())
    fewer = max(among.size - columns - 2, 1.0) / max(share * among.size - columns - 1, 1.0)
    return among / (1 - among) * max(fewer, 1.0)


LEVERAGE_ATTACK = Attack(
    score=leverage,
    needs=(LOSS, LEVERAGE),
    row="S3",
    cites="Dorseuil et al. 2026, arXiv:2602.15919 (abstract: leverage decides in Gaussian linear models); the law of a "
    "least-squares residual is derived in docs/statistics.md",
)
