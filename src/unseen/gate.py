"""Gate: a check that must hold before a number may be believed."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from unseen.case import Case
from unseen.estimate import Estimate
from unseen.report import BROKEN, HELD, NOT_APPLICABLE, GateResult

GATE_LEVEL = 0.005  # of a test inside a gate
STATES = (HELD, BROKEN, NOT_APPLICABLE)


@dataclass(frozen=True)
class Finding:
    """What a gate found: its state, one sentence, and the numbers under it."""

    state: str
    reason: str
    estimates: Sequence[Estimate] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


def held(reason: str, estimates: Sequence[Estimate] = (), counts: Mapping[str, int] | None = None) -> Finding:
    """Say that a gate holds, and what was seen."""
    return Finding(HELD, reason, estimates, counts or {})


def broken(reason: str, estimates: Sequence[Estimate] = (), counts: Mapping[str, int] | None = None) -> Finding:
    """Say that a gate does not hold: the audit becomes inconclusive, for this reason."""
    return Finding(BROKEN, reason, estimates, counts or {})


def not_applicable(reason: str) -> Finding:
    """Say that there is nothing here that the gate could look at, and why."""
    return Finding(NOT_APPLICABLE, reason)


@dataclass(frozen=True)
class Gate:
    """A plain function from a `Case` to a `Finding`; `advice` is what to do where it is broken."""

    check: Callable[[Case], Finding]
    advice: str
    cites: str = "heuristic"

    @property
    def name(self) -> str:
        """The name in reports: the function's, with hyphens."""
        return self.check.__name__.replace("_", "-")

    @property
    def meaning(self) -> str:
        """The first sentence of the function's docstring."""
        return (inspect.getdoc(self.check) or "").split("\n\n")[0].replace("\n", " ").replace("`", "")

    def __post_init__(self) -> None:
        if not getattr(self.check, "__name__", ""):
            raise TypeError(f"a gate needs a function with a name, got {type(self.check).__name__}.")

    def __call__(self, case: Case) -> GateResult:
        """Return the result for the report; a check that raises, or whose finding is not understood, has not held."""
        try:
            return self._result(self.check(case))
        except Exception as error:  # noqa: BLE001 - whatever a check raises, it is named and never passes
            return self._result(broken(f"the check itself raised {type(error).__name__}"))

    def _result(self, found: object) -> GateResult:
        if not isinstance(found, Finding) or found.state not in STATES:
            given = found.state if isinstance(found, Finding) else type(found).__name__
            found = broken(f"the check gave {given!r} and no finding: held, broken or not_applicable")
        return GateResult(
            name=self.name,
            state=found.state,
            meaning=self.meaning,
            finding=found.reason,
            advice=self.advice if found.state == BROKEN else "",
            estimates=list(found.estimates),
            counts={str(name): int(count) for name, count in found.counts.items()},
        )
