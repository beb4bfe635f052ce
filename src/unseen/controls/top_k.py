"""Top k: the k largest probabilities, the rest made equal."""

import numpy as np

from unseen.control import Control, Floats, Setting
from unseen.controls.filling import filled, normalised, ranked


def top_k(probabilities: Floats, k: int) -> Floats:
    """Return the k largest probabilities, ties by index, and the rest of each row spread evenly over its other classes.

    The answer keeps its shape: the classes that are not shown are all equally likely in it.

    >>> top_k(np.array([[0.7, 0.05, 0.05, 0.2]]), k=1)
    array([[0.7, 0.1, 0.1, 0.1]])
    """
    kept = np.zeros_like(probabilities)
    places = ranked(probabilities)[:, :k]
    np.put_along_axis(kept, places, np.take_along_axis(normalised(probabilities), places, axis=1), axis=1)
    return filled(kept)


def _unfit(classes: int | None, k: int) -> str:
    if classes is None or k < classes - 1:
        return ""
    return (
        f"k must leave at least two classes unshown, got k = {k} of {classes} classes: with one unshown or none, "
        "the whole row is known from its sum"
    )


TOP_K = Control(
    harden=top_k,
    surface="probabilities",
    hides="the probabilities, and the order, of all but the k most likely classes",
    costs="the tail of the distribution: unlikely classes cannot be compared",
    promises="the answer is a function of the k largest probabilities and their classes alone, "
    "and its top probability is the model's",
    does_not_stop="attacks on the top probability; label-only attacks; where the true class is not shown, "
    "that itself is a signal: it reduces what attacks find",
    owasp=("ML04:2023",),
    atlas=("AML.M0002", "AML.T0024.000"),
    keeps=("argmax", "order"),
    settings=(
        Setting(
            "k", "integer", "how many probabilities are shown", least=1, refusal="for no probability use label-only"
        ),
    ),
    unfit=_unfit,
)
