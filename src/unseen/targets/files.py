"""A model from a file: skops first; joblib and pickle only on explicit trust, because loading one runs code."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import joblib

from unseen.errors import ModelError
from unseen.features.files import present

WEIGHTS = (".safetensors", ".pt", ".pth")
PICKLES = (".joblib", ".pkl", ".pickle")
LEARNED_STATE = frozenset(  # what scikit-learn's own estimators keep: numbers and settings, no code of the file's
    {
        "sklearn.tree._tree.Tree",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
    }
)


def load_model(path: str | Path, trusted_types: Sequence[str] = (), *, trust: bool = False) -> Any:
    """Return the model in `path`. skops files load if all their types are known or in `trusted_types`.

    `trust` allows joblib and pickle files: loading one runs whatever code its author put in.
    """
    path = Path(path)
    present(path, "target.model")
    suffix = path.suffix.lower()
    if suffix == ".skops":
        return _load_skops(path, trusted_types)
    if suffix not in PICKLES:
        weights = "; weights of a PyTorch module need [target] module and classes in a plan, and a [recipe]"
        raise ModelError(
            f"{path.name} is not a model file this reads; it reads .skops, and {', '.join(PICKLES)} on trust"
            f"{weights if suffix in WEIGHTS else ''}."
        )
    if not trust:
        raise ModelError(
            f"loading {path.name} runs any code inside it; save the model with skops (skops.io.dump), or, if you know "
            "who made the file, say trust = true under [target] (command line: --trust)."
        )
    try:
        return joblib.load(path)
    except Exception as error:  # noqa: BLE001 - loaders raise anything on a damaged file
        raise ModelError(f"{path.name} could not be loaded ({type(error).__name__}).") from None


def unknown_types(path: Path, trusted_types: Sequence[str] = ()) -> list[str]:
    """Return the types in a skops file that neither skops, nor we, nor `trusted_types` know; nothing is loaded."""
    import skops.io  # where PyTorch is installed it loads that: only who has a skops file pays for it

    try:
        found = skops.io.get_untrusted_types(file=path)
    except Exception as error:  # noqa: BLE001 - loaders raise anything on a damaged file
        raise _unreadable(path, error) from None
    return sorted(set(found) - LEARNED_STATE.union(trusted_types))


def _load_skops(path: Path, trusted_types: Sequence[str]) -> Any:
    import skops.io  # as above

    if unknown := unknown_types(path, trusted_types):
        raise ModelError(
            f"{path.name} holds types that skops does not know: {unknown}; if you trust them, list them under "
            "target.trusted_types."
        )
    try:
        return skops.io.load(path, trusted=sorted(LEARNED_STATE.union(trusted_types)))
    except Exception as error:  # noqa: BLE001 - the same
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> ModelError:
    return ModelError(
        f"{path.name} could not be read as a skops file ({type(error).__name__}): it is truncated, of another type, or "
        "written by other library versions."
    )
