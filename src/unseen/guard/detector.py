"""Detector: what watches a client's queries for probing, and never touches an answer.

A detector sees what was asked, by whom and when. It never sees the training data: a guard that treats a query in its
own way because a record was trained on would tell whoever asks who the members are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from unseen.errors import InputError

Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True, repr=False)
class Query:
    """What one request asked, as a detector may see it; it is not kept, logged or shown.

    `vectors (records, features)` is the numeric view of the records, already divided by declared scales; `labels
    (records,)` is what was answered; `fingerprints` are keyed digests of coarse forms, one a record. Each is None or
    empty where it is not known. `when` is in seconds, on one clock for all clients.

    >>> Query("key-7", 0.0, parameters=frozenset({"logprobs"}))
    Query(client='key-7', records=0)
    """

    client: str
    when: float
    vectors: Vectors | None = None
    labels: Labels | tuple[int, ...] | None = None
    fingerprints: tuple[bytes, ...] = ()
    parameters: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.vectors is not None and self.vectors.ndim != 2:
            raise InputError(f"vectors need the axes (records, features), got {self.vectors.ndim} axes.")
        for name, many in (("labels", self.labels), ("fingerprints", self.fingerprints or None)):
            if many is not None and self.records != len(many):
                raise InputError(f"{name} need one entry a record, got {len(many)} for {self.records} records.")

    @property
    def records(self) -> int:
        """How many records were asked for, by the first of vectors, fingerprints and labels that is known."""
        if self.vectors is not None:
            return int(self.vectors.shape[0])
        return len(self.fingerprints) or len(self.labels if self.labels is not None else ())

    def __repr__(self) -> str:
        """Return the client and a count: never what was asked."""
        return f"Query(client={self.client!r}, records={self.records})"


@dataclass(frozen=True, slots=True)
class Sighting:
    """A client whose queries look like probing; `strength` is the detector's level over its threshold, so at least 1.

    `evidence` holds counts and rates only, never what was asked.
    """

    detector: str
    client: str
    when: float
    strength: float
    evidence: Mapping[str, int | float] = field(default_factory=lambda: MappingProxyType({}))


class Detector(Protocol):
    """Keeps a bounded memory of each client's queries, and says when they look like probing."""

    @property
    def name(self) -> str:
        """The name in settings, logs and reports, with hyphens."""
        ...

    def observe(self, query: Query) -> Sighting | None:
        """Take note of a query; return a sighting where the client's level reaches the threshold."""
        ...

    def forget(self, client: str) -> None:
        """Drop all that is remembered of a client."""
        ...
