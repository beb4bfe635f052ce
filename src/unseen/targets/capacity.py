"""Capacity: how many free numbers a fitted model holds, counted without importing its library."""

from collections.abc import Callable
from typing import Any

import numpy as np

COEFFICIENTS = (  # attributes that hold fitted numbers, by kind of model
    ("coef_", "intercept_"),
    ("coefs_", "intercepts_"),
    ("dual_coef_", "support_vectors_", "intercept_"),
    ("theta_", "var_", "class_prior_"),
    ("feature_log_prob_", "class_log_prior_"),
)


def count_parameters(model: Any) -> int | None:
    """Return how many free numbers `model` was fitted with, or None where they cannot be counted.

    Weights of a PyTorch module; weights and intercepts of linear models, networks, kernels and naive Bayes; one
    number a node of a tree, its threshold or its value (a leaf may hold more, one a class: so at least that many).
    Ensembles, searches and pipelines count what is inside; of a pipeline, the last step. A nearest-neighbour model
    keeps its records: None.

    >>> from sklearn.linear_model import LogisticRegression
    >>> count_parameters(LogisticRegression().fit([[0.0, 1.0], [1.0, 0.0]], [0, 1]))
    3
    """
    try:
        return _count(model)
    except Exception:  # noqa: BLE001 - whatever a user's model raises; a count must not take the audit with it
        return None


def _count(model: Any) -> int | None:
    reader = LIBRARIES.get(type(model).__module__.split(".")[0])
    if reader is not None:
        return reader(model)
    for attribute, read in INSIDE:
        if hasattr(model, attribute):
            return read(model)
    for names in COEFFICIENTS:
        if all(hasattr(model, name) for name in names):
            return sum(_size(getattr(model, name)) for name in names)
    return None


def _sum(models: Any) -> int | None:
    if isinstance(models, str):  # a vote's "drop" is no model
        return 0
    if not isinstance(models, list | np.ndarray):
        return _count(models)
    counts = [_sum(one) for one in models]
    return None if None in counts else sum(count for count in counts if count is not None)


def _size(numbers: Any) -> int:
    return sum(_size(one) for one in numbers) if isinstance(numbers, list) else int(np.prod(numbers.shape))


def _histogram_boosting(model: Any) -> int:
    """Count the nodes of scikit-learn's histogram boosting, which keeps its trees in a private place only."""
    return sum(int(tree.nodes.size) for one_round in model._predictors for tree in one_round)  # noqa: SLF001


def _xgboost(model: Any) -> int:
    """Count nodes, or weights of a linear booster: a line of the text dump each, headings apart."""
    return sum(
        bool(line.strip()) and not line.endswith(("bias:", "weight:"))
        for part in model.get_booster().get_dump()
        for line in part.splitlines()
    )


def _lightgbm(model: Any) -> int:
    """Count nodes: a binary tree of n leaves has n - 1 splits."""
    return sum(2 * int(tree["num_leaves"]) - 1 for tree in model.booster_.dump_model()["tree_info"])


def _catboost(model: Any) -> int:
    """Count leaf values, and one split a level of a symmetric tree (of another kind, one a leaf but one)."""
    leaves = np.asarray(model.get_tree_leaf_counts())
    symmetric = model.get_all_params().get("grow_policy", "SymmetricTree") == "SymmetricTree"
    splits = np.log2(leaves).sum() if symmetric else (leaves - 1).sum()
    return int(model.get_leaf_values().size + splits)


LIBRARIES: dict[str, Callable[[Any], int]] = {"xgboost": _xgboost, "lightgbm": _lightgbm, "catboost": _catboost}
INSIDE: tuple[tuple[str, Callable[[Any], int | None]], ...] = (  # where models keep what they are made of; first wins
    ("named_parameters", lambda model: sum(weights.numel() for weights in model.parameters())),  # PyTorch
    ("steps", lambda model: _count(model.steps[-1][1])),
    ("tree_", lambda model: int(model.tree_.node_count)),
    ("_predictors", _histogram_boosting),
    ("estimators_", lambda model: _sum(model.estimators_)),
    ("calibrated_classifiers_", lambda model: _sum(model.calibrated_classifiers_)),
    ("calibrators", lambda model: _count(model.estimator)),
    ("best_estimator_", lambda model: _count(model.best_estimator_)),
    ("estimator_", lambda model: _count(model.estimator_)),
)
