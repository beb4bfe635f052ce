"""What an attacker must be able to do before a signal can be measured."""

from enum import StrEnum


class Access(StrEnum):
    """One thing that the attacker can see or do; an attack's access is derived from its signals."""

    LABELS = "labels"
    SCORES = "decision scores"
    PROBABILITIES = "probabilities"
    FEATURES = "features of the audited records"
    QUERIES = "queries around each record"
    POPULATION = "other records of the same population"
    REFERENCES = "retraining on records like these"
    WEIGHTS = "the weights"
    TRAINING_LOG = "the loss of records during training"
