"""Duplicates: does the same record stand on both sides?"""

from unseen.case import Case
from unseen.gate import Finding, Gate, broken, held, not_applicable

MOST_LEFT_OUT = 0.1  # of a side, before what is left is another sample than the one handed in


def duplicates(case: Case) -> Finding:
    """Few records have a copy, exact or near, on the other side; those left the trial on both sides.

    A non-member whose copy was trained on is a member in all but name, and blurs every figure. Copies within a side
    are one unit, so that nothing is counted twice.
    """
    counts = case.copies
    if counts is None:
        return not_applicable("no features were given, so copies cannot be looked for")
    sides = ("members", "non_members")
    shares = [(counts[f"exact_across_{side}"] + counts[f"near_across_{side}"]) / counts[side] for side in sides]
    words = (
        f"{counts['exact_across_members']} exact and {counts['near_across_members']} near copies among "
        f"{counts['members']} members, {counts['exact_across_non_members']} and {counts['near_across_non_members']} "
        f"among {counts['non_members']} non-members, stand on both sides and left the trial; within the sides "
        f"{counts['exact_within_members'] + counts['near_within_members']} members and "
        f"{counts['exact_within_non_members'] + counts['near_within_non_members']} non-members repeat another"
    )
    return (broken if max(shares) > MOST_LEFT_OUT else held)(words, counts=counts)


DUPLICATES = Gate(
    check=duplicates,
    advice="Remove copies before splitting, or keep all copies of a record on one side (a group column does that), "
    "and train and audit again.",
    cites="Broder 1997 (MinHash); quantised random projections as in Datar et al. 2004",
)
