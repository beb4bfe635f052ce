"""Median margin: how far does the target's margin lie above the middle of all references'? Used by own_attack.py."""

import numpy as np

from unseen.attack import Attack
from unseen.signal import Floats
from unseen.signals import MARGIN, REF_MARGIN


def median_margin(margin: Floats, ref_margin: Floats) -> Floats:
    """Score each record by its margin minus the median of the references', in or out.

    `margin (records,)`, `ref_margin (references, records)`. Needs no knowledge of which reference had the record.

    >>> median_margin(np.array([3.0]), np.array([[0.0], [1.0], [9.0]]))
    array([2.])
    """
    return margin - np.median(ref_margin, axis=0)


MEDIAN_MARGIN = Attack(score=median_margin, needs=(MARGIN, REF_MARGIN), row="S2", cites="heuristic")
