"""A plain function from features to probabilities is a target too, asked once and never retrained."""

import traceback

import numpy as np
import pytest

import unseen
from unseen.access import Access
from unseen.errors import DataError, ModelError, PlanError, TargetFailed
from unseen.targets.function import FunctionTarget

SECRET = "Rumpelstilzchen"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 2))
Y = np.array(["no", "yes"])[RNG.integers(0, 2, 80)]


def half(table):
    return np.full((len(table), 2), 0.5)


def test_it_is_asked_once_for_all_records():
    asked = []

    def probabilities(table):
        asked.append(len(table))
        return half(table)

    target = FunctionTarget(probabilities, np.array(["no", "yes"]))
    assert np.exp(target.answer(X).log_probs).tolist() == half(X).tolist()
    assert asked == [80]
    assert target.access == {Access.LABELS, Access.SCORES, Access.PROBABILITIES}


def test_it_can_be_audited_without_references():
    outcome = unseen.audit(half, (X[:40], Y[:40]), (X[40:], Y[40:]), references=0, classes=["no", "yes"], copies=2)
    assert outcome.report.target.kind == "function"
    assert outcome.report.references.asked == 0
    assert outcome.state != "leak"


def test_without_classes_it_is_refused():
    with pytest.raises(PlanError, match="needs `classes`"):
        unseen.audit(half, (X[:40], Y[:40]), (X[40:], Y[40:]), references=0)


def test_with_references_it_is_refused_before_it_is_asked():
    def never(table):
        raise AssertionError("asked")

    with pytest.raises(PlanError, match="references=0"):
        unseen.audit(never, (X[:40], Y[:40]), (X[40:], Y[40:]), classes=["no", "yes"])


@pytest.mark.parametrize("classes", [["no"], ["no", "no"]])
def test_classes_that_name_no_choice_are_refused(classes):
    with pytest.raises((DataError, ModelError, PlanError)):
        unseen.audit(half, (X[:40], Y[:40]), (X[40:], Y[40:]), references=0, classes=classes)


def test_what_it_raises_is_named_without_its_message():
    def burst(table):
        raise ValueError(SECRET)

    with pytest.raises(TargetFailed, match="raised ValueError on 3 records") as refusal:
        FunctionTarget(burst, np.array([0, 1])).answer(np.zeros((3, 2)))
    assert SECRET not in "".join(traceback.format_exception(refusal.value))


@pytest.mark.parametrize("answer", [[[0.5, np.nan]] * 3, [[0.9, 0.9]] * 3, [[0.2, 0.3, 0.5]] * 3, [[0.5, 0.5]] * 2])
def test_a_bad_answer_is_refused(answer):
    with pytest.raises(ModelError):
        FunctionTarget(lambda table: np.array(answer), np.array([0, 1])).answer(np.zeros((3, 2)))
