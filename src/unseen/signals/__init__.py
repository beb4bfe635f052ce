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
_QUERIES = frozenset({Access.QUERIES})
_OTHERS = frozenset({Access.POPULATION})
_WEIGHTS = frozenset({Access.WEIGHTS})

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
POPULATION_MARGIN = Signal(
    "population_margin", _POPULATION, "nats", _OTHERS | _SCORES, "the target's margin on known non-members"
)
REF_POPULATION_MARGIN = Signal(
    "ref_population_margin",
    ("references", "population"),
    "nats",
    _OTHERS | _REFERENCES | _SCORES,
    "margin of each reference on the population",
)
POPULATION_LABEL = Signal(
    "population_label", _POPULATION, "class index", _OTHERS, "the true class of the population's records"
)
QUERY_MARGIN = Signal(
    "query_margin", ("records", "queries"), "nats", _QUERIES | _SCORES, "margin on each changed copy of the record"
)
QUERY_LOSS = Signal(
    "query_loss", ("records", "queries"), "nats", _QUERIES | _PROBABILITIES, "loss on each changed copy of the record"
)
REF_QUERY_MARGIN = Signal(
    "ref_query_margin",
    ("references", "records", "queries"),
    "nats",
    _REFERENCES | _QUERIES | _SCORES,
    "margin of each reference on each changed copy of the record",
)
REF_QUERY_LOSS = Signal(
    "ref_query_loss",
    ("references", "records", "queries"),
    "nats",
    _REFERENCES | _QUERIES | _PROBABILITIES,
    "loss of each reference on each changed copy of the record",
)
IMITATION_MARGIN = Signal(
    "imitation_margin",
    ("imitations", "records"),
    "nats",
    _REFERENCES | _OTHERS | _PROBABILITIES,
    "margin of models taught by the target's answers on records that are not audited",
)
GRADIENT_NORM = Signal(
    "gradient_norm", _RECORDS, "norm", _WEIGHTS, "norm of the gradient of the record's loss in the last layers"
)
LEVERAGE = Signal(
    "leverage",
    _RECORDS,
    "share",
    _WEIGHTS | frozenset({Access.FEATURES}),
    "leverage of the record's last-layer features among all audited records",
)
TRAJECTORY = Signal(
    "trajectory",
    ("records", "epochs"),
    "nats",
    frozenset({Access.TRAINING_LOG}),
    "loss of the record after each epoch of training",
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
    POPULATION_MARGIN,
    REF_POPULATION_MARGIN,
    POPULATION_LABEL,
    QUERY_MARGIN,
    QUERY_LOSS,
    REF_QUERY_MARGIN,
    REF_QUERY_LOSS,
    IMITATION_MARGIN,
    GRADIENT_NORM,
    LEVERAGE,
    TRAJECTORY,
)
