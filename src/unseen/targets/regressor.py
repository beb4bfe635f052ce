"""A fitted regressor: scikit-learn's interface, or a plain function from features to values."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import is_regressor as says_regressor
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from unseen.access import Access
from unseen.errors import ModelError, TargetFailed
from unseen.features.rows import count_rows
from unseen.signal import Array
from unseen.target import Answers
from unseen.targets.fitting import ask, check_columns, refitted, settings_digest
from unseen.targets.values import checked_values


def is_regressor(model: Any) -> bool:
    """Say whether `model` calls itself a regressor; pipelines and searches say what is inside.

    >>> from sklearn.linear_model import LinearRegression
    >>> is_regressor(LinearRegression())
    True
    """
    if isinstance(model, type):
        return False
    if getattr(model, "_estimator_type", None) == "regressor":  # CatBoost says so in this way alone
        return True
    try:
        return bool(says_regressor(model))
    except Exception:  # noqa: BLE001 - what is not made for scikit-learn may raise anything when it is asked
        return False


class RegressorTarget:
    """A fitted regressor with `predict`; its answers are values in the unit of its labels."""

    def __init__(self, model: Any) -> None:
        if not hasattr(model, "predict"):
            raise ModelError(f"a model must have predict, {type(model).__name__} has not.")
        if not _is_fitted(model):
            raise ModelError(f"{type(model).__name__} is not fitted.")
        self.model = model

    @property
    def classes(self) -> Array:
        """None: an empty array."""
        return np.empty(0)

    @property
    def access(self) -> frozenset[Access]:
        """Labels and scores: its value is both."""
        return frozenset({Access.LABELS, Access.SCORES})

    def check_columns(self, features: Any) -> None:
        """Raise unless `features` has the columns that the model was fitted on, in their order."""
        check_columns(self.model, features)

    def answer(self, features: Any) -> Answers:
        """Answer each record; raises `TargetFailed` where the model raises, without the model's own message."""
        return _values(ask(self.model, "predict", features), count_rows(features))

    def refit(self, features: Any, labels: Array, seed: int) -> "RegressorTarget":
        """Fit an unfitted clone, one thread, everything random in it set from `seed`."""
        return RegressorTarget(refitted(self.model, features, labels, seed))

    def fingerprint(self) -> str:
        """Return a digest of the unfitted estimator: settings, library versions, and code that is no library's."""
        return settings_digest(self.model)


class ValueFunctionTarget:
    """A callable `predict(features) -> (records,)` of a regression; it can be asked, not retrained."""

    def __init__(self, predict: Callable[[Any], Array]) -> None:
        self._ask = predict

    @property
    def classes(self) -> Array:
        """None: an empty array."""
        return np.empty(0)

    @property
    def access(self) -> frozenset[Access]:
        """Labels and scores: its value is both."""
        return frozenset({Access.LABELS, Access.SCORES})

    def answer(self, features: Any) -> Answers:
        """Ask the function once for all records."""
        try:
            answer = self._ask(features)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's function raises
            raise TargetFailed(
                f"the function raised {type(error).__name__} on {count_rows(features)} records; its message is "
                "withheld because it may quote them."
            ) from None
        return _values(answer, count_rows(features))


def _values(answer: Any, records: int) -> Answers:
    return Answers(np.zeros(records, dtype=np.intp), value=checked_values(answer, records))


def _is_fitted(model: Any) -> bool:
    try:
        check_is_fitted(model)
    except NotFittedError:
        return type(model).__module__.startswith("catboost") and bool(model.is_fitted())
    except TypeError:  # not made for scikit-learn: it shows when it is asked
        return True
    return True
