"""Clip confidence: no probability above a cap."""

import numpy as np

from unseen.control import Control, Floats, Setting
from unseen.controls.filling import filled, normalised


def clip_confidence(probabilities: Floats, at_most: float) -> Floats:
    """Return the probabilities, none above `at_most`; what is taken off fills the least likely classes evenly.

    Rows whose top is below the cap are not touched. Training records are often those of which a model is most
    confident: above the cap they look like all others.

    >>> clip_confidence(np.array([[0.98, 0.02, 0.0], [0.5, 0.3, 0.2]]), at_most=0.9)
    array([[0.9 , 0.05, 0.05],
           [0.5 , 0.3 , 0.2 ]])
    """
    return filled(np.minimum(normalised(probabilities), at_most))


def _unfit(classes: int | None, at_most: float) -> str:
    if classes is None or at_most * classes > 1:
        return ""
    return f"at_most must be above 1/{classes} with {classes} classes, got {at_most:g}: every row would be uniform"


CLIP_CONFIDENCE = Control(
    harden=clip_confidence,
    surface="probabilities",
    hides="how far the top probability is above the cap, and how the least likely classes then differ",
    costs="confidences above the cap; in clipped rows the least likely classes become equal",
    promises="answers that agree once capped, and in the predicted class, cannot be told apart; "
    "no probability is above the cap, nor above the model's top",
    does_not_stop="score attacks on records below the cap, where all is as it was; label-only attacks",
    owasp=("ML04:2023",),
    atlas=("AML.M0002", "AML.T0024.000"),
    keeps=("argmax", "order"),
    settings=(
        Setting(
            "at_most",
            "number",
            "the cap",
            default=0.9,
            least=0.01,
            most=0.999,
            refusal="a cap of 1 hides nothing, and one near it next to nothing",
        ),
    ),
    unfit=_unfit,
)
