"""Plugins: gates and factors that installed packages offer by entry points; a broken one never vanishes."""

from importlib.metadata import EntryPoint, entry_points

from unseen.case import Case
from unseen.factor import Factor, Measurement, unmeasured
from unseen.gate import Finding, Gate, broken


def installed_gates() -> list[Gate]:
    """Return the gates of the entry-point group `unseen.gates`; one that cannot be loaded is one that does not hold."""
    return [_gate(point) for point in entry_points(group="unseen.gates")]


def installed_factors() -> list[Factor]:
    """Return the factors of the group `unseen.factors`; one that cannot be loaded is one that is not measured."""
    return [_factor(point) for point in entry_points(group="unseen.factors")]


def _gate(point: EntryPoint) -> Gate:
    offered, why = _load(point)
    if isinstance(offered, Gate):
        return offered

    def missing(_case: Case) -> Finding:
        """Every gate that an installed package offers can be loaded."""
        return broken(f"{point.name} cannot be used: {why or 'it is no Gate'}")

    missing.__name__ = point.name
    return Gate(check=missing, advice="Mend or remove the package that offers it.")


def _factor(point: EntryPoint) -> Factor:
    offered, why = _load(point)
    if isinstance(offered, Factor):
        return offered

    def missing(_case: Case) -> Measurement:
        """A factor that an installed package offers."""
        return unmeasured(f"{point.name} cannot be used: {why or 'it is no Factor'}")

    missing.__name__ = point.name
    return Factor(measure=missing, row="F4", controls=())


def _load(point: EntryPoint) -> tuple[object, str]:
    try:
        return point.load(), ""
    except Exception as error:  # noqa: BLE001 - whatever an import raises, it is named and never passes
        return None, f"loading it raised {type(error).__name__}"
