"""What probabilities give away beyond labels, by truncating them: known on worlds of normal margins."""

import numpy as np
import pytest
from scipy.stats import norm
from tests.factors.cases import covered, halves, made, named

from unseen.attacks.lira_offline import LIRA_OFFLINE
from unseen.attacks.loss import LOSS_ATTACK
from unseen.factors.output_detail import FULL, LABEL_ONLY, OUTPUT_DETAIL, ROUNDED, TOP_ONE, TOP_THREE
from unseen.report import NOT_APPLICABLE, NOT_SEEN, PRESENT

UNITS = 600


def world(seed, leak=1.0, centre=1.0, classes=2, spread=1.0, **given):
    """Margins of the true class are normal, those of members larger by `leak`; the others share the rest unevenly."""
    rng = np.random.default_rng(seed)
    member, label = halves(UNITS), rng.integers(0, classes, UNITS)
    margin = rng.normal(centre + leak * member, spread)
    log_probs = np.zeros((UNITS, classes))
    rest_shares = np.log(rng.dirichlet(np.full(classes - 1, 0.5), UNITS) + 1e-12)
    rows, others = np.arange(UNITS), (label[:, None] + np.arange(1, classes)) % classes
    log_probs[rows, label] = -np.logaddexp(0, -margin)
    log_probs[rows[:, None], others] = rest_shares - np.logaddexp(0, margin)[:, None]
    log_probs -= np.logaddexp.reduce(log_probs, axis=1, keepdims=True)
    correct = (log_probs.argmax(axis=1) == label).astype(float)
    signals = {"margin": margin, "loss": np.logaddexp(0, -margin), "correct": correct, "label": label}
    return made(member, classes, **{"label_index": label, "log_probs": log_probs, "signals": signals} | given)


def values(result, quantity="auc"):
    return {one.condition.split(", over")[0]: one.value for one in named(result, quantity)}


def test_a_gain_that_was_planted_is_seen_and_measured_at_every_level():
    found = OUTPUT_DETAIL(world(0, classes=6))
    assert found.state == PRESENT
    assert list(values(found)) == [FULL, ROUNDED, TOP_THREE, TOP_ONE, LABEL_ONLY]
    assert list(values(found, "auc_difference")) == [FULL, ROUNDED, TOP_THREE, TOP_ONE]
    assert found.controls == ["rounding", "top-k", "label only"]


def test_where_nothing_leaks_nothing_is_gained():
    seen = [OUTPUT_DETAIL(world(seed, leak=0.0)).state == PRESENT for seed in range(150)]
    assert np.mean(seen) <= 0.065  # one-sided 2.5 % and three deviations


def test_the_gain_over_labels_holds_the_truth_at_its_rate():
    """The margin's AUC is that of two normals; a label tells only whether the margin is above 0."""
    full = norm.cdf(1 / np.sqrt(2))
    label = 0.5 + (norm.cdf(2) - norm.cdf(1)) / 2
    found = [OUTPUT_DETAIL(world(seed)) for seed in range(300)]
    assert covered([named(one, "auc_difference")[0] for one in found], full - label) >= 0.92
    assert covered([named(one, "auc")[0] for one in found], full) >= 0.92
    assert covered([named(one, "auc")[-1] for one in found], label) >= 0.92


def test_of_two_classes_the_label_and_its_probability_is_everything():
    found = values(OUTPUT_DETAIL(world(0)))
    assert found[TOP_ONE] == pytest.approx(found[FULL], abs=1e-12)


def test_two_decimals_hide_what_lies_beyond_them():
    found = values(OUTPUT_DETAIL(world(0, centre=9.0)))  # every answer is 1.00
    assert found[FULL] > 0.7
    assert found[ROUNDED] == pytest.approx(0.5, abs=0.01)
    mild = values(OUTPUT_DETAIL(world(0, centre=0.0)))
    assert mild[ROUNDED] == pytest.approx(mild[FULL], abs=0.01)


def test_an_attacker_with_references_rounds_their_answers_as_well():
    """Else every reference would seem surer than the target, and rounding would look like a defence."""
    rng = np.random.default_rng(0)
    hard = rng.normal(0.0, 2.0, UNITS)
    case = world(0, centre=hard, spread=0.3)
    reference = {"ref_margin": hard + 0.3 * rng.normal(size=(8, UNITS)), "ref_member": np.zeros((8, UNITS), dtype=bool)}
    strong = made(
        case.member,
        label_index=case.label_index,
        log_probs=case.log_probs,
        signals={**case.signals, **reference},
        attacks=[LIRA_OFFLINE, LOSS_ATTACK],
        scores=np.zeros(UNITS),
    )
    strong.scores["lira-offline"] = np.zeros(UNITS)
    found = OUTPUT_DETAIL(strong)
    assert {one.attack for one in named(found, "auc")} == {"lira-offline", "gap"}
    assert values(found)[FULL] > 0.9
    assert values(found)[ROUNDED] > 0.8


def test_the_stronger_label_only_attack_is_the_one_to_beat():
    case = world(0)
    better = {**case.signals, "robustness": case.member * 1.0}
    found = OUTPUT_DETAIL(world(0, signals=better))
    assert named(found, "auc")[-1].attack == "noise-robustness"
    assert found.state == NOT_SEEN


def test_answers_of_exactly_zero_and_one_are_measured_too():
    case = world(0)
    sure = np.where(np.arange(UNITS)[:, None] % 3 == 0, np.log([[1.0, 1e-300]]), case.log_probs)
    with np.errstate(divide="ignore"):
        sure[sure < -600] = -np.inf
    found = OUTPUT_DETAIL(world(0, log_probs=sure, label_index=np.zeros(UNITS, dtype=int)))
    assert len(named(found, "auc")) == 4


def test_labels_alone_leave_nothing_to_truncate():
    found = OUTPUT_DETAIL(made(halves(20), signals={"correct": np.ones(20)}))
    assert (found.state, found.estimates) == (NOT_APPLICABLE, [])
