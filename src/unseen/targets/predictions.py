"""What an endpoint said of each record, as answers: probabilities, labels or values, detected once and then held to."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from unseen.errors import ModelError
from unseen.signal import Array, Floats
from unseen.target import Answers
from unseen.targets.answers import SUM_TOLERANCE, answers_from_probs
from unseen.targets.values import checked_values

PROBABILITIES, LABELS, VALUES = "probabilities", "labels", "values"
MOST_DECIMALS = 6  # to which an endpoint may have rounded what it gives
NUMBERS = (int, float)


def detected(predictions: Sequence[Any], classes: Array) -> str:
    """Return what predictions of these classes are, from the first of them; a regression's are values.

    >>> detected([[0.2, 0.8]], np.array([0, 1])), detected(["no"], np.array(["no", "yes"]))
    ('probabilities', 'labels')
    """
    if not classes.size:
        return VALUES
    first = predictions[0]
    return PROBABILITIES if isinstance(first, dict) or (isinstance(first, list) and len(first) > 1) else LABELS


def of_both_classes(predictions: Sequence[Any]) -> list[Any]:
    """Return predictions with one number a record, the second class's probability, as those of both classes.

    >>> of_both_classes([0.25, [0.75], [0.5, 0.5]])
    [[0.75, 0.25], [0.25, 0.75], [0.5, 0.5]]
    """
    plain = [one[0] if isinstance(one, list) and len(one) == 1 else one for one in predictions]
    return [[1 - one, one] if _is_number(one) else one for one in plain]


def answers_of(predictions: Sequence[Any], classes: Array, kind: str) -> Answers:
    """Return the answers that predictions are, or raise `ModelError` where one is not what `kind` says."""
    if kind == VALUES:
        values = checked_values(predictions, len(predictions))
        return Answers(np.zeros(len(predictions), dtype=np.intp), value=values)
    if kind == LABELS:
        return Answers(_indexes(predictions, classes))
    return answers_from_probs(_probs(predictions, classes))


def _indexes(predictions: Sequence[Any], classes: Array) -> Array:
    known = classes.tolist()
    place = {str(label): index for index, label in enumerate(known)} | {name: i for i, name in enumerate(known)}
    plain = [one[0] if isinstance(one, list) and len(one) == 1 else one for one in predictions]
    if any(isinstance(one, list | dict) for one in plain):
        raise ModelError("the endpoint gave labels before, or should, and now something else; say target.answers.")
    strange = sum(one not in place for one in plain)
    if strange:
        raise ModelError(
            f"the endpoint gave {strange} of {len(plain)} records a label that is not among target.classes; where one "
            'number is the probability of the second class, say answers = "probabilities".'
        )
    return np.array([place[one] for one in plain])


def _probs(predictions: Sequence[Any], classes: Array) -> Floats:
    """Return probabilities; rounded ones need not sum to 1, and where some are withheld (0), may be less."""
    names, records = [str(label) for label in classes.tolist()], len(predictions)
    rows = [_row(one, names) for one in predictions]
    if any(len(row) != len(names) or not all(_is_number(value) for value in row) for row in rows):
        raise ModelError(
            f"the endpoint must give {len(names)} probabilities a record, for target.classes in their order; one "
            'number is a label unless answers = "probabilities".'
        )
    probs = np.array(rows, dtype=np.float64)
    if not np.isfinite(probs).all():
        raise ModelError("the endpoint gave NaN or infinite probabilities.")
    if (probs < 0).any() or (probs > 1 + SUM_TOLERANCE).any():
        raise ModelError("the endpoint gave probabilities outside [0, 1]; logits are not read.")
    room = SUM_TOLERANCE + len(names) * _half_step(probs)
    total, withheld = probs.sum(axis=1), (probs == 0).any(axis=1)
    off = (total > 1 + room) | (total == 0) | ((total < 1 - room) & ~withheld)
    if off.any():
        raise ModelError(f"the endpoint's probabilities do not sum to 1 for {int(off.sum())} of {records} records.")
    return probs


def _row(one: Any, names: list[str]) -> list[Any]:
    """Return one prediction as a list in the order of the classes, from a list or an object by class."""
    if isinstance(one, dict):
        return [one[name] for name in names] if one.keys() == set(names) else []
    return one if isinstance(one, list) else []


def _is_number(value: Any) -> bool:
    return isinstance(value, NUMBERS) and not isinstance(value, bool)


def _half_step(probs: Floats) -> Floats:
    """Return for each record half a unit of the last decimal that its probabilities are rounded to, 0 for none."""
    half = np.zeros(len(probs))
    for decimals in range(MOST_DECIMALS, 0, -1):
        rounded = (np.abs(probs - np.round(probs, decimals)) < 1e-9).all(axis=1)
        half[rounded] = 0.5 * 10.0**-decimals
    return half
