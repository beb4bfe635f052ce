"""Capacity: how many records stand against each free number of the model."""

from unseen.case import Case
from unseen.factor import Factor, Measurement, measured, unmeasured
from unseen.factors.training_size import exact

ENOUGH = 10.0  # training records a free parameter


def capacity(case: Case) -> Measurement:
    """Measure how many training records there are for each free parameter of the model.

    An exact count, so it has no interval; a tree counts as one parameter a node. Seen under ten records a parameter,
    the old rule of thumb of regression; under one, the model has room to remember every record.
    """
    if case.training_size is None:
        return unmeasured("the size of the training set is not known")
    if not case.parameters:
        return unmeasured("the free parameters of this kind of model cannot be counted")
    counts = {"training_records": case.training_size, "parameters": case.parameters}
    value = case.training_size / case.parameters
    sizes = f"{case.parameters:,} free parameters and {case.training_size:,} training records"
    estimates = [exact("records_per_parameter", value, counts)]
    return measured(value < ENOUGH, f"{sizes}, {value:.3g} a parameter", estimates, counts)


CAPACITY = Factor(
    measure=capacity,
    row="F4",
    controls=("fewer parameters", "regularisation", "early stopping", "differentially private training"),
    cites="Yeom et al. 2018, arXiv:1709.01604; ten a parameter: Peduzzi et al. 1996, doi:10.1016/S0895-4356(96)00236-3",
)
