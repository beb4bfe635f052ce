"""The detectors of probing, by name, and how they are made from settings."""

import inspect
import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from unseen.errors import PolicyError, did_you_mean
from unseen.guard.detector import Detector
from unseen.guard.detectors.decoys import Decoys
from unseen.guard.detectors.geometry import Geometry
from unseen.guard.detectors.near_duplicates import NearDuplicates
from unseen.guard.detectors.seeking import Seeking
from unseen.guard.detectors.sharing import Sharing
from unseen.guard.detectors.volume import Volume

DETECTORS: dict[str, type[Any]] = {
    kind.name: kind for kind in (NearDuplicates, Geometry, Volume, Sharing, Seeking, Decoys)
}
BY_FINGERPRINT = (Decoys, Sharing, Volume)  # the others need none, and then none is computed for them
SHARES = {"allowance", "weight"}  # between 0 and 1; any other number is positive, and `edits` may be 0


def from_settings(settings: Mapping[str, Mapping[str, Any]]) -> tuple[Detector, ...]:
    """Return the detectors that a policy's settings name, in the catalogue's order.

    Raise `PolicyError` for a name or a setting that is not known, is missing, or is out of its range.

    >>> [detector.name for detector in from_settings({"seeking": {"threshold": 50}, "near-duplicates": {"tau": 1.5}})]
    ['near-duplicates', 'seeking']
    >>> from_settings({"near-duplicate": {"tau": 1.5}})
    Traceback (most recent call last):
    unseen.errors.PolicyError: there is no detector 'near-duplicate'; did you mean 'near-duplicates'?
    """
    for name in settings:
        if name not in DETECTORS:
            raise PolicyError(f"there is no detector {name!r}{did_you_mean(name, DETECTORS) or _known(DETECTORS)}")
    return tuple(_made(name, kind, settings[name]) for name, kind in DETECTORS.items() if name in settings)


def _made(name: str, kind: type[Any], given: Mapping[str, Any]) -> Detector:
    known = inspect.signature(kind).parameters
    for setting in given:
        if setting not in known:
            raise PolicyError(f"{name} has no setting {setting!r}{did_you_mean(setting, known) or _known(known)}")
    for setting, parameter in known.items():
        if setting not in given and parameter.default is parameter.empty:
            hint = "; calibration chooses it from your own traffic" if setting == "tau" else ""
            raise PolicyError(f"{name} needs {setting!r}{hint}.")
    read = {setting: _read(name, setting, value, known[setting].annotation) for setting, value in given.items()}
    detector: Detector = kind(**read)
    return detector


def _read(name: str, setting: str, value: Any, kind: Any) -> Any:
    kind = list[str] if kind == Iterable[str] else kind
    try:
        read = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise PolicyError(f"{name}: {setting}: {error}.") from None
    if setting in SHARES and not 0 <= read <= 1:
        raise PolicyError(f"{name}: {setting} is a share between 0 and 1, got {value}.")
    least = 0.0 if setting == "edits" else math.ulp(0.0)
    if isinstance(read, int | float) and setting not in SHARES and not least <= read < math.inf:
        raise PolicyError(f"{name}: {setting} must be a positive number, got {value}.")
    return read


def _known(names: Iterable[str]) -> str:
    return f"; known: {', '.join(names)}."
