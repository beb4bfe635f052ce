"""Copies: records that stand more than once among members and non-members, found, left out and counted."""

import numpy as np

from unseen.signal import Array, Bools, Ints

SIDES = ("members", "non_members")


def crossing(cluster: Ints, side: Ints) -> Bools:
    """Say which records leave the trial because a copy stands on another side, `(records,)`.

    `side` is 0 for members, 1 for non-members, 2 for the population. Members and non-members that are each other's
    copies leave on both sides; a record of the population leaves where a member or non-member is its copy.
    """
    has = np.stack([np.bincount(cluster[side == number], minlength=cluster.max() + 1) > 0 for number in range(2)])
    both = (has[0] & has[1])[cluster]
    return both | ((side == 2) & (has[0] | has[1])[cluster])


def count_copies(digests: Array, cluster: Ints, side: Ints) -> dict[str, int]:
    """Return how many records there are a side, how many have a copy across the split, and how many repeat another.

    "exact" counts by content, "near" those that are copies by nearness alone; "within" counts each record of a side
    beyond the first of its kind, among those that stay.
    """
    exact = np.unique(digests, return_inverse=True)[1]
    counts = {name: int((side == number).sum()) for number, name in enumerate(SIDES)}
    across_exactly, across = crossing(exact, side), crossing(cluster, side)
    for number, name in enumerate(SIDES):
        own = side == number
        counts[f"exact_across_{name}"] = int((own & across_exactly).sum())
        counts[f"near_across_{name}"] = int((own & across & ~across_exactly).sum())
        stay = own & ~across
        same, near = (np.unique(key[stay]).size for key in (exact, cluster))
        counts[f"exact_within_{name}"] = int(stay.sum()) - same
        counts[f"near_within_{name}"] = same - near
    counts["population_copies"] = int((across & (side == 2)).sum())
    return counts
