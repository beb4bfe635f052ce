"""Bagged ensembles: small ones on the coins' subsets, whose trees recombine into as many references as are asked for.

Every tree's bag says which records it saw, so each record has trees with it and trees without. A reference draws its
trees anew: to a member an ensemble answers by trees of which some had it in their bag (63 % in a bootstrap), to a
non-member by trees of which none had.
"""

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from threadpoolctl import threadpool_limits

from unseen.features.rows import take_rows
from unseen.reference import ReferenceAnswers, ReferenceFailure, ReferenceTask
from unseen.references.free.pair import by_class, by_value
from unseen.references.free.pipeline import taken_apart
from unseen.references.processes import Outcome
from unseen.references.signals_of import signals_of
from unseen.signal import Array, Bools, Floats, Ints
from unseen.targets.fitting import refitted

KINDS = (
    RandomForestClassifier,
    RandomForestRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    BaggingClassifier,
    BaggingRegressor,
)
SAVING = 30  # trees that refits would have grown, for one grown here; what else an ensemble costs makes it 20
FEWEST_TREES = 320  # in all: fewer do not tell what a record's average tree says (see benchmarks/speed/free.md)
FEWEST_SUBSETS, REFERENCES_A_SUBSET = 16, 2  # ensembles of more trees on fewer subsets cost less in all
STREAM = 0xF7EE  # keeps the draws of trees apart from every other use of a reference's seed
CHUNK, BLOCK = 2048, 32  # records and references at a time


@dataclass(frozen=True)
class Trees:
    """What each tree says of each record, arrays of `(trees, records)`; an ensemble has `size` trees.

    `says` is the probability of the record's own class, or the value; `bag` says whether the tree was grown on the
    record, `rest` whether it was not but belongs to an ensemble that had it, `out` whether it knows nothing of it.
    `held` is the share of an ensemble's trees that are grown on a member.
    """

    says: Floats = field(repr=False)
    bag: Bools = field(repr=False)
    rest: Bools = field(repr=False)
    out: Bools = field(repr=False)
    size: int
    held: float


def refused(estimator: Any) -> str | None:  # noqa: ARG001
    """Name nothing: every setting of these ensembles is fitted as it is."""
    return None


def bagged(task: ReferenceTask, wanted: Sequence[int]) -> Iterator[Outcome]:
    """Yield each wanted reference: of an even number, every record was a member, of an odd one, none.

    `member` says otherwise of a record that no bag held, or that every tree knew. Where every subset's ensemble fails,
    each reference is that failure.
    """
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # as in other engines: a fit's warnings are the user's own fit's
        trees = grown(task)
    if isinstance(trees, ReferenceFailure):
        yield from ((k, trees) for k in wanted)
        return
    in_bag, known = (np.asarray(mask.any(axis=0)) for mask in (trees.bag, trees.out))
    for parity, member in ((0, in_bag), (1, np.logical_and(in_bag, ~known))):
        rows = [k for k in wanted if k % 2 == parity]
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            rngs = [np.random.default_rng([task.seeds[k], STREAM]) for k in block]
            for k, total, drawn in zip(block, *_drawn(trees, rngs, member), strict=True):
                yield k, _signals(total, drawn, member, task)


def plan(references: int, size: int) -> tuple[int, int]:
    """Return on how many subsets to grow trees, and how many on each, for `references` ensembles of `size` trees.

    >>> plan(100, 100), plan(16, 100), plan(16, 10)
    ((50, 7), (16, 20), (16, 10))
    """
    subsets = min(references, max(FEWEST_SUBSETS, references // REFERENCES_A_SUBSET))
    return subsets, min(size, ceil(max(references * size / SAVING, FEWEST_TREES) / subsets))


def grown(task: ReferenceTask) -> Trees | ReferenceFailure:
    """Return trees grown on the first subsets of the task, from their seeds; those that fail are left out."""
    recipe: Any = task.recipe
    steps, estimator = taken_apart(recipe.model)
    subsets, count = plan(task.inclusion.shape[0], estimator.n_estimators)
    model = _with_trees(recipe.model, count)
    apart = bool(steps) or getattr(estimator, "class_weight", None) == "balanced"
    says, bag, had, failed = list[Floats](), list[Bools](), list[Bools](), Counter[str]()
    for included, seed in zip(task.inclusion[:subsets], task.seeds, strict=False):
        rows = included.nonzero()[0]
        grove = _grove(model, task, rows, seed)
        if isinstance(grove, str):
            failed[grove] += 1
            continue
        for tree, drawn in grove:
            mask = np.zeros(included.size, dtype=bool)
            mask[rows[drawn]] = True
            says.append(tree)
            bag.append(mask)
            had.append(included)
    if not says:
        return ReferenceFailure("fit", failed.most_common(1)[0][0])
    in_bag, known = np.stack(bag), np.stack(had)
    rest, out = (known & ~in_bag, ~known) if apart else (~in_bag, ~in_bag)
    out = np.where(out.any(axis=0), out, rest)
    return Trees(np.stack(says), in_bag, rest, out, estimator.n_estimators, float(in_bag.sum() / known.sum()))


def _grove(model: Any, task: ReferenceTask, rows: Ints, seed: int) -> list[tuple[Floats, Array]] | str:
    """Return the trees of one ensemble fitted on `rows`, or the type of the error that it raised."""
    try:
        return list(_trees(refitted(model, take_rows(task.features, rows), task.labels[rows], seed), task))
    except Exception as error:  # noqa: BLE001 - whatever an estimator raises is a named failure
        return type(error).__name__


def _with_trees(model: Any, count: int) -> Any:
    """Return an unfitted clone of `model` with `count` trees, which neither continues another nor scores itself."""
    fresh = clone(model)
    wanted = {"n_estimators": count, "oob_score": False, "warm_start": False}
    prefix = f"{fresh.steps[-1][0]}__" if hasattr(fresh, "steps") else ""
    return fresh.set_params(**{f"{prefix}{name}": value for name, value in wanted.items()})


def _trees(fitted: Any, task: ReferenceTask) -> Iterator[tuple[Floats, Array]]:
    """Yield of each tree what it says of every record, and which of its subset's records it drew."""
    steps, ensemble = taken_apart(fitted)
    table = fitted[:-1].transform(task.features) if steps else task.features
    classes = getattr(ensemble, "classes_", None)
    if classes is not None and classes.size < 2:
        raise ValueError("a subset of one class.")  # as of any other classifier
    if isinstance(ensemble, BaggingClassifier | BaggingRegressor):
        table, ask = _numbers(table, np.float64), dict[str, bool]()
        columns = ensemble.estimators_features_
    else:
        table, ask = _numbers(table, np.float32), {"check_input": False}  # as a forest hands it to its trees
        columns = [slice(None)] * len(ensemble.estimators_)
    for tree, drawn, of in zip(ensemble.estimators_, ensemble.estimators_samples_, columns, strict=True):
        asked = table if isinstance(of, slice) else table[:, of]
        if classes is None:
            yield np.asarray(tree.predict(asked, **ask), dtype=np.float64), drawn
        else:
            yield _own(tree, asked, ask, classes, task).astype(np.float32), drawn


def _numbers(table: Any, kind: Any) -> Any:
    if sparse.issparse(table):
        return table.tocsr().astype(kind)
    return np.ascontiguousarray(table, dtype=kind)


def _own(tree: Any, table: Any, ask: dict[str, bool], classes: Array, task: ReferenceTask) -> Floats:
    """Return a tree's probability of each record's own class; of a tree that only votes, whether it votes for that."""
    names = np.searchsorted(task.classes, classes)  # trees number the classes of their subset
    if not hasattr(tree, "predict_proba"):
        return names[tree.predict(table).astype(np.intp)] == task.label_index
    wide = np.zeros((task.label_index.size, task.classes.size))
    wide[:, names[np.asarray(tree.classes_, dtype=np.intp)]] = tree.predict_proba(table, **ask)
    return wide[np.arange(wide.shape[0]), task.label_index]


def _drawn(trees: Trees, rngs: Sequence[np.random.Generator], member: Bools) -> tuple[Floats, Floats]:
    """Return the sum of what the trees that each generator draws say, and how many they are, `(rngs, records)`.

    About as many as an ensemble has; of a member, about as many of them with it in the bag. All records share a draw,
    so the exact numbers vary, as they do from ensemble to ensemble. References differ as ensembles do whose trees come
    from all subsets alike: less than refits, each of whose trees share one. Weights on whole subsets would give that
    spread; tried on five tables, they lowered nearly every attack's AUC, by up to 0.03.
    """
    total, drawn = np.zeros((len(rngs), member.size)), np.zeros((len(rngs), member.size))
    for mask, count, whose in (
        (trees.bag, trees.size * trees.held, member),
        (trees.rest, trees.size * (1 - trees.held), member),
        (trees.out, trees.size, ~member),
    ):
        share = float(mask.mean())
        if count == 0 or share == 0:
            continue
        lots = max(round(count / share), 1)
        times = np.stack([rng.multinomial(lots, np.full(mask.shape[0], 1 / mask.shape[0])) for rng in rngs])
        records = whose.nonzero()[0]
        for start in range(0, records.size, CHUNK):
            part = records[start : start + CHUNK]
            added = _sums(times.astype(np.float64), trees.says[:, part], mask[:, part].astype(np.float64), count)
            total[:, part] += added[0]
            drawn[:, part] += added[1]
    return total, drawn


def _sums(times: Floats, says: Floats, mask: Floats, count: float) -> tuple[Floats, Floats]:
    """Return the weighted sums of `says` and of 1 over a mask; where the draw has none of it, those of its mean."""
    masked = says * mask
    total, drawn = times @ masked, times @ mask
    there = mask.sum(axis=0)
    row, record = np.nonzero((drawn == 0) & (there > 0))
    drawn[row, record] = count
    total[row, record] = count * (masked.sum(axis=0) / np.maximum(there, 1))[record]
    return total, drawn


def _signals(total: Floats, drawn: Floats, member: Bools, task: ReferenceTask) -> ReferenceAnswers:
    """Return the signals of a reference whose `drawn (records,)` trees say `total`."""
    if not task.classes.size:
        return replace(signals_of(by_value(total / drawn), task.classes, task), member=member)
    with np.errstate(divide="ignore"):
        log_probs = np.log(np.column_stack([np.maximum(drawn - total, 0), total]) / drawn[:, None])
    two = replace(task, classes=np.array([0, 1]), label_index=np.ones(total.size, dtype=np.intp))
    return replace(signals_of(by_class(log_probs), two.classes, two), member=member)
