"""A training function of any framework, as a recipe."""

import sys
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from unseen.errors import ModelError, PlanError
from unseen.features.rows import count_rows, take_rows
from unseen.signal import Array
from unseen.target import Target
from unseen.targets.estimator import EstimatorTarget
from unseen.targets.function import FunctionTarget
from unseen.targets.modules import importable
from unseen.targets.regressor import RegressorTarget, ValueFunctionTarget, is_regressor
from unseen.targets.sources import code_digest

Train = Callable[[Any, Array, int], Any]
ASKED = 4  # records that a new model is asked about, to see whether it answers in the right shape


class FunctionRecipe:
    """A callable `train(features, labels, seed) -> model`; all that is random in it must follow from `seed`.

    The model is an estimator with `predict`, an `nn.Module` giving logits, a function giving probabilities, in the
    order of `classes`, or a `Target`. In a regression (`classes` None) modules and functions give values. `home` is a
    folder whose modules the function may import while it trains, wherever that is; `name` is what it is called.

    >>> from sklearn.naive_bayes import GaussianNB
    >>> recipe = FunctionRecipe(lambda features, labels, seed: GaussianNB().fit(features, labels))
    >>> recipe.refit(np.array([[0.0], [1.0]]), np.array(["no", "yes"]), seed=0).classes.tolist()
    ['no', 'yes']
    """

    def __init__(
        self, train: Train, classes: Array | Sequence[Any] | None = None, name: str = "", home: Path | None = None
    ) -> None:
        if not callable(train):
            raise PlanError(f"a recipe is a function train(features, labels, seed), got {type(train).__name__}.")
        self.train = train
        self.classes = None if classes is None or len(classes) == 0 else np.asarray(classes)
        self.name = name or str(getattr(train, "__qualname__", type(train).__name__))
        self.home = home

    def __repr__(self) -> str:
        return f"FunctionRecipe({self.name})"

    def refit(self, features: Any, labels: Array, seed: int) -> Target:
        """Train a model; raises `ModelError` where what comes back is no trained model that fits."""
        with importable(self.home):
            target = self._as_target(self.train(features, labels, seed))
        known = None if self.classes is None else set(self.classes.tolist())
        if known is not None and (strange := set(target.classes.tolist()) - known):
            raise ModelError(f"{self.name} returned a model with {len(strange)} classes that are not the target's.")
        if known and not target.classes.size:
            raise ModelError(f"{self.name} returned a regressor, and the target is a classifier.")
        target.answer(take_rows(features, np.arange(min(ASKED, count_rows(features)))))
        return target

    def fingerprint(self) -> str:
        """Return a digest of the function's code, what it holds, its files, and the versions of what these import."""
        classes = [] if self.classes is None else [str(self.classes.dtype), *map(str, self.classes.tolist())]
        with importable(self.home):
            parts = [code_digest(self.train), *classes]
        return blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()

    def _as_target(self, model: Any) -> Target:
        if model is None or isinstance(model, type):
            what = "nothing" if model is None else f"the class {model.__name__}"
            raise ModelError(f"{self.name} returned {what}; it must return the trained model.")
        if hasattr(model, "answer") and hasattr(model, "access"):
            target: Target = model
            return target
        torch = sys.modules.get("torch")  # a module cannot have come from a PyTorch that nobody loaded
        if torch is not None and isinstance(model, torch.nn.Module):
            from unseen.targets.torch import TorchTarget

            return TorchTarget(model, self.classes)
        if hasattr(model, "predict"):
            return RegressorTarget(model) if is_regressor(model) else EstimatorTarget(model)
        if callable(model):
            return ValueFunctionTarget(model) if self.classes is None else FunctionTarget(model, self.classes)
        raise ModelError(
            f"{self.name} returned {type(model).__name__}; it must return an estimator with predict, an nn.Module, a "
            "function giving probabilities, or a target."
        )
