"""Signal: a declared measurement. Signals: the arrays measured."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.access import Access

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]
Array = NDArray[Any]


@dataclass(frozen=True)
class Signal:
    """A measurement that attacks may ask for: its name, axes, unit, the access it takes, and its meaning."""

    name: str
    axes: tuple[str, ...]
    unit: str
    access: frozenset[Access]
    meaning: str


class Signals(Mapping[str, Array]):
    """The arrays measured in one audit, by signal name; read only, and shown by shape alone.

    >>> Signals(loss=np.zeros(3))
    Signals(loss (3,))
    """

    def __init__(self, **arrays: Array) -> None:
        self._arrays = {name: _locked(array) for name, array in arrays.items()}

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        return f"Signals({', '.join(f'{name} {array.shape}' for name, array in self._arrays.items())})"


def _locked(array: Array) -> Array:
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view
