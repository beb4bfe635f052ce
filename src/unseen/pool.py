"""The pool: all records of an audit in one order that knows nothing of membership, and the trial over them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unseen.copies import count_copies, crossing
from unseen.errors import DataError
from unseen.features.digest import row_digests
from unseen.features.near import near_copies
from unseen.features.rows import concatenate, count_rows, take_rows
from unseen.records import Records
from unseen.signal import Array, Ints
from unseen.trial import Trial

TENTHS = 10


@dataclass(frozen=True)
class Pool:
    """Records in canonical order (by content, then id), so that order tells nobody who is a member.

    `audited (records,)` gives the place in the pool of each audited record, in canonical order too,
    `given (records,)` its place among members and then non-members as they were handed in, and
    `population (others,)` those of the population. `label_index (pool,)` is the class of each, or, in a regression, the
    tenth of the labels that its own is in. `unit_of (pool,)` numbers the unit, person or record, of each.
    Records with a copy, exact or near, on the other side are in the pool and not audited; `copies` counts them.
    """

    features: Any = field(repr=False)
    labels: Array = field(repr=False)
    label_index: Ints = field(repr=False)
    digests: Ints = field(repr=False)
    unit_of: Ints = field(repr=False)
    audited: Ints = field(repr=False)
    given: Ints = field(repr=False)
    population: Ints = field(repr=False)
    trial: Trial
    copies: Mapping[str, int]

    def __len__(self) -> int:
        return count_rows(self.features)

    @property
    def units(self) -> int:
        """How many units there are, audited and not."""
        return int(self.unit_of.max()) + 1


def assemble(members: Records, non_members: Records, population: Records | None, classes: Array, rule: str) -> Pool:
    """Return the pool of all records; raises `DataError` where the sides overlap or a label is unknown to the model."""
    parts = [members, non_members] + ([population] if population is not None else [])
    sizes = [len(part) for part in parts]
    names = ["members", "non_members", "population"][: len(parts)]
    features = concatenate([part.features for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    ids = np.concatenate([_ids(part, name) for part, name in zip(parts, names, strict=True)])
    groups = _groups(parts)
    side = np.repeat(np.arange(len(parts)), sizes)
    _check_apart(side, ids, names, "ids")
    _check_apart(side, groups, names, "persons")
    index = label_indexes(labels, classes) if classes.size else label_tenths(labels)
    for number, name in enumerate(names[:2]):
        if np.unique(index[side == number]).size < 2:
            raise DataError(f"all {name} have one label: an audit needs records of two labels on either side.")
    digests = row_digests(features, labels)
    cluster = near_copies(features, digests, index if classes.size else np.unique(labels, return_inverse=True)[1])
    leaves = crossing(cluster, side)
    _check_enough_left(leaves, side)
    order = np.lexsort((ids, digests))
    place = np.argsort(order)
    unit_of = np.unique(cluster if groups is None else groups, return_inverse=True)[1]
    audited = np.sort(place[(side < 2) & ~leaves])
    rows = order[audited]
    trial = _trial(side[rows] == 0, ids[rows], None if groups is None else groups[rows], cluster[rows], rule)
    return Pool(
        features=take_rows(features, order),
        labels=labels[order],
        label_index=index[order],
        digests=digests[order],
        unit_of=by_content(unit_of[order]),
        audited=audited,
        given=rows,
        population=place[(side == 2) & ~leaves],
        trial=trial,
        copies=count_copies(digests, cluster, side),
    )


def label_indexes(labels: Array, classes: Array) -> Ints:
    """Return the index of each label among `classes`; raises where the model never saw one."""
    place = {label: index for index, label in enumerate(classes.tolist())}
    found = np.array([place.get(label, -1) for label in labels.tolist()], dtype=np.intp)
    unknown = int((found < 0).sum())
    if unknown:
        raise DataError(
            f"{unknown} of {labels.size} records have a label that the model never saw (it knows {classes.size} "
            f"classes of type {classes.dtype}, the labels are of type {labels.dtype})."
        )
    return found


def label_tenths(labels: Array) -> Ints:
    """Return which tenth of the labels each label of a regression is in, `(records,)`; equal labels share one.

    >>> label_tenths(np.array([1.0, 2.0, 2.0, 3.0]))
    array([0, 2, 2, 7])
    """
    if labels.dtype.kind not in "biuf" or not np.isfinite(labels).all():
        raise DataError(f"a regressor's labels must be finite numbers, got type {labels.dtype}, or some that are not.")
    ranks = np.searchsorted(np.sort(labels), labels, side="left")
    return np.asarray(ranks * TENTHS // labels.size, dtype=np.intp)


def by_content(unit_of: Ints) -> Ints:
    """Number units by where they first stand in the canonical order, so that numbers carry neither ids nor sides."""
    _, first, place = np.unique(unit_of, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[place]


def _ids(part: Records, name: str) -> Array:
    if part.ids is None:
        return np.array([f"{name}[{row}]" for row in range(len(part))])
    ids = part.ids.astype(str)
    repeated = ids.size - np.unique(ids).size
    if repeated:
        raise DataError(f"{repeated} ids of the {name} are used more than once; an id names one record.")
    return ids


def _groups(parts: list[Records]) -> Array | None:
    given = [part.groups is not None for part in parts]
    if not any(given):
        return None
    if not all(given):
        raise DataError("a group for each record is needed in every table or in none.")
    return np.concatenate([part.groups for part in parts if part.groups is not None])


def _check_apart(side: Ints, keys: Array | None, names: list[str], what: str) -> None:
    if keys is None:
        return
    for a in range(len(names)):
        for b in range(a + 1, len(names)):
            shared = np.intersect1d(keys[side == a], keys[side == b]).size
            if shared:
                raise DataError(f"{names[a]} and {names[b]} overlap; {what} that stand in both: {shared}.")


def _check_enough_left(leaves: Array, side: Ints) -> None:
    for number, name in enumerate(("members", "non_members")):
        own = leaves[side == number]
        if 2 * int(own.sum()) > own.size:
            raise DataError(
                f"members and non_members overlap: {int(own.sum())} of {own.size} {name} have a copy on the other side "
                "(equal, or all but equal, in every column and the label); split anew, copies together."
            )


def _trial(member: Array, ids: Array, groups: Array | None, cluster: Array, rule: str) -> Trial:
    if groups is not None:
        persons, first, unit_of = np.unique(groups, return_index=True, return_inverse=True)
        return Trial(member[first], persons, "person", unit_of, rule)
    _, first, unit_of = np.unique(cluster, return_index=True, return_inverse=True)
    if first.size == ids.size:
        return Trial(member, ids, rule=rule)
    # copies of one record on one side, exact and near, are one unit: they say nothing twice
    return Trial(member[first], ids[first], "record", unit_of, "mean")
