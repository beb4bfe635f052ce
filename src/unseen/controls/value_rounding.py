"""Value rounding: a regressor's answers, rounded to a step."""

import numpy as np

from unseen.control import Control, Floats, Setting
from unseen.errors import ModelError


def value_rounding(values: Floats, step: float) -> Floats:
    """Return the values rounded to the nearest multiple of `step`, halves to the even multiple.

    The step is in the unit of the values. A value near the middle between two multiples may fall on either side where
    libraries differ in the last place of the model's answer.

    >>> value_rounding(np.array([12.34, -0.2]), step=0.5)
    array([12.5,  0. ])
    """
    inverse = 1 / step
    with np.errstate(over="ignore"):
        steps = np.rint(values / step)
        rounded = steps / np.rint(inverse) if inverse > 1 and inverse == np.rint(inverse) else steps * step
    if not np.isfinite(rounded).all():
        raise ModelError(f"value-rounding cannot count values as large as these in steps of {step:g}: widen the step.")
    return rounded + 0.0  # never -0.0


VALUE_ROUNDING = Control(
    harden=value_rounding,
    surface="values",
    hides="what is below a step",
    costs="precision: at most half a step",
    promises="answers that round to the same multiple of the step cannot be told apart",
    does_not_stop="attacks on residuals of a step or more; searching for the edge of a step by changed queries",
    owasp=("ML04:2023",),
    atlas=("AML.M0002", "AML.T0024.000"),
    settings=(
        Setting(
            "step",
            "number",
            "the step in the unit of the values; a fraction of the usual residual hides little",
            least=1e-12,
            refusal="a step that small hides nothing",
        ),
    ),
)
