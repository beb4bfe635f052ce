"""BASE: how much more probable does the target find the record than the references do on average?"""

from unseen.attack import Attack
from unseen.moments.likelihood import mean_loss
from unseen.signal import Floats
from unseen.signals import LOSS, REF_LOSS


def base(loss: Floats, ref_loss: Floats) -> Floats:
    """Score each record by log p(record | target) - log of the mean of p(record | reference), over all references.

    `loss (records,)`, `ref_loss (references, records)`, in nats. Ranks as RMIA does for one target (shown
    equivalent under one setting), without a population and without ties.

    >>> import numpy as np
    >>> base(np.array([0.0]), np.log([[2.0], [2.0]])).round(3)
    array([0.693])
    """
    return mean_loss(ref_loss) - loss


BASE = Attack(
    score=base,
    needs=(LOSS, REF_LOSS),
    row="S2",
    cites="Lassila et al. 2025, BASE, arXiv:2505.24089 (BASE)",
)
