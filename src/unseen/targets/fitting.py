"""What all models with scikit-learn's interface share: being asked, fitted anew, and told apart by their settings."""

from hashlib import blake2b
from importlib.metadata import version
from typing import Any

import joblib
from sklearn.base import clone

from unseen.errors import DataError, ModelError, TargetFailed
from unseen.features.rows import column_names, count_rows, explain_columns
from unseen.signal import Array
from unseen.targets.sources import code_digest


def ask(model: Any, method: str, features: Any, **keywords: Any) -> Any:
    """Return what `model` answers; raises `TargetFailed` where it raises, without its own message."""
    try:
        return getattr(model, method)(features, **keywords)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's model raises
        raise TargetFailed(
            f"the model raised {type(error).__name__} in {method} on {count_rows(features)} records; its message is "
            "withheld because it may quote them: call it on the same table to see it."
        ) from None


def check_columns(model: Any, features: Any) -> None:
    """Raise `DataError` unless `features` has the columns that `model` was fitted on, in their order."""
    wanted = getattr(model, "feature_names_in_", None)
    got = column_names(features)
    if wanted is not None and got is not None and _named_as(model, list(wanted)) != _named_as(model, got):
        raise DataError(explain_columns([str(name) for name in wanted], got, "the model", "the table"))
    width = getattr(model, "n_features_in_", None)
    if width and features.shape[1] != width:  # CatBoost forgets its width when it is unpickled, and says 0
        raise DataError(f"the model was fitted on {width} columns, the table has {features.shape[1]}.")


def refitted(model: Any, features: Any, labels: Array, seed: int) -> Any:
    """Return an unfitted clone of `model`, fitted: one thread, everything random in it set from `seed`."""
    fresh = unfitted(model)
    params = fresh.get_params()
    fresh.set_params(**{name: seed for name in params if name.split("__")[-1] in {"random_state", "random_seed"}})
    threads = {name: 1 for name, value in params.items() if name.split("__")[-1] == "n_jobs" and value is not None}
    fresh.set_params(**threads)
    for name, part in {"": fresh, **params}.items():
        if type(part).__module__.startswith("catboost"):
            quiet = {"verbose": False, "allow_writing_files": False, "thread_count": 1, "random_seed": seed}
            fresh.set_params(**{f"{name}__{key}" if name else key: value for key, value in quiet.items()})
    fresh.fit(features, labels)
    return fresh


def settings_digest(model: Any) -> str:
    """Return a digest of the unfitted `model`: settings, library versions, and code that is no library's."""
    fresh = unfitted(model)
    parts = [_settings(fresh), version("numpy")]
    for name, value in sorted({"": fresh, **fresh.get_params()}.items()):
        parts += [name, type(value).__module__, type(value).__qualname__, _run_by(value)]
    return blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def unfitted(model: Any) -> Any:
    """Return a clone of `model` without what it learned."""
    try:
        return clone(model)
    except (TypeError, RuntimeError) as error:
        raise ModelError(
            f"{type(model).__name__} cannot be cloned for retraining ({type(error).__name__}); audit it "
            "with references=0."
        ) from None


def _named_as(model: Any, names: list[Any]) -> list[str]:
    """Return column names as the model's library keeps them: LightGBM has no spaces in them."""
    if type(model).__module__.startswith("lightgbm"):
        return [str(name).replace(" ", "_") for name in names]
    return [str(name) for name in names]


def _settings(fresh: Any) -> str:
    """Return a digest of an unfitted estimator; where it cannot be pickled, of its settings by their text."""
    try:
        return str(joblib.hash(fresh))
    except Exception:  # noqa: BLE001 - whatever a setting raises when it is pickled
        settings = sorted(fresh.get_params().items())
        return repr([(name, "" if hasattr(value, "__code__") else repr(value)) for name, value in settings])


def _run_by(value: Any) -> str:
    """Return what a setting would run: a function's code and what it holds, else its class's version or source."""
    if hasattr(value, "__code__") or hasattr(value, "func"):
        return code_digest(value)
    kind = value if isinstance(value, type) else type(value)
    return "" if kind.__module__ == "builtins" else code_digest(kind)
