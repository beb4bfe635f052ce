"""How many members exceed a non-member order statistic when nothing leaks: exact, for any score."""

from functools import lru_cache

from scipy.stats import betabinom


def exceedance_p_value(above: int, members: int, allowed: int, non_members: int) -> float:
    """Return P[at least `above` of `members` lie above the (allowed + 1)-th largest of `non_members`] if none leaks.

    When members and non-members are exchangeable, that count is beta-binomial(members, allowed + 1,
    non_members - allowed), whatever the distribution of the score (Wilks 1942; the count of exceedances). Counting
    strictly above a tied threshold can only lower the count, so ties keep the test valid.

    >>> round(exceedance_p_value(5, 10, 0, 10), 4)
    0.0163
    """
    return float(betabinom.sf(above - 1, members, allowed + 1, non_members - allowed))


@lru_cache(maxsize=4096)
def critical_count(members: int, allowed: int, non_members: int, level: float) -> int:
    """Return the smallest count whose exceedance p-value is at most `level`; `members + 1` where there is none."""
    low, high = 0, members + 1
    while low < high:
        middle = (low + high) // 2
        if exceedance_p_value(middle, members, allowed, non_members) <= level:
            high = middle
        else:
            low = middle + 1
    return low
