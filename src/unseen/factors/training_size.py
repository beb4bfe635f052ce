"""Training size: how many records each class was learned from."""

from unseen.case import Case
from unseen.estimate import Estimate
from unseen.factor import Factor, Measurement, measured, unmeasured

FEW = 100  # training records a class


def training_size(case: Case) -> Measurement:
    """Measure how many training records there are for each class the model tells apart.

    An exact count, so it has no interval. Seen under 100 records a class on average (heuristic); against the model's
    free numbers, see `capacity`.
    """
    if case.training_size is None or case.target.classes < 2:
        return unmeasured("the size of the training set, or the number of classes, is not known")
    counts = {"training_records": case.training_size, "classes": case.target.classes}
    value = case.training_size / case.target.classes
    estimate = exact("records_per_class", value, counts)
    finding = f"{case.training_size:,} training records, {value:,.1f} a class on average"
    return measured(value < FEW, finding, [estimate], counts)


def exact(quantity: str, value: float, counts: dict[str, int]) -> Estimate:
    """Return a number that was counted and not estimated: its interval is itself."""
    return Estimate(quantity, value, value, value, 1.0, "exact count", counts)


TRAINING_SIZE = Factor(
    measure=training_size,
    row="F2",
    controls=("more data", "regularisation", "differentially private training"),
    cites="Shokri et al. 2017, arXiv:1610.05820 (records a class); the bound is heuristic",
)
