"""Case: all that an audit holds once its attacks have run; what a gate or a factor may look at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from unseen.attack import Attack
from unseen.policy import Context, Policy
from unseen.report import AttackResult, ReferenceFacts, TargetFacts
from unseen.signal import Array, Bools, Floats, Ints, Signals
from unseen.trial import Trial


@dataclass(frozen=True)
class Case:
    """One audit, membership included: gates and factors judge, so they may see what no attack sees.

    Records are the audited ones in canonical order: `features` (a table of any kind, None where only answers were
    given), `label_index (records,)` and `log_probs (records, classes)`, None where unknown. `scores` and `p_values`
    hold `(units,)` by attack. `copies` and `manifest` hold counts, None where they could not be looked for;
    `parameters` is the number of free parameters of the model, None where it cannot be told.
    """

    trial: Trial
    signals: Signals = field(repr=False)
    attacks: Sequence[Attack]
    results: Sequence[AttackResult]
    scores: Mapping[str, Floats] = field(repr=False)
    p_values: Mapping[str, Floats] = field(repr=False)
    recommended: str
    target: TargetFacts
    references: ReferenceFacts
    policy: Policy = field(default_factory=Policy)
    context: Context = field(default_factory=Context)
    fprs: tuple[float, ...] = ()
    seed: int = 0
    features: Any = field(default=None, repr=False)
    label_index: Ints | None = field(default=None, repr=False)
    log_probs: Floats | None = field(default=None, repr=False)
    copies: Mapping[str, int] | None = None
    manifest: Mapping[str, int] | None = None
    training_size: int | None = None
    parameters: int | None = None

    @property
    def member(self) -> Bools:
        """Which units are members, `(units,)`."""
        return self.trial.member

    @property
    def record_member(self) -> Bools:
        """Which records belong to members, `(records,)`."""
        return self.per_record(self.trial.member)

    def per_record(self, values: Array) -> Array:
        """Return one value a unit as one a record."""
        return values if self.trial.unit_of is None else values[self.trial.unit_of]
