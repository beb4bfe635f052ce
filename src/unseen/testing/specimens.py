"""Specimens: a null attack, a perfect one, and broken ones, by which the checks themselves are checked."""

import numpy as np
from scipy.special import ndtr

from unseen.attack import Attack
from unseen.moments.normal import known_variance
from unseen.moments.sides import sides
from unseen.signal import Bools, Floats, Signal
from unseen.signals import CORRECT, LOSS, MARGIN, QUERY_MARGIN, REF_MARGIN, REF_MEMBER

ORACLE = Signal("oracle", ("records",), "nats", frozenset(), "the best possible score, known in some simulated worlds")
MEMBER = Signal("member", ("records",), "boolean", frozenset(), "the truth, which no attack may see")


def null(loss: Floats) -> Floats:
    """Score each record by a number in [0, 1) mixed from the bits of its own loss: it keeps every promise but one.

    It finds nothing anywhere, so it must not point to members. The mixing is SplitMix64 (Steele et al. 2014).

    >>> null(np.array([0.1, 0.2, 0.1])).round(3)
    array([0.132, 0.859, 0.132])
    """
    bits = (np.asarray(loss, dtype=np.float64) + 0.0).view(np.uint64)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (bits >> np.uint64(11)) * 2.0**-53


def perfect(oracle: Floats) -> Floats:
    """Score each record by the log likelihood ratio of the world it lives in: nothing may exceed it."""
    return oracle


def reversed_sign(loss: Floats) -> Floats:
    """Broken: higher means *less* like a member."""
    return 1.0 * loss


def fresh_noise(loss: Floats) -> Floats:
    """Broken: noise drawn at each call, so no number can be had twice."""
    return np.random.default_rng().normal(scale=0.1, size=loss.size) - loss


def changes_its_input(loss: Floats) -> Floats:
    """Broken: the caller's array is negated under the caller's feet."""
    np.negative(loss, out=loss)
    return loss.copy()


def depends_on_the_first(loss: Floats) -> Floats:
    """Broken: scores are relative to whichever record comes first; they rank alike, but two runs do not agree."""
    return np.asarray(loss[0] - loss)


def breaks_ties_by_row(correct: Floats) -> Floats:
    """Broken: ranks without ties, so that equal answers are told apart by the order of rows."""
    return np.asarray(correct.argsort(kind="stable").argsort() / correct.size)


def asks_one_copy(query_margin: Floats) -> Floats:
    """Broken: of all copies it reads the one that happens to be asked last."""
    return query_margin[:, -1].copy()


def one_nan(loss: Floats) -> Floats:
    """Broken: the record with the largest loss gets no score."""
    return np.where(loss == loss.max(), np.nan, -loss)


def breaks_where_answers_agree(loss: Floats) -> Floats:
    """Broken: divides by a spread that is 0 where all answers are the same."""
    with np.errstate(invalid="ignore"):
        return np.asarray((loss.mean() - loss) / loss.std())


def reads_membership(loss: Floats, member: Bools) -> Floats:
    """Broken: it is told the truth, and adds a little of it."""
    return member - loss


def saturates(margin: Floats, ref_margin: Floats, ref_member: Bools) -> Floats:
    """Poor, not broken: offline LiRA as a probability, which is exactly 1 from 8.3 standard deviations up.

    It keeps every promise; what it loses is seen in `Scores.tie_share`.
    """
    _, outside = sides(ref_margin, ref_member)
    surprise = (margin - outside.mean) / np.sqrt(known_variance(outside))
    return np.where(outside.count > 0, ndtr(surprise), 0.5)


def peeking(member: Bools) -> Attack:
    """Return a broken attack that declares only the loss, and has the truth in its closure."""

    def peeks(loss: Floats) -> Floats:
        return member - loss

    return Attack(score=peeks, needs=(LOSS,), row="S1", cites="specimen")


NULL = Attack(score=null, needs=(LOSS,), row="S1", cites="specimen")
PERFECT = Attack(score=perfect, needs=(ORACLE,), row="S1", cites="specimen")
SATURATES = Attack(score=saturates, needs=(MARGIN, REF_MARGIN, REF_MEMBER), row="S2", cites="specimen")

REVERSED_SIGN = Attack(score=reversed_sign, needs=(LOSS,), row="S1", cites="specimen")
FRESH_NOISE = Attack(score=fresh_noise, needs=(LOSS,), row="S1", cites="specimen")
CHANGES_ITS_INPUT = Attack(score=changes_its_input, needs=(LOSS,), row="S1", cites="specimen")
DEPENDS_ON_THE_FIRST = Attack(score=depends_on_the_first, needs=(LOSS,), row="S1", cites="specimen")
BREAKS_TIES_BY_ROW = Attack(score=breaks_ties_by_row, needs=(CORRECT,), row="S3", cites="specimen")
ASKS_ONE_COPY = Attack(score=asks_one_copy, needs=(QUERY_MARGIN,), row="S4", cites="specimen")
ONE_NAN = Attack(score=one_nan, needs=(LOSS,), row="S1", cites="specimen")
BREAKS_WHERE_ANSWERS_AGREE = Attack(score=breaks_where_answers_agree, needs=(LOSS,), row="S1", cites="specimen")
READS_MEMBERSHIP = Attack(score=reads_membership, needs=(LOSS, MEMBER), row="S1", cites="specimen")
