"""What a model returned is checked, and becomes float64 log probabilities."""

import numpy as np
import pytest
from scipy.special import log_expit

from unseen.errors import ModelError
from unseen.targets.answers import answers_from_logits, checked_log_probs, checked_scores, log_probs_from_logits
from unseen.targets.estimator import EstimatorTarget
from unseen.targets.function import FunctionTarget
from unseen.targets.predictions import PROBABILITIES, answers_of

TIED = next(p for p in np.linspace(0.3, 0.4, 100) if np.log(p) == np.log(np.nextafter(p, 1)))
AHEAD = np.array([[TIED, np.nextafter(TIED, 1), (1 - 2 * TIED) / 2, (1 - 2 * TIED) / 2]] * 2)


class Leading:
    """A classifier whose probabilities are given."""

    classes_ = np.arange(4)

    def predict(self, features):
        return self.predict_proba(features).argmax(axis=1)

    def predict_proba(self, _features):
        return AHEAD


def test_zero_and_one_become_infinite_and_zero_without_a_warning():
    assert checked_log_probs(np.array([[0.0, 1.0]]), 1, 2).tolist() == [[-np.inf, 0.0]]


def test_a_hair_above_one_is_one():
    assert checked_log_probs(np.array([[0.0, 1.0004]]), 1, 2)[0, 1] == 0.0


def test_logits_of_any_size_become_log_probabilities():
    logits = np.array([[1000.0, 0.0, -1000.0], [0.0, 0.0, 0.0]])
    assert log_probs_from_logits(logits, 2, 3).tolist() == [[0.0, -1000.0, -2000.0], [-np.log(3)] * 3]


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: s[:, None]])
def test_one_logit_for_two_classes_is_the_second_ones_log_odds(wrap):
    odds = np.array([-800.0, 0.5, 800.0])
    assert np.allclose(log_probs_from_logits(wrap(odds), 3, 2), np.column_stack([log_expit(-odds), log_expit(odds)]))


@pytest.mark.parametrize("scores", [[[1.0, np.nan]], [[1.0, np.inf]], [[1.0, 2.0, 3.0]], [1.0, 2.0]])
def test_bad_scores_are_refused(scores):
    with pytest.raises(ModelError):
        checked_scores(np.array(scores), 1, 2)


def test_scores_that_are_words_are_refused():
    with pytest.raises(ModelError, match="must be numbers"):
        checked_scores(np.array([["SECRET", "b"]]), 1, 2)


@pytest.mark.parametrize(
    "answered",
    [
        lambda: EstimatorTarget(Leading()).answer(np.zeros((2, 1))),
        lambda: FunctionTarget(Leading().predict_proba, np.arange(4)).answer(np.zeros((2, 1))),
        lambda: answers_of(AHEAD.tolist(), np.arange(4), PROBABILITIES),
    ],
    ids=["estimator", "function", "endpoint"],
)
def test_a_class_that_leads_by_one_unit_in_the_last_place_is_the_label(answered):
    answers = answered()
    assert answers.predicted.tolist() == [1, 1]
    assert answers.log_probs[0, 0] == answers.log_probs[0, 1]  # the logarithm ends the lead


def test_a_logit_that_leads_by_one_unit_in_the_last_place_is_the_label():
    logits = np.array([[1e-9, np.nextafter(1e-9, 1), -1.0]])
    answers = answers_from_logits(logits, 1, 3)
    assert answers.log_probs[0, 0] == answers.log_probs[0, 1]
    assert answers.predicted.tolist() == [1]
