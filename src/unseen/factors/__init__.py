"""The catalogue of factors: measured reasons why the risk is what it is, by row F1 to F6."""

from unseen.factor import Factor
from unseen.factors.access import ACCESS
from unseen.factors.capacity import CAPACITY
from unseen.factors.class_balance import CLASS_BALANCE
from unseen.factors.duplicates import DUPLICATES
from unseen.factors.outlying import OUTLYING
from unseen.factors.output_detail import OUTPUT_DETAIL
from unseen.factors.overfitting import OVERFITTING
from unseen.factors.separation import SEPARATION
from unseen.factors.training_size import TRAINING_SIZE

FACTORS: tuple[Factor, ...] = (
    OVERFITTING,
    TRAINING_SIZE,
    DUPLICATES,
    CLASS_BALANCE,
    OUTLYING,
    SEPARATION,
    CAPACITY,
    OUTPUT_DETAIL,
    ACCESS,
)


def catalogue() -> dict[str, Factor]:
    """Return every factor by its name."""
    return {factor.name: factor for factor in FACTORS}
