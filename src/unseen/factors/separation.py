"""Separation: records that stand on both sides of the split."""

from msgspec.structs import replace

from unseen.case import Case
from unseen.factor import Factor, Measurement, measured, unmeasured
from unseen.stats.share import share

BY_CHANCE = 0.002  # of records have a near copy by chance alone, at most


def separation(case: Case) -> Measurement:
    """Measure which share of the non-members has a copy among the members, to the last value or nearly.

    Such records were evaluated on after training on their copies. Seen where the interval is above 0.2 %: strangers are
    that near by chance. The audit leaves them out on both sides.
    """
    if case.copies is None:
        return unmeasured("the features are not known, so copies across the split cannot be looked for")
    exact, near = case.copies["exact_across_non_members"], case.copies["near_across_non_members"]
    one = replace(
        share("copies_across_share", exact + near, case.copies["non_members"]),
        condition="non-members drawn alike, one by one",
    )
    finding = (
        f"{100 * one.value:.3g} % [{100 * one.low:.3g}, {100 * one.high:.3g}] of the non-members have a copy among the "
        f"members ({exact} to the last value, {near} nearly)"
    )
    return measured(one.low > BY_CHANCE, finding, [one], {"exact": exact, "near": near})


SEPARATION = Factor(
    measure=separation,
    row="F3",
    controls=("de-duplication", "split by person", "separate evaluation data"),
    cites="Barz and Denzler 2020, arXiv:1902.00423 (copies across the split of published test sets); bound heuristic",
)
