"""Changed copies: what models are asked besides the records themselves, and which answers belong to which copy."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from unseen.features.images import Query, image_queries
from unseen.features.rows import concatenate, take_rows
from unseen.pool import Pool
from unseen.reference import ReferenceTask
from unseen.signal import Array, Ints


@dataclass(frozen=True)
class Copies:
    """The rows that are asked: the pool's first, then each copy of all audited records, one after another.

    `places (queries, records)` says which row is which copy of which audited record; copy 0 is the record itself. The
    copies are asked, and nothing is trained on them: they are rows that no coin includes.
    """

    queries: Sequence[Query] = field(repr=False)
    audited: Ints = field(repr=False)
    pool: int

    @property
    def places(self) -> Ints:
        """The row of each copy, `(queries, records)`."""
        more = self.pool + np.arange(len(self.queries) * self.audited.size)
        return np.vstack([self.audited[None, :], more.reshape(len(self.queries), self.audited.size)])

    def asked(self, pool: Pool) -> Pool:
        """Return the pool with the copies behind it: same trial, more rows to ask about."""
        own = take_rows(pool.features, self.audited)
        rows = np.concatenate([np.arange(self.pool), np.tile(self.audited, len(self.queries))])
        return replace(
            pool,
            features=concatenate([pool.features, *(query(own) for query in self.queries)]),
            labels=pool.labels[rows],
            label_index=pool.label_index[rows],
        )

    def widened(self, task: ReferenceTask, asked: Pool) -> ReferenceTask:
        """Return the task with the copies behind its records, in no reference's training set."""
        none = np.zeros((task.inclusion.shape[0], len(asked) - self.pool), dtype=np.bool_)
        return replace(
            task,
            features=asked.features,
            labels=asked.labels,
            label_index=asked.label_index,
            inclusion=np.hstack([task.inclusion, none]),
        )

    def of(self, values: Array) -> Array:
        """Return `values (..., rows)` as `(..., records, queries)`."""
        return np.moveaxis(values[..., self.places], -2, -1)


def image_copies(shape: Sequence[int] | None, pool: Pool) -> Copies:
    """Return the copies of images of that shape, or none where no shape is given."""
    queries = [] if shape is None else [query for name, query in image_queries(shape) if name != "as it is"]
    return Copies(queries, pool.audited, len(pool))
