"""When an audit looks at its references while it gathers them, and what error each look may spend."""

from collections.abc import Sequence

FIRST_LOOK = 4  # references; fewer say too little of the spread on either side to be worth a share of the error
WORTH_LOOKING = 0.75  # of all references, above which stopping saves too few to pay for a look
BEFORE_THE_LAST = 0.2  # of the error, for all looks before the last together


def looks(most: int) -> tuple[int, ...]:
    """Return the numbers of references at which to look, ascending and ending at `most`: 4, 8, 16, ... and `most`.

    The schedule depends on `most` alone, never on machines or scores, so that an audit repeats itself.

    >>> looks(64), looks(17), looks(5)
    ((4, 8, 16, 32, 64), (4, 8, 17), (5,))
    """
    if most < 0:
        raise ValueError(f"most must be 0 or more, got {most}.")
    early, count = [], FIRST_LOOK
    while count <= WORTH_LOOKING * most:
        early.append(count)
        count *= 2
    return (*early, most)


def spending(schedule: Sequence[int], alpha: float = 0.05) -> tuple[float, ...]:
    """Return the error that each look of `schedule` may spend, `(looks,)`; together they are at most `alpha`.

    A fifth goes to all looks before the last, in equal parts; the last keeps the rest, so that an audit that never
    stops early is judged at 4 % instead of 5 %. What that costs: the smallest AUC that the rank test would find is
    1.5 % further from 1/2 with a hundred tests in the family, 4.3 % with one (`stats.power.detectable_auc`).

    The errors are simply added (Bonferroni over looks; error spending after Lan and DeMets 1983, Biometrika 70:659,
    without their use of the joint law). The looks share all their records, and how one score depends on the next is
    unknown, so nothing less holds for any dependence. A test martingale (Ramdas et al. 2023, arXiv:2210.01948) would
    need fresh evidence at every step, and another reference brings no new record. An e-value e made of a p-value p
    (Vovk and Wang 2021, arXiv:1912.06116) is below 1 / p, so with the same weights it finds less at every look; it
    would pay for schedules without an end, and this one has five looks for sixty-four references.

    >>> [round(level, 4) for level in spending((4, 8, 16))]
    [0.005, 0.005, 0.04]
    >>> spending((5,))
    (0.05,)
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be in (0, 1), got {alpha}.")
    if not schedule:
        raise ValueError("a schedule needs one look or more.")
    early = len(schedule) - 1
    if early == 0:
        return (alpha,)
    each = BEFORE_THE_LAST * alpha / early
    return (*[each] * early, alpha - each * early)
