"""Factor: a measured reason why the risk is what it is."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from unseen.case import Case
from unseen.estimate import Estimate
from unseen.report import DECLARED, FACTOR_ROWS, NOT_APPLICABLE, NOT_SEEN, PRESENT, FactorResult
from unseen.signal import Bools, Floats

STATES = (PRESENT, NOT_SEEN, DECLARED, NOT_APPLICABLE)


@dataclass(frozen=True)
class Measurement:
    """What a factor measured: its state, one sentence, and the numbers under it."""

    state: str
    finding: str
    estimates: Sequence[Estimate] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


def measured(
    seen: bool, finding: str, estimates: Sequence[Estimate] = (), counts: Mapping[str, int] | None = None
) -> Measurement:
    """Say what was measured, and whether the factor was `seen` in it."""
    return Measurement(PRESENT if seen else NOT_SEEN, finding, estimates, counts or {})


def unmeasured(why: str) -> Measurement:
    """Say that the factor cannot be measured here, and why."""
    return Measurement(NOT_APPLICABLE, why)


def unit_means(case: Case, values: Floats) -> Floats:
    """Return the mean of one value a record over the records of each unit, `(units,)`, whatever the trial's rule."""
    return replace(case.trial, rule="mean").per_unit(values)


def flagged(case: Case) -> Bools | None:
    """Return which units the recommended attack flags at the policy's rate, `(units,)`.

    None where no attack ran, or where so few non-members cannot give so small a p-value to anybody.
    """
    p_values = case.p_values.get(case.recommended)
    if p_values is None or case.policy.flag_fpr * (case.trial.non_members + 1) < 1:
        return None
    return p_values <= case.policy.flag_fpr


@dataclass(frozen=True)
class Factor:
    """A plain function from a `Case` to a `Measurement`; `controls` name what would touch it."""

    measure: Callable[[Case], Measurement]
    row: str
    controls: tuple[str, ...]
    cites: str = "heuristic"

    def __post_init__(self) -> None:
        name = getattr(self.measure, "__name__", "")
        if not name:
            raise TypeError(f"a factor needs a function with a name, got {type(self.measure).__name__}.")
        if self.row not in FACTOR_ROWS:
            raise TypeError(f"{name} names row {self.row!r}; the rows are {sorted(FACTOR_ROWS)}.")

    @property
    def name(self) -> str:
        """The name in reports: the function's, with hyphens."""
        return self.measure.__name__.replace("_", "-")

    @property
    def meaning(self) -> str:
        """The first sentence of the function's docstring."""
        return (inspect.getdoc(self.measure) or "").split("\n\n")[0].replace("\n", " ").replace("`", "")

    def __call__(self, case: Case) -> FactorResult:
        """Return the result for the report; a factor that raises, or gives nothing understood, was not measured."""
        try:
            return self._result(self.measure(case))
        except Exception as error:  # noqa: BLE001 - an explanation that fails must not take the audit with it
            return self._result(unmeasured(f"measuring it raised {type(error).__name__}"))

    def _result(self, found: object) -> FactorResult:
        if not isinstance(found, Measurement) or found.state not in STATES:
            given = found.state if isinstance(found, Measurement) else type(found).__name__
            found = unmeasured(f"it gave {given!r} and no measurement")
        return FactorResult(
            name=self.name,
            row=self.row,
            state=found.state,
            meaning=self.meaning,
            finding=found.finding,
            controls=list(self.controls),
            estimates=list(found.estimates),
            counts={str(name): int(count) for name, count in found.counts.items()},
        )
