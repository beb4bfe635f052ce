"""The catalogue of signals: what can be measured of a record, and the access it takes.

Each signal is declared once, here, so that an attack's access follows from what it needs. The functions that measure
them are in the files beside this one.
"""

from unseen.access import Access
from unseen.signal import Signal

_RECORDS, _POPULATION = ("records",), ("population",)
_LABELS = frozenset({Access.LABELS})
_SCORES = frozenset({Access.SCORES})
_PROBABILITIES = frozenset({Access.PROBABILITIES})
_REFERENCES = frozenset({Access.REFERENCES})
_OTHERS = frozenset({Access.POPULATION})

LABEL = Signal("label", _RECORDS, "class index", frozenset(), "the record's true class")
FEATURES = Signal(
    "features", ("records", "columns"), "numbers", frozenset({Access.FEATURES}), "the record's features, as numbers"
)
CORRECT = Signal("correct", _RECORDS, "0 or 1", _LABELS, "whether the predicted class is the true one")
LOSS = Signal("loss", _RECORDS, "nats", _PROBABILITIES, "-log p of the true class")
CONFIDENCE = Signal("confidence", _RECORDS, "probability", _PROBABILITIES, "the largest class probability")
ENTROPY = Signal("entropy", _RECORDS, "nats", _PROBABILITIES, "the entropy of the class probabilities")
MODIFIED_ENTROPY = Signal(
    "modified_entropy", _RECORDS, "nats", _PROBABILITIES, "entropy that knows the true class (Song and Mittal 2021)"
)
MARGIN = Signal(
    "margin", _RECORDS, "nats", _SCORES, "log odds of the true class, or its decision score above the best other"
)
ROBUSTNESS = Signal(
    "robustness",
    _RECORDS,
    "share",
    _LABELS | frozenset({Access.QUERIES}),
    "share of perturbed copies still given the true class",
)
REF_MEMBER = Signal(
    "ref_member", ("references", "records"), "boolean", _REFERENCES, "which references were trained on the record"
)
REF_LOSS = Signal("ref_loss", ("references", "records"), "nats", _REFERENCES | _PROBABILITIES, "loss of each reference")
REF_MARGIN = Signal("ref_margin", ("references", "records"), "nats", _REFERENCES | _SCORES, "margin of each reference")
POPULATION_LOSS = Signal(
    "population_loss", _POPULATION, "nats", _OTHERS | _PROBABILITIES, "the target's loss on known non-members"
)
REF_POPULATION_LOSS = Signal(
    "ref_population_loss",
    ("references", "population"),
    "nats",
    _OTHERS | _REFERENCES | _PROBABILITIES,
    "loss of each reference on the population",
)
REF_POPULATION_MEMBER = Signal(
    "ref_population_member",
    ("references", "population"),
    "boolean",
    _OTHERS | _REFERENCES,
    "which references were trained on the population's record",
)

SIGNALS = (
    LABEL,
    FEATURES,
    CORRECT,
    LOSS,
    CONFIDENCE,
    ENTROPY,
    MODIFIED_ENTROPY,
    MARGIN,
    ROBUSTNESS,
    REF_MEMBER,
    REF_LOSS,
    REF_MARGIN,
    POPULATION_LOSS,
    REF_POPULATION_LOSS,
    REF_POPULATION_MEMBER,
)
