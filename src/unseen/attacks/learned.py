"""Learned: each reference in turn is taken for the target, its members known; what tells them is used on the target."""

import numpy as np

from unseen.attack import Attack
from unseen.attacks.base import base
from unseen.attacks.moderated_t_gap import moderated_t_gap
from unseen.attacks.moderated_t_trend import moderated_t_trend
from unseen.moments.gap import Trend, centre_of
from unseen.moments.logistic import fit_logistic
from unseen.moments.near import Block, blocks, means_near
from unseen.moments.prior import fit_prior, moderated_variance
from unseen.moments.sides import sides
from unseen.signal import Bools, Floats, Ints
from unseen.signals import FEATURES, LABEL, LOSS, MARGIN, REF_LOSS, REF_MARGIN, REF_MEMBER

FEWEST = 4  # references: one is the target, and three say what to expect of it
TAKEN = 16  # references that are taken for a target, at most
ROWS = 100_000  # records of all of them that are learned from, about
CLEAR = 4.0  # a deviation counts as no more than so many standard deviations to its neighbours
BENT = (0, 1, 3)  # the trended t, BASE and the deviation


def learned(margin: Floats, ref_margin: Floats, ref_member: Bools, loss: Floats, ref_loss: Floats) -> Floats:
    """Score each record by its log odds of membership under a logistic model that the references taught.

    `margin`, `loss (records,)`; `ref_margin`, `ref_loss`, `ref_member (references, records)`. Each reference in turn
    is a target whose members are known, described by the others; the real target is described by all. The clues are
    the trended t, BASE, the shrunk gap's t, centre, deviation from it, spread and expected gap, with their products.
    How many references had a record is no clue. References must be drawn by independent coins. Under four, the score
    is that of `moderated_t_trend`.

    >>> rng = np.random.default_rng(0)
    >>> seen = rng.random((5, 300)) < 0.5
    >>> m = 2 * seen + rng.normal(size=seen.shape)
    >>> score = learned(m[0], m[1:], seen[1:], -m[0], -m[1:])
    >>> bool(score[seen[0]].mean() > score[~seen[0]].mean() + 1)
    True
    """
    return _taught(margin, ref_margin, ref_member, loss, ref_loss, [])


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
    near = blocks(features, label) if len(ref_margin) >= FEWEST else []
    return _taught(margin, ref_margin, ref_member, loss, ref_loss, near)


def _taught(
    margin: Floats, ref_margin: Floats, ref_member: Bools, loss: Floats, ref_loss: Floats, near: list[Block]
) -> Floats:
    references = len(ref_margin)
    if references < FEWEST:
        return moderated_t_trend(margin, ref_margin, ref_member)
    taken = np.argsort(ref_margin.mean(axis=1))[np.linspace(0, references - 1, min(references, TAKEN)).astype(int)]
    rows = _some(margin, -(-taken.size * margin.size // ROWS))
    lessons = []
    for one in taken:
        rest = np.arange(references) != one
        clues = _clues(ref_margin[one], ref_margin[rest], ref_member[rest], ref_loss[one], ref_loss[rest], near)
        lessons.append(clues[rows])
    model = fit_logistic(np.concatenate(lessons), ref_member[np.ix_(taken, rows)].reshape(-1), BENT)
    odds = model.log_odds(_clues(margin, ref_margin, ref_member, loss, ref_loss, near))
    return np.round(odds, 9)  # equal records tie, whatever the order of sums


def _some(margin: Floats, one_in: int) -> Ints:
    """Return about one record in `one_in`, picked by the bits of its margin (SplitMix64), so not by row order."""
    bits = (margin.astype(np.float64) + 0.0).view(np.uint64)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    picked = np.flatnonzero((bits >> np.uint64(11)) % np.uint64(one_in) == 0)
    return picked if picked.size * one_in * 2 > margin.size else np.arange(margin.size)


def _clues(
    margin: Floats, ref_margin: Floats, ref_member: Bools, loss: Floats, ref_loss: Floats, near: list[Block]
) -> Floats:
    inside, outside = sides(ref_margin, ref_member)
    centre = centre_of(inside, outside)
    v1, v0 = (moderated_variance(side, fit_prior(side)) for side in (inside, outside))
    deviation = (margin - centre) / np.sqrt((v1 + v0) / 2)
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
    others = [means_near(np.clip(deviation, -CLEAR, CLEAR), near)] if near else []
    return np.column_stack([*clues, *others])


def _drawn_in(score: Floats) -> Floats:
    return np.sign(score) * np.log1p(np.abs(score))


LEARNED = Attack(
    score=learned,
    needs=(MARGIN, REF_MARGIN, REF_MEMBER, LOSS, REF_LOSS),
    row="S2",
    cites="references as targets: Shokri et al. 2017, arXiv:1610.05820 (shadow models); clues and model are ours",
)
LEARNED_NEAR = Attack(
    score=learned_near,
    needs=(MARGIN, REF_MARGIN, REF_MEMBER, LOSS, REF_LOSS, FEATURES, LABEL),
    row="S2",
    cites="references as targets: Shokri et al. 2017, arXiv:1610.05820 (shadow models); the neighbours' clue is ours",
)
