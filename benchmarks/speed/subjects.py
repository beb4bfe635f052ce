"""The audited models and the one way their scores are judged; needs NumPy and scikit-learn.

Shared by every script here, whatever the environment, so that all tools see the same records and the same model.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from processes import cpu_seconds
from sklearn.base import ClassifierMixin
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

Array = NDArray[Any]

DATA = {"digits": load_digits, "breast_cancer": load_breast_cancer}
MODELS: dict[str, Callable[[], ClassifierMixin]] = {
    "forest": lambda: RandomForestClassifier(random_state=0),
    "mlp": lambda: MLPClassifier(hidden_layer_sizes=(100,), max_iter=500, random_state=0),
}
FPR = 0.01


@dataclass(frozen=True)
class Subject:
    """A fitted model, the records it was fitted on, and as many that it never saw."""

    model: Any
    members: tuple[Array, Array]
    non_members: tuple[Array, Array]


def subject(data: str, model: str) -> Subject:
    """Fit `model` on a seeded random half of `data`, its features standardised over all records."""
    features, labels = DATA[data](return_X_y=True)
    features = StandardScaler().fit_transform(features)
    order = np.random.default_rng(0).permutation(labels.size)
    inside, outside = np.array_split(order, 2)
    fitted = MODELS[model]().fit(features[inside], labels[inside])
    return Subject(fitted, (features[inside], labels[inside]), (features[outside], labels[outside]))


def judge(scores: Array, member: Array) -> dict[str, float]:
    """AUC with ties counted half, and TPR at 1 % FPR.

    The TPR is a step: the largest one at an achieved FPR of at most 1 %, tied records taken all or none, nothing
    interpolated and no score flipped.
    """
    inside, outside = np.sort(scores[member]), np.sort(scores[~member])
    below = np.searchsorted(outside, inside, "left") + np.searchsorted(outside, inside, "right")
    thresholds = np.append(np.unique(scores), np.inf)
    false = 1 - np.searchsorted(outside, thresholds, "left") / outside.size
    first = thresholds[np.argmax(false <= FPR)]
    return {"auc": float(below.mean() / 2 / outside.size), "tpr": float(np.mean(inside >= first))}


def timed(call: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """Result of the call, and its wall and CPU seconds, child processes included."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    result = call()
    return result, {"attack_wall_s": time.perf_counter() - wall, "attack_cpu_s": cpu_seconds() - cpu}
