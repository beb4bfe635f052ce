"""A PyTorch module from a file of weights: safetensors or a state dict; nothing in the file is ever run."""

import pickle
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from torch import Tensor, nn

from unseen.errors import MissingExtra, ModelError, TargetFailed
from unseen.features.files import present
from unseen.signal import Array
from unseen.targets.torch import BATCH, TorchTarget

STATE_DICTS = (".pt", ".pth")
NAMED = 3  # names that a message quotes of a kind
FIX = "save the weights alone: torch.save(model.state_dict(), path), or safetensors"


def load_torch(
    path: str | Path,
    module_factory: Callable[[], nn.Module],
    classes: Array | Sequence[Any] | None = None,
    batch_size: int = BATCH,
    shape: Sequence[int] | None = None,
) -> TorchTarget:
    """Return the module that `module_factory()` builds with the weights in `path`, as a target on the CPU.

    `path` is a .safetensors file, or a state dict saved as .pt or .pth; a module pickled whole is refused. Raises
    `ModelError` where file and module have not the same names and shapes, `TargetFailed` where the factory raises.
    """
    path = Path(path)
    weights = read_weights(path)
    module = _build(module_factory)
    _check_alike(path.name, module.state_dict(), weights)
    module.load_state_dict(weights)
    return TorchTarget(module, classes, batch_size, shape=shape)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors, .pt or .pth file by name, on the CPU; nothing in it is run."""
    present(path, "target.model")
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        return _read_safetensors(path)
    if suffix not in STATE_DICTS:
        raise ModelError(
            f"{path.name} is not a file of PyTorch weights; those are .safetensors, {' and '.join(STATE_DICTS)}."
        )
    return _read_state_dict(path)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors.torch import load_file  # optional beside PyTorch: only its own files need it
    except ImportError:
        raise MissingExtra(f"reading {path.name}", "safetensors", "torch") from None
    try:
        weights: dict[str, Tensor] = load_file(path)
    except Exception as error:  # noqa: BLE001 - loaders raise anything on a damaged file
        raise ModelError(
            f"{path.name} could not be read as safetensors ({type(error).__name__}): it is damaged or of another type."
        ) from None
    return weights


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on archives that are refused in the same breath
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if is_zipfile(path):
            raise ModelError(
                f"{path.name} holds a whole module or other objects, and loading those runs code; {FIX}."
            ) from None
        raise _unreadable(path, error) from None
    except Exception as error:  # noqa: BLE001 - the same
        raise _unreadable(path, error) from None
    if not isinstance(content, Mapping) or not all(isinstance(one, Tensor) for one in content.values()):
        inside = f"a checkpoint with {_first(content)}" if isinstance(content, Mapping) else type(content).__name__
        raise ModelError(f"{path.name} holds {inside} and not a state dict of tensors; {FIX}.")
    return dict(content)


def _unreadable(path: Path, error: Exception) -> ModelError:
    return ModelError(
        f"{path.name} could not be read as a state dict ({type(error).__name__}): it is damaged, TorchScript, a plain "
        f"pickle or of another type; {FIX}."
    )


def _build(module_factory: Callable[[], nn.Module]) -> nn.Module:
    try:
        module = module_factory()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's code raises
        raise TargetFailed(f"building the module raised {type(error).__name__}: call the factory to see why.") from None
    if not isinstance(module, nn.Module):
        raise ModelError(f"the factory must return an nn.Module, got {type(module).__name__}.")
    return module


def _check_alike(file: str, wanted: Mapping[str, Tensor], got: Mapping[str, Tensor]) -> None:
    missing = [name for name in wanted if name not in got]
    extra = [name for name in got if name not in wanted]
    other = [
        f"{name} {tuple(got[name].shape)} for {tuple(wanted[name].shape)}"
        for name in wanted
        if name in got and got[name].shape != wanted[name].shape
    ]
    wrong = [
        f"{len(names)} of its {len(wanted)} tensors {what} ({_first(names)})"
        for names, what in ((missing, "missing"), (other, "of another shape"))
        if names
    ]
    if extra:
        wrong.append(f"{len(extra)} that it has not ({_first(extra)})")
    if wrong:
        raise ModelError(f"{file} does not fit the module: {', '.join(wrong)}; build the module as it was trained.")


def _first(names: Any) -> str:
    listed = [str(name) for name in names]
    return ", ".join(listed[:NAMED]) + (", ..." if len(listed) > NAMED else "")
