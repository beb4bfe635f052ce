"""A logistic model on clues, their products and bends: convex, so one answer, whatever the order of rows."""

from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit, log_expit

from unseen.signal import Bools, Floats

REACH = 6.0  # clues are cut at so many standard deviations
BENDS = (-1.0, 0.0, 1.0, 2.0)
RIDGE = 1.0
STEPS = 30
CHUNK = 50_000  # records whose terms, about a hundred each, are held at once


@dataclass(frozen=True)
class Logistic:
    """Weights `(terms,)` of expanded clues, and the clues' `centre` and `scale (clues,)`; `bent` ones have bends."""

    centre: Floats = field(repr=False)
    scale: Floats = field(repr=False)
    bent: tuple[int, ...]
    weight: Floats = field(repr=False)

    def log_odds(self, clues: Floats) -> Floats:
        """Return the log odds of membership of `clues (records, clues)`, `(records,)`."""
        starts = range(0, len(clues), CHUNK)
        parts = [_expanded(clues[at : at + CHUNK], self.centre, self.scale, self.bent) @ self.weight for at in starts]
        return np.concatenate(parts) if parts else np.zeros(0)


def fit_logistic(clues: Floats, member: Bools, bent: tuple[int, ...]) -> Logistic:
    """Return the ridge-penalised fit of `member (rows,)` on `clues (rows, clues)`, by Newton's method with halving.

    Terms: 1, every clue, every product of two, and for the `bent` ones hinges at -1, 0, 1 and 2 standard deviations.
    """
    centre, spread = clues.mean(axis=0), clues.std(axis=0)
    scale = np.maximum(spread, 1e-6 * (1 + np.abs(centre)))
    terms = _expanded(clues, centre, scale, bent)
    truth = member.astype(np.float64)
    weight, odds, weighted = np.zeros(terms.shape[1]), np.zeros(len(terms)), np.empty_like(terms)
    best = _cost(odds, truth, weight)
    for _ in range(STEPS):
        chance = expit(odds)
        slope = (truth - chance) @ terms - RIDGE * weight
        np.multiply(terms, np.sqrt(chance * (1 - chance))[:, None], out=weighted)
        bend = weighted.T @ weighted  # one array twice: half the products
        bend[np.diag_indices_from(bend)] += RIDGE
        step = np.linalg.solve(bend, slope)
        along = terms @ step
        cost = _cost(odds + along, truth, weight + step)
        while cost > best and np.abs(step).max() > 1e-10:
            step, along = step / 2, along / 2
            cost = _cost(odds + along, truth, weight + step)
        weight, best = weight + step, cost
        odds = terms @ weight
        if np.abs(step).max() < 1e-9:
            break
    return Logistic(centre, scale, bent, weight)


def _expanded(clues: Floats, centre: Floats, scale: Floats, bent: tuple[int, ...]) -> Floats:
    z = np.clip((clues - centre) / scale, -REACH, REACH)
    first, second = np.triu_indices(z.shape[1])
    bends = [np.maximum(z[:, [one]] - np.array(BENDS), 0.0) for one in bent]
    return np.column_stack([np.ones(len(z)), z, z[:, first] * z[:, second], *bends])


def _cost(odds: Floats, truth: Floats, weight: Floats) -> float:
    return float(RIDGE * weight @ weight / 2 - (truth * odds + log_expit(-odds)).sum())
