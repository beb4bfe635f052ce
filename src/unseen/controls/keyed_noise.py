"""Keyed noise: always the same for the same coarse query, so that asking again does not average it away."""

from unseen.control import HEURISTIC, Control, Floats, Setting
from unseen.controls.filling import filled, in_the_order_of, normalised


def keyed_noise(probabilities: Floats, chance: Floats, scale: float) -> Floats:
    """Return the probabilities, each lowered by a random share of up to `scale`, filled from the least likely class up.

    The shares come from a secret key, `scale` and the coarse form of the query: the same or nearly the same query gets
    the same noise, in every worker, for ever. Noise drawn anew for each call is refused: whoever asks often enough
    averages it away. Another `scale` is another draw: whoever has answers at n scales has n draws to average, and the
    error falls by the root of n. Lowered probabilities are put back into the model's order, so no class overtakes
    another. On average the top is lowered by about half of `scale`.

    >>> import numpy as np
    >>> keyed_noise(np.array([[0.8, 0.15, 0.05]]), chance=np.array([[0.5, 0.0, 0.9]]), scale=0.1)
    array([[0.76, 0.15, 0.09]])
    """
    lowered = normalised(probabilities) * (1 - scale * chance)
    return filled(in_the_order_of(probabilities, lowered))


KEYED_NOISE = Control(
    harden=keyed_noise,
    surface="probabilities",
    hides="the exact probabilities: each may have been up to a share of `scale` higher",
    costs="calibration: the top is lowered by about half of `scale` on average; the least likely classes become equal",
    promises=HEURISTIC,
    does_not_stop="label-only attacks; averaging over queries that differ by more than the coarse grid, or that carry "
    "fields which the model ignores; averaging over scales, of several tiers or before and after a change: every "
    "change gives one more draw to those who asked before; comparing two answers with the same noise; attacks that "
    "need no more than the noise leaves",
    owasp=("ML04:2023",),
    atlas=("AML.M0002", "AML.T0024.000"),
    keeps=("argmax", "order"),
    settings=(
        Setting(
            "scale",
            "number",
            "the largest share by which a probability is lowered",
            default=0.1,
            least=0.001,
            most=1.0,
            refusal="no noise hides nothing, and nothing is left above a share of 1",
        ),
    ),
)
