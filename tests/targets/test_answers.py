"""What a model returned is checked, and becomes float64 log probabilities."""

import numpy as np
import pytest
from scipy.special import log_expit

from unseen.errors import ModelError
from unseen.targets.answers import checked_log_probs, checked_scores, log_probs_from_logits


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
