"""Alarm rate: how often honest clients are flagged, with bounds whose unit is the client, and not its day.

A client that is flagged today is likely to be flagged tomorrow: thirty days of it are hardly more evidence than one. So
a rate is the mean over clients of the share of a client's own days, and its bounds hold however these days depend on
each other, as long as clients are drawn one by one from those that will come.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
BLOCKS = 100  # one after another, so that thousands of clients need no gigabytes
DRAWS = 100_000  # of an integral that has no simple form: always the same ones, to about 1 % of a bound


@dataclass(frozen=True, slots=True)
class AlarmRate:
    """The share of its days on which a client is flagged, on average over clients that chose nothing.

    `flagged` of `client_days` and `flagged_clients` of `clients` were counted. `low` and `high` are the ends of a 95 %
    interval, `upper_bound` is one-sided, at 95 % too, and is what a target is judged by: see `client_interval`. All
    four of them and `value` are None where there are no clients.
    """

    profile: str
    clients: int
    client_days: int
    flagged_clients: int
    flagged: int
    target: float
    value: float | None = None
    low: float | None = None
    high: float | None = None
    upper_bound: float | None = None
    exact: bool = True

    @property
    def shown(self) -> bool:
        """Whether the rate is at most the target, at 95 % confidence, one-sided."""
        return self.upper_bound is not None and self.upper_bound <= self.target

    @property
    def sentence(self) -> str:
        """What was counted, and whether the counts can carry the target.

        >>> alarm_rate("what-if", [10] * 30, [0] * 30, 0.001).sentence  # doctest: +NORMALIZE_WHITESPACE
        "what-if: 0 of 300 client-days flagged, on 0 of 30 clients: 0 % of a client's days, at most 9.5 % at 95 %
        confidence, one-sided, over clients (exact, Clopper and Pearson); with 30 clients a rate of 0.1 % cannot be
        shown; 2,995 without an alarm would be needed, more days of the same clients do not help."
        """
        if self.value is None or self.upper_bound is None:
            return f"{self.profile}: undefined, because no client-days were held out."
        method = "exact, Clopper and Pearson" if self.exact else "Gaffke 2005"
        counted = (
            f"{self.profile}: {self.flagged:,} of {self.client_days:,} client-days flagged, on "
            f"{self.flagged_clients:,} of {self.clients:,} clients: {100 * self.value:.3g} % of a client's days, at "
            f"most {100 * self.upper_bound:.3g} % at 95 % confidence, one-sided, over clients ({method})"
        )
        aim = f"{100 * self.target:g} %"
        if self.shown:
            return f"{counted}; the target of {aim} holds."
        needed = clients_needed(self.target)
        if self.clients < needed:
            return (
                f"{counted}; with {self.clients:,} clients a rate of {aim} cannot be shown; {needed:,} without an "
                "alarm would be needed, more days of the same clients do not help."
            )
        return f"{counted}; a rate of at most {aim} was not shown."


def alarm_rate(profile: str, days: Sequence[int], flagged: Sequence[int], target: float) -> AlarmRate:
    """Return a rate with its bounds, undefined without clients; each entry of `days` and `flagged` is one client's."""
    if not all(0 <= count <= most and most for count, most in zip(flagged, days, strict=True)):
        raise ValueError("every client needs a day at least, and no more days flagged than it has.")
    rate = AlarmRate(profile, len(days), sum(days), sum(count > 0 for count in flagged), sum(flagged), target)
    if not days:
        return rate
    shares = np.asarray(flagged) / np.asarray(days)
    low, high = client_interval(shares)
    bound = mean_bound(shares, 1 - CONFIDENCE)
    exact = bool(np.isin(shares, (0, 1)).all())
    return replace(rate, value=float(shares.mean()), low=low, high=high, upper_bound=bound, exact=exact)


def clients_needed(target: float, confidence: float = CONFIDENCE) -> int:
    """Return how many clients without an alarm show a rate of at most `target`.

    >>> clients_needed(0.001)
    2995
    """
    return math.ceil(math.log1p(-confidence) / math.log1p(-target))


def client_interval(shares: NDArray[np.float64], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return a two-sided interval of the mean of what clients drawn at random have, each in [0, 1]; see `mean_bound`.

    >>> client_interval(np.zeros(30)) == clopper_pearson(0, 30)
    True
    """
    tail = (1 - confidence) / 2
    return 1 - mean_bound(1 - shares, tail) if shares.any() else 0.0, mean_bound(shares, tail)


def mean_bound(shares: NDArray[np.float64], tail: float) -> float:
    """Return an upper bound of the mean of independent variables in [0, 1], by Gaffke (2005).

    The shares and one more, at worst 1, are weighed by the spacings of as many uniform numbers; the bound is a quantile
    of that mean. Where all shares are 0 or 1 it is Clopper's and Pearson's over clients, and exact; where all are 0 it
    holds whatever shares there might have been, since they are no more than 1. Otherwise its coverage is conjectured,
    and was found to hold in every simulation, here and by Learned-Miller and Thomas (arXiv:1905.06208).

    >>> round(mean_bound(np.zeros(500), 0.05), 5), round(mean_bound(np.array([0.25] + [0.0] * 499), 0.05), 4)
    (0.00597, 0.0065)
    """
    values, counts = np.unique(shares, return_counts=True)
    if np.isin(values, (0, 1)).all():
        return _upper(int(shares.sum()), shares.size, tail)
    values, counts = np.append(values, 1.0), np.append(counts, 1)
    weights = np.column_stack([values, np.ones(values.size)])
    chance = np.random.default_rng(0)
    blocks = [chance.standard_gamma(counts, (DRAWS // BLOCKS, counts.size)) @ weights for _ in range(BLOCKS)]
    return float(np.quantile(np.concatenate([block[:, 0] / block[:, 1] for block in blocks]), 1 - tail))


def clopper_pearson(successes: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the exact binomial interval (Clopper and Pearson 1934), by bisection on the binomial's tails.

    >>> clopper_pearson(0, 300)
    (0.0, 0.01222097469429355)
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"successes must be in [0, trials] and trials positive, got {successes} of {trials}.")
    tail = (1 - confidence) / 2
    low = 1 - _upper(trials - successes, trials, tail) if successes else 0.0
    return low, _upper(successes, trials, tail)


def _upper(successes: int, trials: int, tail: float) -> float:
    """Return the p at which at most `successes` of `trials` has probability `tail`; 1 where all succeeded."""
    if successes == trials:
        return 1.0
    counts = np.arange(successes + 1)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])
    ways = factorials[trials] - factorials[counts] - factorials[trials - counts]
    low, high = 0.0, 1.0
    while (middle := (low + high) / 2) not in {low, high}:
        terms = ways + counts * math.log(middle) + (trials - counts) * math.log1p(-middle)
        low, high = (middle, high) if np.exp(terms).sum() > tail else (low, middle)
    return high
