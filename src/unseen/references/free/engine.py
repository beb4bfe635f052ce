"""The free engine: which family a model belongs to, what cannot be had for nothing, and pairs as references."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from threadpoolctl import ThreadpoolController

from unseen.reference import ReferenceAnswers, ReferenceFailure, ReferenceTask
from unseen.references.free import bagged, discriminant, logistic, neighbours, ridge
from unseen.references.free.pair import Fit, Pair
from unseen.references.free.pipeline import Steps, learned_from_labels, table_of, taken_apart
from unseen.references.processes import Outcome, Processes
from unseen.references.signals_of import named, signals_of

FAMILIES = (bagged, ridge, discriminant, neighbours, logistic)
KNOWN = "bagged ensembles, ridge, linear discriminants, nearest neighbours and logistic regression"


def why_not(recipe: Any) -> str | None:
    """Name what of `recipe` has no free references, in a clause; None where it has.

    Subclasses of the known estimators are not known: they may fit otherwise.
    """
    model = getattr(recipe, "model", None)
    if model is None:
        return "the recipe is no scikit-learn estimator"
    steps, estimator = taken_apart(model)
    family = next((one for one in FAMILIES if type(estimator) in one.KINDS), None)
    if family is None:
        return f"{type(estimator).__name__} is none of {KNOWN}"
    if (reason := family.refused(estimator)) is not None:
        return f"of {type(estimator).__name__}, {reason}"
    return None if family is bagged else learned_from_labels(steps)


class Free:
    """References by what a fit says of records had it not had them, or had it: each is all in, or all out.

    Reference 2j had every record and 2j + 1 none, in their own `member` arrays: both come of the records of coin 2j,
    answered as fitted where they were on that side and by the family's formula where not. Bagged ensembles recombine
    trees instead (see `bagged`). No answer and no coin knows the target. Where only another fit could tell, as of a
    subset with a single record of a class, both are trained as they are elsewhere, on their own coins.

    What `why_not` names is trained by `Processes`, and `said` tells so. For records only, not for persons.
    """

    records_only: ClassVar[bool] = True

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers
        self.said: list[str] = []

    def derivation(self, task: ReferenceTask) -> str | None:
        """Return what answers depend on besides the recipe: that they are free, and of trees, how many are asked for.

        None where they are retrained, and the same as of other engines.
        """
        if why_not(task.recipe) is not None:
            return None
        recipe: Any = task.recipe
        bags = type(taken_apart(recipe.model)[1]) in bagged.KINDS
        return f"free, {len(task.seeds)} references" if bags else "free"

    def train(self, task: ReferenceTask, wanted: Sequence[int]) -> Iterator[Outcome]:
        """Yield each wanted reference."""
        self.said = []
        if (reason := why_not(task.recipe)) is not None:
            self.said.append(f"references were trained, not had for nothing: {reason}.")
            yield from Processes(self.workers).train(task, wanted)
            return
        recipe: Any = task.recipe
        steps, estimator = taken_apart(recipe.model)
        if type(estimator) in bagged.KINDS:
            yield from bagged.bagged(task, wanted)
        else:
            yield from self._in_pairs(task, wanted, steps, fit_of(steps, estimator))

    def _in_pairs(self, task: ReferenceTask, wanted: Sequence[int], steps: Steps, fit: Fit) -> Iterator[Outcome]:
        alone, threads = list[int](), ThreadpoolController()
        for first in sorted({k - k % 2 for k in wanted}):
            with threads.limit(limits=1):
                pair = _pair(task, first, steps, fit)
            asked = sorted({first, first + 1} & set(wanted))
            if pair is None:
                alone += asked
            elif isinstance(pair, ReferenceFailure):
                yield from ((k, pair) for k in asked)
            else:
                yield from ((k, pair[k % 2]) for k in asked)
        if alone:
            self.said.append("some references were trained, not had for nothing: only another fit could tell.")
            yield from Processes(self.workers).train(task, alone)


def fit_of(steps: Steps, estimator: Any) -> Fit:
    """Return what fits an unfitted `estimator` of a family with formulas and answers for both sides."""
    if type(estimator) in neighbours.KINDS:
        return neighbours.NeighboursFit(estimator, shared=not steps)
    if type(estimator) in ridge.KINDS:
        return ridge.RidgeFit(estimator)
    if type(estimator) in discriminant.KINDS:
        return discriminant.DiscriminantFit(estimator)
    return logistic.LogisticFit(estimator)


def _pair(
    task: ReferenceTask, k: int, steps: Steps, fit: Fit
) -> tuple[ReferenceAnswers, ReferenceAnswers] | ReferenceFailure | None:
    """Return the references of all records in, and out, by the fit on coin `k`; an error is named, not quoted."""
    stage, included = "fit", task.inclusion[k]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in other engines: a fit's warnings are the user's own fit's
        try:
            pair: Pair | None = fit(table_of(steps, task, included, task.seeds[k]), task, included, task.seeds[k])
            if pair is None:
                return None
            stage = "signals"
            inside, outside = (signals_of(one, task.classes, task) for one in (pair.inside, pair.outside))
        except Exception as error:  # noqa: BLE001 - whatever an estimator or a step raises is a named failure
            return named(stage, error)
    everyone = np.ones(included.size, dtype=bool)
    return replace(inside, member=everyone), replace(outside, member=~everyone)
