"""A fitted classifier with scikit-learn's interface: scikit-learn, pipelines, XGBoost, LightGBM, CatBoost."""

import inspect
import marshal
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import joblib
import numpy as np
from sklearn.base import clone

from unseen.access import Access
from unseen.errors import DataError, ModelError, TargetFailed
from unseen.features.rows import column_names, count_rows, explain_columns
from unseen.signal import Array, Floats
from unseen.target import Answers
from unseen.targets.answers import checked_log_probs, checked_scores, log_probs_from_logits

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
        wanted = getattr(self.model, "feature_names_in_", None)
        got = column_names(features)
        if wanted is not None and got is not None and _named_as(self.model, list(wanted)) != _named_as(self.model, got):
            raise DataError(explain_columns([str(name) for name in wanted], got, "the model", "the table"))
        width = getattr(self.model, "n_features_in_", None)
        if width and features.shape[1] != width:  # CatBoost forgets its width when it is unpickled, and says 0
            raise DataError(f"the model was fitted on {width} columns, the table has {features.shape[1]}.")

    def answer(self, features: Any) -> Answers:
        """Answer each record; raises `TargetFailed` where the model raises, without the model's own message."""
        records, classes = count_rows(features), self._classes.size
        if Access.PROBABILITIES in self.access:
            probs = checked_log_probs(_ask(self.model, "predict_proba", features), records, classes)
            log_probs = self._own_logits(features, probs)
            return Answers(log_probs.argmax(axis=1), log_probs=log_probs)
        if Access.SCORES in self.access:
            predicted = self._index(_ask(self.model, "predict", features))
            decision = self._class_scores(features, predicted)
            return Answers(predicted, decision=decision)
        return Answers(self._index(_ask(self.model, "predict", features)))

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
                _ask(self.model, "decision_function", features), count_rows(features), self._classes.size
            )
        except ModelError:
            return None
        return decision if (decision.argmax(axis=1) == predicted).mean() > 1 - MOST_DISAGREEING else None

    def _raw_scores(self, features: Any) -> Array | None:
        keyword = RAW_SCORES.get(type(_last(self.model)).__module__.split(".")[0])
        if keyword:
            return np.asarray(_ask(self.model, "predict", features, **keyword))
        if hasattr(self.model, "decision_function"):
            return np.asarray(_ask(self.model, "decision_function", features))
        return None

    def _index(self, labels: Array) -> Array:
        place = {label: index for index, label in enumerate(self._classes.tolist())}
        try:
            return np.array([place[label] for label in np.asarray(labels).reshape(-1).tolist()])
        except KeyError:
            raise ModelError("the model predicted a label that is not among its classes.") from None

    def refit(self, features: Any, labels: Array, seed: int) -> "EstimatorTarget":
        """Fit an unfitted clone, one thread, everything random in it set from `seed`."""
        model = _unfitted(self.model)
        params = model.get_params()
        model.set_params(**{name: seed for name in params if name.split("__")[-1] in {"random_state", "random_seed"}})
        threads = {name: 1 for name, value in params.items() if name.split("__")[-1] == "n_jobs" and value is not None}
        model.set_params(**threads)
        for name, part in {"": model, **params}.items():
            if type(part).__module__.startswith("catboost"):
                quiet = {"verbose": False, "allow_writing_files": False, "thread_count": 1, "random_seed": seed}
                model.set_params(**{f"{name}__{key}" if name else key: value for key, value in quiet.items()})
        model.fit(features, labels)
        return EstimatorTarget(model)

    def fingerprint(self) -> str:
        """Return a digest of the unfitted estimator: settings, library versions, and code that is no library's."""
        unfitted = _unfitted(self.model)
        parts = [_settings(unfitted), version("numpy")]
        for name, value in sorted({"": unfitted, **unfitted.get_params()}.items()):
            parts += [name, type(value).__module__, type(value).__qualname__, _code(value)]
        return blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def _last(model: Any) -> Any:
    """Return the estimator at the end of a pipeline, which passes keywords of `predict` on to it."""
    while hasattr(model, "steps"):
        model = model.steps[-1][1]
    return model


def _code(value: Any) -> str:
    """Return what a setting would run: a function's code and closure, else its class's version or source."""
    code = getattr(value, "__code__", None)
    if code is not None:
        held = [repr(cell.cell_contents) for cell in getattr(value, "__closure__", None) or ()]
        own = blake2b(marshal.dumps(code), digest_size=16).hexdigest()
        return f"{own} {getattr(value, '__defaults__', '')!r} {held}"
    kind = value if isinstance(value, type) else type(value)
    package = kind.__module__.split(".")[0]
    if package == "builtins":
        return ""
    try:
        return version("scikit-learn" if package == "sklearn" else package)
    except PackageNotFoundError:
        return _source(kind)


def _named_as(model: Any, names: list[Any]) -> list[str]:
    """Return column names as the model's library keeps them: LightGBM has no spaces in them."""
    if type(model).__module__.startswith("lightgbm"):
        return [str(name).replace(" ", "_") for name in names]
    return [str(name) for name in names]


def _settings(unfitted: Any) -> str:
    """Return a digest of an unfitted estimator; where it cannot be pickled, of its settings by their text."""
    try:
        return str(joblib.hash(unfitted))
    except Exception:  # noqa: BLE001 - whatever a setting raises when it is pickled
        settings = sorted(unfitted.get_params().items())
        return repr([(name, "" if hasattr(value, "__code__") else repr(value)) for name, value in settings])


def _unfitted(model: Any) -> Any:
    try:
        return clone(model)
    except (TypeError, RuntimeError) as error:
        raise ModelError(
            f"{type(model).__name__} cannot be cloned for retraining ({type(error).__name__}); audit it "
            "with references=0."
        ) from None


def _source(kind: type) -> str:
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        return "source not available"


def _ask(model: Any, method: str, features: Any, **keywords: Any) -> Any:
    try:
        return getattr(model, method)(features, **keywords)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's model raises
        raise TargetFailed(
            f"the model raised {type(error).__name__} in {method} on {count_rows(features)} records; its message is "
            "withheld because it may quote them: call it on the same table to see it."
        ) from None
