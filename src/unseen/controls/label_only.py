"""Label only: the predicted class and nothing else."""

import numpy as np

from unseen.control import Control, Floats


def label_only(probabilities: Floats) -> Floats:
    """Return 1 for the most likely class, ties by index, and 0 for the others.

    The 1 is a mark, not a confidence: every answer has it. So the top is above the model's, as declared; no fixed
    answer could be below every model's top but the uniform one, which names no class.

    >>> label_only(np.array([[0.2, 0.5, 0.3]]))
    array([[0., 1., 0.]])
    """
    marked = np.zeros_like(probabilities)
    if marked.size:
        marked[np.arange(len(marked)), probabilities.argmax(axis=1)] = 1.0
    return marked


LABEL_ONLY = Control(
    harden=label_only,
    surface="probabilities",
    hides="every probability",
    costs="confidences: no threshold, ranking or calibration is possible downstream",
    promises="the answer is a function of the predicted class alone, so every attack on it is a label-only attack",
    does_not_stop="label-only attacks: whether the class is right (the gap attack), the distance to the boundary, "
    "noise robustness, and attacks that need one query",
    owasp=("ML04:2023",),
    atlas=("AML.M0002", "AML.T0024.000"),
    keeps=("argmax", "order"),
    reads="argmax",
    sharper="the mark is 1 whatever the model's confidence, and says nothing of it",
)
