"""Whether an endpoint's probabilities became coarser while it was asked: a guard's step, or another policy."""

from collections.abc import Sequence
from typing import Any

from unseen.targets.predictions import MOST_DECIMALS

SPAN = 100  # records at either end that are held against each other


def coarser_after(predictions: Sequence[Any]) -> int | None:
    """Return after how many records all probabilities have fewer decimals than before, None where they do not.

    Told where the last `SPAN` records have all fewer than more than half of the first `SPAN`; a step that was taken
    back in between is not seen. Heuristic: a model that is certain of all its last records looks the same.

    >>> coarser_after([[0.25, 0.75]] * 300), coarser_after([[0.25, 0.75]] * 130 + [[0.0, 1.0]] * 170)
    (None, 130)
    """
    if len(predictions) < 2 * SPAN:
        return None
    most = max(map(decimals, predictions[-SPAN:]))
    if 2 * sum(decimals(one) > most for one in predictions[:SPAN]) <= SPAN:
        return None
    return max(place for place, one in enumerate(predictions, 1) if decimals(one) > most)


def decimals(prediction: Any) -> int:
    """Return how many decimals the probabilities of one record have; of full precision, one more than are counted.

    >>> decimals([0.0, 1.0]), decimals({"no": 0.25, "yes": 0.75}), decimals(1 / 3)
    (0, 2, 7)
    """
    given = prediction.values() if isinstance(prediction, dict) else prediction
    values = list(given) if not isinstance(given, int | float) else [given]
    rounds = (places for places in range(MOST_DECIMALS + 1) if all(abs(v - round(v, places)) < 1e-9 for v in values))
    return next(rounds, MOST_DECIMALS + 1)
