"""HAMP replacement: random probabilities in the model's order."""

import numpy as np

from unseen.control import Control, Floats
from unseen.controls.filling import in_the_order_of


def hamp_replacement(probabilities: Floats, chance: Floats) -> Floats:
    """Return a random distribution, the same for the same coarse query, put in the order of the model's answer.

    Only the order of the classes is the model's. The distribution is uniform over all of them (the gaps between
    sorted uniform numbers), from a secret key and the coarse form of the query; in the paper it is the model's answer
    to a random input. So the top may be above the model's, as declared, and says nothing of its confidence.

    >>> hamp_replacement(np.array([[0.1, 0.7, 0.2]]), chance=np.array([[0.3, 0.8, 0.1]]))
    array([[0.2, 0.5, 0.3]])
    """
    records = len(probabilities)
    cuts = np.sort(chance[:, :-1], axis=1)
    gaps = np.diff(np.hstack([np.zeros((records, 1)), cuts, np.ones((records, 1))]), axis=1)
    return in_the_order_of(probabilities, gaps)


HAMP_REPLACEMENT = Control(
    harden=hamp_replacement,
    surface="probabilities",
    hides="every probability; the order of the classes is left",
    costs="confidences: they are random, so no threshold or calibration is possible downstream",
    promises="the answer is a function of the order of the classes, the coarse query and the key alone",
    does_not_stop="label-only attacks, which keep most of what they find on vulnerable records; attacks on the rank of "
    "the true class. The published defence also trains the model for it; this is its answer stage alone",
    owasp=("ML04:2023",),
    atlas=("AML.M0002", "AML.T0024.000"),
    keeps=("argmax", "order"),
    reads="order",
    sharper="the probabilities are random and say nothing of the model's confidence",
    cites="Chen and Pattabiraman, NDSS 2024 (HAMP), the answer stage",
)
