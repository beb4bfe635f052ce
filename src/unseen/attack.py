"""Attack: a pure function from signals to scores, with what it needs and whom it cites."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from unseen.access import Access
from unseen.errors import MissingSignal, UndefinedScore
from unseen.scores import Scores
from unseen.signal import Array, Floats, Signal

ROWS = {
    "S1": "high-confidence output",
    "S2": "prediction differences between seen and unseen records",
    "S3": "overfitting patterns",
    "S4": "repeated query behaviour, consistency of answers",
    "S5": "sensitive dataset context",
}


@dataclass(frozen=True)
class Attack:
    """A plain scoring function and its declared needs; the function's argument names are the signals' names.

    `row` is the signal row it reads (S1 to S5), `cites` a source, down to the section where
    that was checked, or "heuristic". `models` says that references must be models of their own, as the target is, and
    not what a few fits say of records they had or had not.
    """

    score: Callable[..., Floats]
    needs: tuple[Signal, ...]
    row: str
    cites: str
    models: bool = False

    def __post_init__(self) -> None:
        required = [p.name for p in inspect.signature(self.score).parameters.values() if p.default is p.empty]
        declared = [signal.name for signal in self.needs]
        if required != declared:
            raise TypeError(f"{self.score.__name__} takes {required} but declares {declared}.")
        if self.row not in ROWS:
            raise TypeError(f"{self.score.__name__} names row {self.row!r}; the rows are {sorted(ROWS)}.")

    @property
    def name(self) -> str:
        """The name on the command line: the function's, with hyphens."""
        return self.score.__name__.replace("_", "-")

    @property
    def access(self) -> frozenset[Access]:
        """What the attacker must be able to do: the union over the signals needed."""
        return frozenset().union(*(signal.access for signal in self.needs))

    @property
    def meaning(self) -> str:
        """The first sentence of the function's docstring."""
        return self.explanation.split("\n\n")[0].replace("\n", " ").split(": ")[0]

    @property
    def explanation(self) -> str:
        """The function's docstring without its examples."""
        text = inspect.getdoc(self.score) or ""
        return text.split("\n\n>>>")[0].replace("`", "")

    def missing(self, signals: Mapping[str, Array]) -> tuple[str, ...]:
        """Names of the needed signals that were not measured."""
        return tuple(signal.name for signal in self.needs if signal.name not in signals)

    def __call__(self, signals: Mapping[str, Array]) -> Scores:
        """Score every record; raise `MissingSignal` or `UndefinedScore` rather than guess."""
        if missing := self.missing(signals):
            raise MissingSignal(f"{self.name} needs {list(missing)}; measured: {sorted(signals)}.")
        records = signals[self.needs[0].name].shape[0]
        values = np.asarray(self.score(*(signals[signal.name] for signal in self.needs)), dtype=np.float64)
        if values.shape != (records,):
            raise UndefinedScore(f"{self.name} must give {records} scores, one a record, got shape {values.shape}.")
        return Scores(self.name, values)
