"""Whatever a user hands in as a model, a recipe or an engine, as the target, recipe or engine that it is."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from unseen.errors import MissingExtra, PlanError, did_you_mean
from unseen.recipe import Recipe
from unseen.recipes.estimator import EstimatorRecipe
from unseen.recipes.function import FunctionRecipe
from unseen.reference import Engine
from unseen.references.automatic import Automatic
from unseen.references.processes import Processes
from unseen.signal import Array
from unseen.target import Target
from unseen.targets.estimator import EstimatorTarget
from unseen.targets.function import FunctionTarget
from unseen.targets.regressor import RegressorTarget, is_regressor

ENGINES = ("auto", "processes", "stacked", "free", "cluster")


def as_target(model: Any, classes: Sequence[Any] | None = None) -> Target:
    """Return `model` as a target: itself, an estimator, a PyTorch module, or a function with its classes."""
    if hasattr(model, "answer") and hasattr(model, "access"):
        target: Target = model
        return target
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        from unseen.targets.torch import TorchTarget  # PyTorch is there: the module came out of it

        return TorchTarget(model, None if classes is None else np.asarray(classes))
    if callable(model) and not hasattr(model, "predict"):
        if classes is None:
            raise PlanError("a function needs `classes`: the labels of its probabilities' columns, in order.")
        return FunctionTarget(model, np.asarray(classes))
    return RegressorTarget(model) if is_regressor(model) else EstimatorTarget(model)


def as_recipe(recipe: Any, classes: Sequence[Any] | Array | None = None, home: Path | None = None) -> Recipe:
    """Return `recipe` as one: itself, an unfitted or fitted estimator, or a function of features, labels and seed.

    `home` is a folder that a function imports from while it trains.
    """
    if hasattr(recipe, "refit") and hasattr(recipe, "fingerprint"):
        known: Recipe = recipe
        return known
    if hasattr(recipe, "fit") and hasattr(recipe, "get_params"):
        return EstimatorRecipe(recipe)
    if not callable(recipe):
        raise PlanError(
            f"a recipe is a function train(features, labels, seed) -> model, or a TorchRecipe, "
            f"got {type(recipe).__name__}."
        )
    return FunctionRecipe(recipe, None if classes is None else np.asarray(classes), home=home)


def recipe_of(given: Recipe | None, target: Target) -> Recipe | None:
    """Return how to train models like `target`: as `given`, else as the target itself can be; None if it cannot."""
    if given is not None:
        return given
    own: Any = target
    return own if hasattr(own, "refit") and hasattr(own, "fingerprint") else None


def kind_of(target: Target) -> str:
    """Return what a report calls the target: what it calls itself, the class of its model, or "function"."""
    if hasattr(target, "kind"):
        return str(target.kind)
    return type(target.model).__name__ if hasattr(target, "model") else "function"


def as_engine(engine: str | Engine, workers: int | None = None, address: str | None = None) -> Engine:
    """Return the engine of that name, or the one handed in; what it cannot do is refused when it is asked."""
    if not isinstance(engine, str):
        return engine
    if engine == "auto":
        return Automatic(workers)
    if engine == "processes":
        return Processes(workers)
    if engine == "free":
        from unseen.references.free import Free  # each engine costs its start-up only to who asks for it

        return Free(workers)
    if engine == "stacked":
        if find_spec("torch") is None:
            raise MissingExtra('the engine "stacked"', "PyTorch", "torch")
        from unseen.references.stacked import Stacked

        return Stacked(workers=workers)
    if engine == "cluster":
        from unseen.references.cluster import Cluster

        return Cluster(address=address)
    near = did_you_mean(engine, ENGINES) or "."
    raise PlanError(f"there is no engine {engine!r}{near} The engines are {', '.join(ENGINES)}.")
