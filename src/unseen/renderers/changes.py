"""What a policy changes, attack by attack: the numbers of both sides, the change, and what it took away altogether."""

from typing import NamedTuple

from unseen.comparison import Comparison
from unseen.estimate import Estimate
from unseen.renderers.words import at_rate, estimates_of, find, listed, plain
from unseen.report import FAILED, AttackResult, Report

LESS, SAME, MORE = "tells less", "no change seen", "tells more"
GROUPS = {
    LESS: "These tell less through the policy",
    SAME: "No change was seen in these",
    MORE: "These tell more through the policy",
}
LABEL_ONLY = {"labels", "queries around each record"}  # what no policy on outputs takes away


class Number(NamedTuple):
    """One number of an attack on both sides, as printed, and its change."""

    name: str
    direct: str
    through: str
    change: str


class Change(NamedTuple):
    """An attack that both sides measured: what became of its AUC, and all its numbers."""

    attack: str
    what: str
    label_only: bool
    areas: tuple[Estimate, Estimate]
    numbers: list[Number]


def changes(direct: Report, through: Report, comparison: Comparison) -> list[Change]:
    """Return the attacks that both sides measured, in the order of the report, each with what its AUC did."""
    found = []
    for one in direct.attacks:
        mine = [each for each in comparison.differences if each.attack == one.name]
        sides = [find(estimates_of(report, one.name), "auc") for report in (direct, through)]
        rise = next((each.rise for each in mine if each.quantity == "auc"), None)
        if rise is None or sides[0] is None or sides[1] is None:
            continue
        what = LESS if rise.high < 0 else MORE if rise.low > 0 else SAME
        numbers = [
            Number(
                at_rate(each.quantity, each.fpr),
                shown(direct, one.name, each.quantity, each.fpr),
                shown(through, one.name, each.quantity, each.fpr),
                plain(each.rise),
            )
            for each in mine
        ]
        found.append(Change(one.name, what, sees_labels_only(one), (sides[0], sides[1]), numbers))
    return found


def shown(report: Report, attack: str, quantity: str, fpr: float | None) -> str:
    """Return one number of an attack with its interval, or nothing where it was not measured."""
    one = find(estimates_of(report, attack), quantity, fpr)
    return "" if one is None else plain(one)


def sees_labels_only(one: AttackResult) -> bool:
    """Say whether an attack reads nothing but predicted labels, which no policy on outputs takes away."""
    return bool(one.access) and set(one.access) <= LABEL_ONLY


def lost(direct: Report, through: Report) -> list[AttackResult]:
    """Return the attacks that were measured directly and cannot run through the policy, with the reason there."""
    return [one for one in without_numbers(direct, through) if one.state != FAILED]


def without_numbers(direct: Report, through: Report) -> list[AttackResult]:
    """Return the attacks that were measured directly and not through the policy, be it that they failed there."""
    return [one for one in through.attacks if not one.estimates and estimates_of(direct, one.name)]


def told(direct: Report, through: Report, comparison: Comparison) -> str:
    """Return what the policy changes, in a sentence or two."""
    measured, gone = changes(direct, through, comparison), len(lost(direct, through))
    failed = len(without_numbers(direct, through)) - gone
    if not measured and not gone and not failed:
        return "Nothing could be compared: no attack was measured on both sides."
    counts = {what: sum(one.what == what for one in measured) for what in GROUPS}
    said = [f"{counts[LESS]} tell members from others less well through the policy"] if counts[LESS] else []
    said += [f"for {counts[SAME]} no change was seen"] if counts[SAME] else []
    said += [f"{counts[MORE]} tell them better"] if counts[MORE] else []
    ran = [f"{len(measured)} attacks ran on both sides: {listed(said)}."] if measured else []
    ran += [f"{gone} that ran directly cannot run through the policy."] if gone else []
    ran += [f"{failed} that ran directly failed through the policy, which says nothing of it."] if failed else []
    return " ".join(ran)


def taken_away(one: AttackResult) -> str:
    """Return why an attack is no more possible."""
    return one.reason or one.state
