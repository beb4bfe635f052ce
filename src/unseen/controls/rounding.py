"""Rounding: probabilities rounded down to a few decimals, what is left over given to the least likely classes."""

from math import floor

import numpy as np

from unseen.control import Control, Floats, Setting
from unseen.controls.filling import filled, filled_row, normalised, normalised_row


def rounding(probabilities: Floats, decimals: int) -> Floats:
    """Return the probabilities rounded down to `decimals`; what is left over fills the least likely classes evenly.

    Rounded down, never to the nearest: to the nearest turns 0.996 into 1.00, which says more than the model did. What
    the row then lacks lifts its lowest classes to one common level, which need not be on the grid: thirds cannot sum
    to 1 on any grid of decimals without one of them growing. Where rounding makes the top class tie with another, it
    stays ahead by one unit in the last place. With many classes and few decimals most fall below a step, and little
    more than the label is left. In float32 a decimal may lie just below itself (0.29 does) and go down one step.

    >>> rounding(np.array([[0.996, 0.003, 0.001]]), decimals=2)
    array([[0.99 , 0.005, 0.005]])
    """
    rows, steps = normalised(probabilities), 10.0**decimals
    count = np.floor(rows * steps)
    count += (count + 1) / steps <= rows  # 0.29 x 100 is 28.999999999999996 in binary, and means 29
    count -= count / steps > rows
    return filled(count / steps)


def rounded_row(row: list[float], decimals: int) -> list[float]:
    """Return what `rounding` makes of one row.

    >>> [round(one, 6) for one in rounded_row([0.996, 0.003, 0.001], decimals=2)]
    [0.99, 0.005, 0.005]
    """
    steps, lowered = 10.0**decimals, []
    for value in normalised_row(row):
        count = floor(value * steps)
        count += (count + 1) / steps <= value
        count -= count / steps > value
        lowered.append(count / steps)
    return filled_row(lowered)


ROUNDING = Control(
    harden=rounding,
    row=rounded_row,
    surface="probabilities",
    hides="what is below a step of 10^-decimals",
    costs="precision of the probabilities: at most a step off the top class; the least likely classes become equal",
    promises="the answer is a function of the rounded-down probabilities and the predicted class alone (of all "
    "classes that tie, if some do), so answers that agree in those cannot be told apart; its top probability is "
    "at most the model's",
    does_not_stop="label-only attacks, one-query ones included; score attacks on differences of a step or more: "
    "it reduces what they find, and does not remove it",
    owasp=("ML04:2023",),
    atlas=("AML.M0002", "AML.T0024.000"),
    keeps=("argmax", "order"),
    settings=(
        Setting(
            "decimals",
            "integer",
            "how many decimals are left",
            default=2,
            least=1,
            most=4,
            refusal="none is label-only under another name, and more than 4 hide next to nothing",
        ),
    ),
)
