"""A recipe whose models answer as a deployed policy lets them: references for an audit through that policy."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np

from unseen.access import Access
from unseen.errors import ModelError, PlanError
from unseen.recipe import Recipe
from unseen.signal import Array, Floats
from unseen.target import Answers, Target
from unseen.targets.predictions import PROBABILITIES, VALUES, answers_of
from unseen.targets.wire.rows import rows_of

Step = Callable[..., Floats]  # (answers, queries) -> answers of the same shape
From = Callable[..., Step]  # (declared, *, key)


class HardenedTarget:
    """A target whose answers pass through each step in turn before they are seen."""

    def __init__(self, target: Target, steps: Sequence[Step]) -> None:
        self._target, self._steps = target, steps

    @property
    def classes(self) -> Array:
        """The target's own."""
        return self._target.classes

    @property
    def access(self) -> frozenset[Access]:
        """The target's own."""
        return self._target.access

    def answer(self, features: Any) -> Answers:
        """Answer each record as the policy lets it; raises `ModelError` where the model gives only labels or scores."""
        answers, queries = self._target.answer(features), rows_of(features).contents()
        if answers.value is not None:
            return answers_of(self._through(answers.value, queries).tolist(), self._target.classes, VALUES)
        if answers.log_probs is None:
            raise ModelError("controls change probabilities, and the recipe's model gives none.")
        probabilities = self._through(np.exp(answers.log_probs), queries)
        return answers_of(probabilities.tolist(), self._target.classes, PROBABILITIES)

    def _through(self, answers: Floats, queries: Sequence[bytes]) -> Floats:
        for step in self._steps:
            answers = np.asarray(step(answers, queries=queries))
        return answers


class HardenedRecipe:
    """Trains as `recipe` does; what it trains answers through `controls`, which are part of its fingerprint.

    Whoever attacks does not know a deployed policy's key, and draws one of their own for each reference. `harden_from`
    makes a step of a control's mapping and a key; by default the product's own does.
    """

    def __init__(self, recipe: Recipe, controls: Sequence[Mapping[str, Any]], harden_from: From | None = None) -> None:
        self.recipe, self.controls = recipe, [dict(one) for one in controls]
        self._harden_from = harden_from
        self._steps(b"")  # an unknown control is refused before anything is trained

    def refit(self, features: Any, labels: Array, seed: int) -> Target:
        """Train a model, and let it answer through the controls."""
        return HardenedTarget(self.recipe.refit(features, labels, seed), self._steps(str(seed).encode()))

    def fingerprint(self) -> str:
        """Return a digest of the recipe's own and of the controls."""
        total = blake2b(self.recipe.fingerprint().encode(), digest_size=16)
        total.update(msgspec.json.encode(self.controls))
        return total.hexdigest()

    def _steps(self, own: bytes) -> list[Step]:
        return [_step(one, blake2b(own, digest_size=32).digest(), self._harden_from) for one in self.controls]


def _step(control: dict[str, Any], key: bytes, harden_from: From | None) -> Step:
    """Return a control as a step: without a key, or, where it needs one, with this."""
    if harden_from is None:
        from unseen import controls  # only who knows a policy loads its controls

        make: From = controls.harden_from
    else:
        make = harden_from
    try:
        return make(dict(control), key=None)
    except PlanError as first:
        try:
            return make(dict(control), key=key)
        except PlanError:
            raise first from None
