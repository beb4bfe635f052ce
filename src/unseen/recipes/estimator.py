"""A scikit-learn estimator as a recipe: its settings are how it is trained, whether it is fitted yet or not."""

from typing import Any

from unseen.signal import Array
from unseen.target import Target
from unseen.targets.estimator import EstimatorTarget
from unseen.targets.fitting import refitted, settings_digest
from unseen.targets.regressor import RegressorTarget, is_regressor


class EstimatorRecipe:
    """Fits unfitted clones of an estimator, one thread each, everything random in them set from the seed."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def refit(self, features: Any, labels: Array, seed: int) -> Target:
        """Return a clone fitted on these records."""
        model = refitted(self.model, features, labels, seed)
        return RegressorTarget(model) if is_regressor(model) else EstimatorTarget(model)

    def fingerprint(self) -> str:
        """Return a digest of the settings, the library versions, and code that is no library's."""
        return settings_digest(self.model)
