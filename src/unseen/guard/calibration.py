"""Calibration as a command: own traffic in, settings for the policy and the false alarms they gave out."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from unseen.errors import DataError, InputError
from unseen.guard.calibrating import Calibration, PastQuery, calibrate_near_duplicates, calibrate_threshold, read_past
from unseen.guard.detectors import DETECTORS

BY_THRESHOLD = ("geometry", "volume", "seeking")


def calibrate_from(path: Path, target: float, seed: int) -> str:
    """Return TOML for `[detectors]` of a policy, with what was measured on held-out traffic as comments.

    `path` holds JSON Lines as `calibrating.read_past` reads them. Half of the clients choose, the others measure;
    `seed` says which. Raises `DataError` where nothing can be chosen.
    """
    if not 0 < target < 1:
        raise DataError(f"the rate of client-days that may be flagged must be between 0 and 1, got {target:g}.")
    past = _read(path)
    found = [_measured(one) for one in _calibrations(past, target, seed)]
    if not past:
        raise DataError(f"{path} holds no query.")
    if not any(isinstance(one, Calibration) for one in found):
        raise DataError(f"{path} holds too little to choose any threshold: {found[0]}")
    return "\n".join(line for one in found for line in _lines(one)) + "\n"


def _measured(one: Calibration | str) -> Calibration | str:
    """Return a calibration whose alarms could be counted, or why it is none."""
    if isinstance(one, str) or any(rate.value is not None for rate in one.rates):
        return one
    return f"{one.detector}: not chosen: no client-days were left to count its alarms on."


def _read(path: Path) -> list[PastQuery]:
    try:
        with path.open("rb") as lines:
            return list(read_past(line for line in lines if line.strip()))
    except InputError as error:
        raise DataError(f"{path}: {error}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None


def _calibrations(past: list[PastQuery], target: float, seed: int) -> Iterator[Calibration | str]:
    chosen: list[tuple[str, Callable[[], Calibration]]] = [
        ("near-duplicates", lambda: calibrate_near_duplicates(past, np.random.default_rng(seed), target)),
    ]
    chosen += [(name, partial(_by_threshold, name, past, target, seed)) for name in BY_THRESHOLD]
    for name, calibrate in chosen:
        try:
            yield calibrate()
        except InputError as error:
            yield f"{name}: not chosen: {error}"


def _by_threshold(name: str, past: list[PastQuery], target: float, seed: int) -> Calibration:
    kind: Callable[..., Any] = DETECTORS[name]
    return calibrate_threshold(past, np.random.default_rng(seed), kind, target)


def _lines(one: Calibration | str) -> Iterator[str]:
    if isinstance(one, str):
        yield f"# {one}"
        return
    for sentence in one.sentences:
        yield f"# {sentence}"
    said = ", ".join(f"{name} = {float(f'{value:.4g}')}" for name, value in one.settings.items())
    yield f"{one.detector} = {{ {said} }}"
