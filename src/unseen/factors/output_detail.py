"""Detail of the output: what an attacker gains from probabilities over labels alone."""

from collections.abc import Mapping

import numpy as np
from msgspec.structs import replace

from unseen.attack import Attack
from unseen.attacks.gap import GAP
from unseen.attacks.loss import LOSS_ATTACK
from unseen.attacks.noise_robustness import NOISE_ROBUSTNESS
from unseen.case import Case
from unseen.estimate import Estimate
from unseen.factor import Factor, Measurement, measured, unmeasured
from unseen.signal import Array, Floats, Ints
from unseen.signals.confidence import confidence
from unseen.signals.entropy import entropy, modified_entropy
from unseen.signals.margin import margin
from unseen.signals.saturation import finite_bounds
from unseen.signals.truncated import rounded, top_k
from unseen.stats.difference import auc_difference
from unseen.stats.roc import auc

DECIMALS = 2
UNKNOWN_BELOW = 0.5 * 10.0**-DECIMALS  # what is said as 0 may be up to this
RETOLD = {"margin", "loss", "confidence", "entropy", "modified_entropy"}
KEPT = {"label", "correct", "features", "ref_member", "ref_margin", "ref_loss"}

FULL = "every probability"
ROUNDED = "probabilities to two decimals"
TOP_THREE = "the three largest probabilities"
TOP_ONE = "the label and its probability"
LABEL_ONLY = "the label only"


def output_detail(case: Case) -> Measurement:
    """Measure what an attacker gains from probabilities over labels alone, by truncating the answers that were given.

    The strongest attack that can be computed again from truncated answers meets every probability, two decimals (its
    references' answers are rounded too), the three largest, and the label with its probability; classes that are not
    given share what is left. Each AUC stands beside its gain over the best label-only attack measured. Seen where the
    gain from every probability has an interval above 0.
    """
    if case.log_probs is None or case.label_index is None or "margin" not in case.signals:
        return unmeasured("the model gives no probabilities, or they were not handed in: there is nothing to truncate")
    attack, (blind, label_scores) = _strongest(case), _label_only(case)
    areas, gains = list[Estimate](), list[Estimate]()
    for level, signals in _levels(case).items():
        scores = case.trial.per_unit(attack(signals).values)
        areas.append(replace(auc(scores, case.member), attack=attack.name, condition=level, p_value=None))
        if label_scores is not None:
            gain = auc_difference(scores, label_scores, case.member)
            gains.append(replace(gain, attack=attack.name, condition=f"{level}, over the label only ({blind})"))
    if label_scores is None:
        return unmeasured("no label-only attack was measured to compare with")
    alone = replace(auc(label_scores, case.member), attack=blind, condition=LABEL_ONLY, p_value=None)
    said = ", ".join(f"{one.value:.3f} with {one.condition}" for one in [*areas, alone])
    full = gains[0]
    finding = f"AUC {said}; every probability adds {full.value:.3f} [{full.low:.3f}, {full.high:.3f}] to the label"
    return measured(full.low > 0, finding, [*areas, alone, *gains])


def _strongest(case: Case) -> Attack:
    """Return the first attack of the audit that reads what truncation changes, and nothing that cannot be had anew."""
    for attack in case.attacks:
        needs = {signal.name for signal in attack.needs}
        if attack.name in case.scores and needs & RETOLD and needs <= RETOLD | KEPT:
            return attack
    return LOSS_ATTACK


def _label_only(case: Case) -> tuple[str, Floats | None]:
    best: tuple[str, Floats | None] = ("", None)
    reached = -np.inf
    for attack in (GAP, NOISE_ROBUSTNESS):
        if attack.missing(case.signals):
            continue
        scores = case.trial.per_unit(attack(case.signals).values)
        if (value := auc(scores, case.member).value) > reached:
            best, reached = (attack.name, scores), value
    return best


def _levels(case: Case) -> dict[str, Mapping[str, Array]]:
    log_probs = np.asarray(case.log_probs)
    levels: dict[str, Mapping[str, Array]] = {FULL: case.signals, ROUNDED: _rounded(case, log_probs)}
    if case.target.classes > 3:
        levels[TOP_THREE] = _cut(case, top_k(log_probs, 3))
    return levels | {TOP_ONE: _cut(case, top_k(log_probs, 1))}


def _cut(case: Case, log_probs: Floats) -> dict[str, Array]:
    """Return the signals of an attacker who reads `log_probs`; saturated answers lie where the audit put them."""
    known = [case.signals[name] for name in ("margin", "ref_margin") if name in case.signals]
    label = np.asarray(case.label_index)
    own = np.clip(margin(log_probs, label), min(one.min() for one in known), max(one.max() for one in known))
    return dict(case.signals) | {"margin": own, "loss": _loss(own)} | _whole_answer(log_probs, label)


def _rounded(case: Case, log_probs: Floats) -> dict[str, Array]:
    """Return the signals of an attacker who is given two decimals, and rounds the references' answers as well."""
    changed = {name: _rounded_margin(case.signals[name]) for name in ("margin", "ref_margin") if name in case.signals}
    changed |= {"loss": _loss(changed["margin"])}
    if "ref_margin" in changed and "ref_loss" in case.signals:
        changed["ref_loss"] = _loss(changed["ref_margin"])
    return dict(case.signals) | changed | _whole_answer(rounded(log_probs, DECIMALS), np.asarray(case.label_index))


def _rounded_margin(own: Floats) -> Floats:
    """Return margins as the rounded probability of the true class tells them, whatever the shape."""
    of_two = np.stack([-_loss(own.ravel()), -_loss(-own.ravel())], axis=1)
    told = margin(rounded(of_two, DECIMALS), np.zeros(own.size, dtype=np.intp)).reshape(own.shape)
    limit = float(np.log1p(-UNKNOWN_BELOW) - np.log(UNKNOWN_BELOW))
    return np.clip(told, -limit, limit)


def _loss(margin: Floats) -> Floats:
    return np.logaddexp(0.0, -margin)


def _whole_answer(log_probs: Floats, label: Ints) -> dict[str, Array]:
    modified = modified_entropy(log_probs, label)
    return {
        "confidence": confidence(log_probs),
        "entropy": entropy(log_probs),
        "modified_entropy": np.clip(modified, *finite_bounds(modified)),
    }


OUTPUT_DETAIL = Factor(
    measure=output_detail,
    row="F5",
    controls=("rounding", "top-k", "label only"),
    cites="Shokri et al. 2017, arXiv:1610.05820, section VIII (coarser answers); DeLong et al. 1988 for the gain",
)
