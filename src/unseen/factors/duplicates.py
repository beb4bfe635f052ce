"""Duplicates: records that the model was shown more than once."""

from msgspec.structs import replace

from unseen.case import Case
from unseen.factor import Factor, Measurement, measured, unmeasured
from unseen.stats.share import share

BY_CHANCE = 0.002  # of records have a near copy by chance alone, at most


def duplicates(case: Case) -> Measurement:
    """Measure which share of the members repeats another member, to the last value or nearly.

    Each record beyond the first of its kind counts, among the members without a copy on the other side. Seen where the
    interval is above 0.2 %: strangers are that near by chance. If the members are a sample of the training set, it
    repeats itself more than they do.
    """
    if case.copies is None:
        return unmeasured("the features are not known, so copies cannot be looked for")
    c = case.copies
    whole = c["members"] - c["exact_across_members"] - c["near_across_members"]
    exact, near = c["exact_within_members"], c["near_within_members"]
    if whole <= 0:
        return unmeasured("every member has a copy on the other side")
    one = replace(
        share("duplicate_share", exact + near, whole),
        condition="records drawn alike and copies in pairs; larger families of copies vary more",
    )
    finding = (
        f"{100 * one.value:.3g} % [{100 * one.low:.3g}, {100 * one.high:.3g}] of the members repeat another "
        f"({exact} to the last value, {near} nearly)"
    )
    return measured(one.low > BY_CHANCE, finding, [one], {"exact": exact, "near": near})


DUPLICATES = Factor(
    measure=duplicates,
    row="F2",
    controls=("de-duplication", "differentially private training"),
    cites="Kandpal et al. 2022, arXiv:2202.06539 (repeated records are memorised more); bound heuristic",
)
