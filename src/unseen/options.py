"""Options: what an audit asks beyond the model and its tables."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral
from pathlib import Path
from typing import Any

from unseen.attack import Attack
from unseen.attacks import catalogue
from unseen.errors import PlanError, did_you_mean
from unseen.estimating import Questions
from unseen.factor import Factor
from unseen.gate import Gate
from unseen.manifest import Manifest
from unseen.policy import Context, Policy
from unseen.recipe import Recipe
from unseen.reference import Engine
from unseen.references.processes import Processes
from unseen.runs import Claim
from unseen.signal import Array

MOST_REFERENCES = 10_000
Progress = Callable[[str, int, int], None]


def quiet(what: str, done: int, of: int) -> None:
    """Say nothing of how far an audit is."""


@dataclass(frozen=True)
class Options:
    """The settings of one audit; defaults are those of `unseen.audit`, where each is explained.

    `error_share` is the part of the error budget that the report may spend, the rest having gone to earlier looks.
    """

    references: int = 16
    seed: int = 0
    attacks: Sequence[str | Attack] | None = None
    skip: Sequence[str] = ()
    gates: Sequence[Gate] = ()
    factors: Sequence[Factor] = ()
    slices: Sequence[str] = ()
    rule: str = "mean"
    copies: int = 12
    image: tuple[int, ...] | None = None
    training_size: int | None = None
    manifest: Manifest | None = None
    policy: Policy = field(default_factory=Policy)
    context: Context = field(default_factory=Context)
    questions: Questions = field(default_factory=Questions)
    folder: Path | None = None
    cache: Path | None = None
    adaptive: bool = False
    seconds: float = math.inf
    error_share: float = 1.0
    trajectory: Array | None = field(default=None, repr=False)
    recipe: Recipe | None = None
    engine: Engine = field(default_factory=Processes)
    progress: Progress = quiet
    plan: Mapping[str, Any] = field(default_factory=dict)
    expected: Claim | None = None

    def __post_init__(self) -> None:
        for name, least in (("references", 0), ("seed", 0), ("copies", 1), ("training_size", 2)):
            value = getattr(self, name)
            if value is None and name == "training_size":
                continue
            if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
                raise PlanError(f"{name} must be a whole number from {least} up, got {value!r}.")
            object.__setattr__(self, name, int(value))  # a NumPy integer is a whole number too
        if self.manifest is not None and not isinstance(self.manifest, Manifest):
            raise PlanError(f"manifest must be an unseen Manifest, got {type(self.manifest).__name__}.")
        if self.references > MOST_REFERENCES:
            raise PlanError(f"references must be at most {MOST_REFERENCES}, got {self.references}.")
        if self.references == 1:
            raise PlanError("references must be 0 or at least 2: with one reference there is no spread to judge by.")

    @property
    def described(self) -> dict[str, Any]:
        """The plan that the audit came from, or the settings that were handed in."""
        if self.plan:
            return dict(self.plan)
        return {
            "references": {"count": self.references},
            "attacks": {"names": [attack.name for attack in self.chosen()], "copies": self.copies},
            "slices": {"columns": list(self.slices)},
            "statistics": {"fprs": list(self.questions.fprs), "priors": list(self.questions.priors)},
            "data": {"rule": self.rule, "training_size": self.training_size},
            "seed": self.seed,
        }

    @property
    def asked(self) -> Questions:
        """The rates and priors asked for, with those that the policy and the context name.

        Intervals are wider where earlier looks spent some of the error budget.
        """
        fprs = {limit.fpr for limit in self.policy.limits if limit.fpr is not None}
        priors = {limit.prior for limit in self.policy.limits if limit.prior is not None}
        if self.context.prior is not None:
            priors.add(self.context.prior)
        given = self.questions
        return replace(
            given,
            fprs=(*given.fprs, *fprs),
            priors=(*dict.fromkeys((*given.priors, *sorted(priors))),),
            confidence=1 - self.error_share * (1 - given.confidence),
        )

    def chosen(self) -> list[Attack]:
        """Return the attacks asked for, recommended ones first, the caller's own last; an unknown name is refused."""
        known = catalogue()
        given = [*known] if self.attacks is None else [*self.attacks]
        names = {one for one in given if isinstance(one, str)}
        for name in [*names, *self.skip]:
            if name not in known:
                raise PlanError(
                    f"there is no attack {name!r}{did_you_mean(name, known) or '.'} `unseen attacks` lists them."
                )
        found = [attack for name, attack in known.items() if name in names - set(self.skip)]
        if self.attacks is None:
            found = [attack for attack in found if self._called_for(attack)]
        own = [one for one in given if isinstance(one, Attack)]
        if twice := {one.name for one in own} & {one.name for one in found}:
            raise PlanError(f"two attacks are named {min(twice)!r}; a name stands for one attack in a report.")
        found += own
        if not found:
            raise PlanError("no attack is left to run: attacks.only and attacks.skip leave none.")
        return found

    def _called_for(self, attack: Attack) -> bool:
        """Say whether an attack that nobody named is to run: one that takes more than answers does only on a sign.

        Copies of images are asked where their shape is given, weights are looked at where everybody has them
        (`context.access` is "public_weights"), a log of the training where it is handed in. Imitation must be named.
        """
        needs = {signal.name for signal in attack.needs}
        if needs & {"query_margin", "query_loss"}:
            return self.image is not None
        if needs & {"gradient_norm", "leverage"}:
            return self.context.access == "public_weights"
        if "trajectory" in needs:
            return self.trajectory is not None
        return "imitation_margin" not in needs
