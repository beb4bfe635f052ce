"""What a regressor returned, checked before anything is measured on it."""

import numpy as np

from unseen.errors import ModelError
from unseen.signal import Floats


def checked_values(answer: object, records: int) -> Floats:
    """Return a regressor's values `(records,)` float64, from one column or none, or raise `ModelError`."""
    try:
        values = np.asarray(answer)
    except ValueError:
        raise ModelError("the model gave values of different lengths for different records.") from None
    if values.dtype.kind not in "fiub":
        raise ModelError(f"the model's values must be numbers, got {values.dtype}.")
    if values.shape not in {(records,), (records, 1)}:
        raise ModelError(
            f"a regressor gives one value for each of {records} records, got shape {values.shape}; a classifier needs "
            "its classes: the argument of that name, or [target] classes in a plan."
        )
    values = values.reshape(records).astype(np.float64)
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise ModelError(f"the model gave NaN or infinite values for {bad} of {records} records.")
    return values
