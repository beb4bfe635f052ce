"""A fitted classifier with scikit-learn's interface: scikit-learn, pipelines, XGBoost, LightGBM, CatBoost."""

from dataclasses import replace
from typing import Any

import numpy as np

from unseen.access import Access
from unseen.errors import ModelError
from unseen.features.rows import count_rows
from unseen.signal import Array, Floats
from unseen.target import Answers
from unseen.targets.answers import answers_from_probs, checked_probs, checked_scores, log_of, log_probs_from_logits
from unseen.targets.fitting import ask, check_columns, refitted, settings_digest

RAW_SCORES: dict[str, dict[str, Any]] = {  # libraries whose log odds are had from `predict`, by its keyword
    "xgboost": {"output_margin": True},
    "lightgbm": {"raw_score": True},
    "catboost": {"prediction_type": "RawFormulaVal"},
}
MOST_DISAGREEING = 0.01  # of records, by ties, where the scores are the classes' own
AGREEMENT = 1e-4  # raw scores count as logits only where they give the model's own probabilities this closely


class EstimatorTarget:
    """A fitted classifier; asks for log odds where they are the model's own, else probabilities, scores or labels."""

    def __init__(self, model: Any) -> None:
        if not hasattr(model, "predict"):
            raise ModelError(f"a model must have predict, {type(model).__name__} has not.")
        classes = getattr(model, "classes_", None)
        if classes is None:
            kind = getattr(model, "_estimator_type", None)
            reason = "it is a regressor" if kind == "regressor" else "it has no classes_; is it fitted?"
            raise ModelError(f"{type(model).__name__} cannot be audited as a classifier: {reason}")
        self.model = model
        try:
            self._classes = np.asarray(classes)
        except ValueError:
            raise ModelError("a classifier of several labels at once cannot be audited; audit one label.") from None
        if self._classes.ndim != 1 or self._classes.size < 2:
            raise ModelError(f"a classifier needs two classes or more, got {self._classes.size}.")

    @property
    def classes(self) -> Array:
        """The model's `classes_`."""
        return self._classes

    @property
    def access(self) -> frozenset[Access]:
        """Labels always; scores and probabilities where the model has them."""
        granted = {Access.LABELS}
        if hasattr(self.model, "predict_proba"):
            granted |= {Access.SCORES, Access.PROBABILITIES}
        elif hasattr(self.model, "decision_function"):
            granted |= {Access.SCORES}
        return frozenset(granted)

    def check_columns(self, features: Any) -> None:
        """Raise unless `features` has the columns that the model was fitted on, in their order."""
        check_columns(self.model, features)

    def answer(self, features: Any) -> Answers:
        """Answer each record; raises `TargetFailed` where the model raises, without the model's own message."""
        records, classes = count_rows(features), self._classes.size
        if Access.PROBABILITIES in self.access:
            probs = checked_probs(ask(self.model, "predict_proba", features), records, classes)
            return replace(answers_from_probs(probs), log_probs=self._own_logits(features, log_of(probs)))
        if Access.SCORES in self.access:
            predicted = self._index(ask(self.model, "predict", features))
            decision = self._class_scores(features, predicted)
            return Answers(predicted, decision=decision)
        return Answers(self._index(ask(self.model, "predict", features)))

    def _own_logits(self, features: Any, log_probs: Floats) -> Floats:
        """Return log probabilities from the model's log odds where it has them, which keep what saturation loses."""
        raw = self._raw_scores(features)
        if raw is None:
            return log_probs
        try:
            exact = log_probs_from_logits(raw, *log_probs.shape)
        except ModelError:
            return log_probs
        return exact if np.allclose(np.exp(exact), np.exp(log_probs), atol=AGREEMENT) else log_probs

    def _class_scores(self, features: Any, predicted: Array) -> Floats | None:
        """Return the decision scores, or None where they are not the classes' (one-against-one votes)."""
        try:
            decision = checked_scores(
                ask(self.model, "decision_function", features), count_rows(features), self._classes.size
            )
        except ModelError:
            return None
        return decision if (decision.argmax(axis=1) == predicted).mean() > 1 - MOST_DISAGREEING else None

    def _raw_scores(self, features: Any) -> Array | None:
        keyword = RAW_SCORES.get(type(_last(self.model)).__module__.split(".")[0])
        if keyword:
            return np.asarray(ask(self.model, "predict", features, **keyword))
        if hasattr(self.model, "decision_function"):
            return np.asarray(ask(self.model, "decision_function", features))
        return None

    def _index(self, labels: Array) -> Array:
        place = {label: index for index, label in enumerate(self._classes.tolist())}
        try:
            return np.array([place[label] for label in np.asarray(labels).reshape(-1).tolist()])
        except KeyError:
            raise ModelError("the model predicted a label that is not among its classes.") from None

    def refit(self, features: Any, labels: Array, seed: int) -> "EstimatorTarget":
        """Fit an unfitted clone, one thread, everything random in it set from `seed`."""
        return EstimatorTarget(refitted(self.model, features, labels, seed))

    def fingerprint(self) -> str:
        """Return a digest of the unfitted estimator: settings, library versions, and code that is no library's."""
        return settings_digest(self.model)


def _last(model: Any) -> Any:
    """Return the estimator at the end of a pipeline, which passes keywords of `predict` on to it."""
    while hasattr(model, "steps"):
        model = model.steps[-1][1]
    return model
