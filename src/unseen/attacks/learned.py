"""Learned: each reference in turn is taken for the target, its members known; what tells them is used on the target."""

import numpy as np

from unseen.attack import Attack
from unseen.attacks.base import base
from unseen.attacks.moderated_t_gap import moderated_t_gap
from unseen.attacks.moderated_t_trend import moderated_t_trend
from unseen.attacks.rank_combined import rank_combined
from unseen.moments.gap import Trend, centre_of
from unseen.moments.logistic import fit_logistic
from unseen.moments.near import KINDS, Neighbourhoods, means_near, neighbourhoods
from unseen.moments.prior import Prior, fit_prior, moderated_variance
from unseen.moments.sides import Side, sides
from unseen.signal import Bools, Floats, Ints
from unseen.signals import FEATURES, LABEL, LOSS, MARGIN, REF_LOSS, REF_MARGIN, REF_MEMBER

FEWEST = 4  # references: one is the target, and three say what to expect of it
TAKEN = 16  # references that are taken for a target, at most
ROWS = 100_000  # records of all of them that are learned from, about
CLEAR = 4.0  # a deviation counts as no more than so many standard deviations to its neighbours
DESCRIBED = 50_000  # records by which a lesson is described, about; the target is by all
DEVIATION = 3  # its place among the clues, as arsinh
BENT = (0, 1, DEVIATION)  # clues that have bends: the trended t, BASE and the deviation

Priors = tuple[Prior, Prior]


def learned(margin: Floats, ref_margin: Floats, ref_member: Bools, loss: Floats, ref_loss: Floats) -> Floats:
    """Score each record by its log odds of membership under a logistic model that the references taught.

    `margin`, `loss (records,)`; `ref_margin`, `ref_loss`, `ref_member (references, records)`. Each reference in turn
    is a target whose members are known, described by the others; the real target is described by all. The clues are
    the trended t, BASE, the shrunk gap's t, centre, deviation from it, spread and expected gap, with their products.
    How many references had a record is no clue. References must be models of their own, drawn by independent coins.
    Under four, the score is that of `rank_combined`. The default recommendation wherever there are references.

    >>> rng = np.random.default_rng(0)
    >>> seen = rng.random((5, 300)) < 0.5
    >>> m = 2 * seen + rng.normal(size=seen.shape)
    >>> score = learned(m[0], m[1:], seen[1:], -m[0], -m[1:])
    >>> bool(score[seen[0]].mean() > score[~seen[0]].mean() + 1)
    True
    """
    return _taught(margin, ref_margin, ref_member, loss, ref_loss)


def learned_near(
    margin: Floats,
    ref_margin: Floats,
    ref_member: Bools,
    loss: Floats,
    ref_loss: Floats,
    features: Floats,
    label: Ints,
) -> Floats:
    """Score each record as `learned` does, with how far the records near it deviate as further clues.

    `features (records, columns)` and `label (records,)` say which records are near: of the same class, by two kernels
    on the distance. A model that treats a whole class, or a neighbourhood, more kindly than the references do moves
    all its margins, members' or not; that is noise, and seen on the neighbours it can be told from membership.

    >>> rng = np.random.default_rng(0)
    >>> seen, kind = rng.random((5, 300)) < 0.5, np.arange(300) % 3
    >>> m = 2 * seen + rng.normal(size=(5, 3))[:, kind] + rng.normal(size=seen.shape)
    >>> score = learned_near(m[0], m[1:], seen[1:], -m[0], -m[1:], np.zeros((300, 1)), kind)
    >>> bool(score[seen[0]].mean() > score[~seen[0]].mean() + 1)
    True
    """
    near = neighbourhoods(features, label) if len(ref_margin) >= FEWEST else None
    return _taught(margin, ref_margin, ref_member, loss, ref_loss, near)


def _taught(
    margin: Floats,
    ref_margin: Floats,
    ref_member: Bools,
    loss: Floats,
    ref_loss: Floats,
    near: Neighbourhoods | None = None,
) -> Floats:
    references = len(ref_margin)
    if references < FEWEST:
        return rank_combined(margin, ref_margin, ref_member, loss, ref_loss)
    taken = np.argsort(ref_margin.mean(axis=1))[np.linspace(0, references - 1, min(references, TAKEN)).astype(int)]
    thinned = -(-margin.size // DESCRIBED)
    few = _some(margin, one_in=thinned)
    rows = _some(margin[few], one_in=-(-taken.size * few.size // ROWS), after=thinned)
    lessons, priors = [], []
    for one in taken:
        seen = np.ix_(_others(references, one), few)
        clues, prior = _clues(
            ref_margin[one, few], ref_margin[seen], ref_member[seen], ref_loss[one, few], ref_loss[seen]
        )
        lessons.append(clues[rows])
        priors.append(prior)
    clues, _ = _clues(margin, ref_margin, ref_member, loss, ref_loss)
    if near is not None:
        of_lessons = [_deviation(one, ref_margin, ref_member, prior) for one, prior in zip(taken, priors, strict=True)]
        deviations = np.column_stack([*of_lessons, np.sinh(clues[:, DEVIATION])])
        more, of_target = _near(deviations, near, few[rows])
        lessons = [np.hstack(both) for both in zip(lessons, more, strict=True)]
        clues = np.hstack([clues, of_target])
    model = fit_logistic(np.concatenate(lessons), ref_member[np.ix_(taken, few[rows])].reshape(-1), BENT)
    return np.round(model.log_odds(clues), 9)  # equal records tie, whatever the order of sums


def _others(references: int, one: int) -> Ints:
    return np.delete(np.arange(references), one)


def _deviation(one: int, ref_margin: Floats, ref_member: Bools, priors: Priors) -> Floats:
    """Return how far reference `one` lies from what the others expect, on every record, a part of them at a time."""
    deviation, rest = np.empty(ref_margin.shape[1]), _others(len(ref_margin), one)
    for at in range(0, deviation.size, DESCRIBED):
        part = slice(at, at + DESCRIBED)
        around = sides(ref_margin[rest, part], ref_member[rest, part])
        deviation[part] = _placed(ref_margin[one, part], around, priors)[0]
    return deviation


def _near(deviations: Floats, near: Neighbourhoods, rows: Ints) -> tuple[Floats, Floats]:
    """Return the neighbours' mean deviation, of each lesson's `rows` and of all records of the target, the last column.

    `deviations (records, lessons + 1)`; returns `(lessons, rows, kinds)` and `(records, kinds)`. 0 where a record has
    no neighbours.
    """
    slot = np.full(len(deviations), -1)
    slot[rows] = np.arange(rows.size)
    of_lessons = np.zeros((deviations.shape[1] - 1, rows.size, KINDS))
    of_target = np.zeros((len(deviations), KINDS))
    for block, means in means_near(np.clip(deviations, -CLEAR, CLEAR), near):
        taught = slot[block] >= 0
        of_lessons[:, slot[block][taught]] = means[:, taught, :-1].transpose(2, 1, 0)
        of_target[block] = means[:, :, -1].T
    return of_lessons, of_target


def _some(margin: Floats, one_in: int, after: int = 1) -> Ints:
    """Return about one record in `one_in`, picked by the bits of its margin (SplitMix64), so not by row order.

    Of records that were picked as one in `after` before, so many again. All, where the bits do not tell records apart.
    """
    bits = (margin.astype(np.float64) + 0.0).view(np.uint64)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    picked = np.flatnonzero((bits >> np.uint64(11)) // np.uint64(after) % np.uint64(one_in) == 0)
    return picked if picked.size * one_in * 2 > margin.size else np.arange(margin.size)


def _clues(
    margin: Floats, ref_margin: Floats, ref_member: Bools, loss: Floats, ref_loss: Floats
) -> tuple[Floats, Priors]:
    """Return the clues `(records, clues)`, and the priors of the variances of both sides."""
    around = sides(ref_margin, ref_member)
    inside, outside = around
    priors = fit_prior(inside), fit_prior(outside)
    deviation, centre, v1, v0 = _placed(margin, around, priors)
    both = (inside.count > 0) & (outside.count > 0)
    gap = Trend(centre).ratio(np.where(both, inside.mean - outside.mean, 0.0), both.astype(np.float64))
    clues = [
        _drawn_in(moderated_t_trend(margin, ref_margin, ref_member)),
        _drawn_in(base(loss, ref_loss)),
        _drawn_in(moderated_t_gap(margin, ref_margin, ref_member)),
        np.arcsinh(deviation),
        centre,
        np.log(v0),
        np.log(v1 / v0),
        np.arcsinh(gap),
        np.arcsinh(margin),
    ]
    return np.column_stack(clues), priors


def _placed(margin: Floats, around: tuple[Side, Side], priors: Priors) -> tuple[Floats, Floats, Floats, Floats]:
    """Return how far `margin (records,)` lies from the centre, in standard deviations; the centre, both variances."""
    centre = centre_of(*around)
    v1, v0 = (moderated_variance(side, prior) for side, prior in zip(around, priors, strict=True))
    return (margin - centre) / np.sqrt((v1 + v0) / 2), centre, v1, v0


def _drawn_in(score: Floats) -> Floats:
    return np.sign(score) * np.log1p(np.abs(score))


LEARNED = Attack(
    score=learned,
    needs=(MARGIN, REF_MARGIN, REF_MEMBER, LOSS, REF_LOSS),
    row="S2",
    models=True,
    cites="references as targets: Shokri et al. 2017, arXiv:1610.05820 (shadow models); clues and model are ours",
)
LEARNED_NEAR = Attack(
    score=learned_near,
    needs=(MARGIN, REF_MARGIN, REF_MEMBER, LOSS, REF_LOSS, FEATURES, LABEL),
    row="S2",
    models=True,
    cites="references as targets: Shokri et al. 2017, arXiv:1610.05820 (shadow models); the neighbours' clue is ours",
)
