"""The words for states, and the numbers of a report as people read them."""

from collections.abc import Iterable

from unseen.estimate import Estimate
from unseen.report import FAILED, INCONCLUSIVE, LEAK, NO_LEAK_FOUND, NOT_APPLICABLE, Report

STATES = {
    LEAK: "LEAK FOUND",
    NO_LEAK_FOUND: "NO LEAK FOUND",
    INCONCLUSIVE: "INCONCLUSIVE",
    NOT_APPLICABLE: "NOT APPLICABLE",
    FAILED: "FAILED",
}
BRIEF = {
    LEAK: "leak",
    NO_LEAK_FOUND: "not found",
    INCONCLUSIVE: "inconclusive",
    NOT_APPLICABLE: "n/a",
    FAILED: "failed",
}


def percent(rate: float) -> str:
    """Return a rate in [0, 1] as a percentage with the digits it needs.

    >>> percent(0.001), percent(0.256), percent(1.0)
    ('0.1 %', '25.6 %', '100 %')
    """
    return f"{_hundredths(rate)} %"


def _hundredths(rate: float) -> str:
    digits = 0 if rate in {0.0, 1.0} else 1 if rate >= 0.01 else 2
    text = f"{100 * rate:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def between(one: Estimate) -> str:
    """Return an estimate as a percentage with its interval, in percent too."""
    return f"{percent(one.value)} [{_hundredths(one.low)}, {_hundredths(one.high)}]"


def plain(one: Estimate) -> str:
    """Return an estimate as a number with its interval."""
    return f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"


def find(
    estimates: Iterable[Estimate], quantity: str, fpr: float | None = None, prior: float | None = None
) -> Estimate | None:
    """Return the first estimate of a quantity at a rate and prior, or None."""
    for one in estimates:
        if (one.quantity, one.fpr, one.prior) == (quantity, fpr, prior):
            return one
    return None


def headline_fpr(report: Report) -> float | None:
    """Return the lowest rate at which the quoted attack calls somebody a member, or None."""
    known = estimates_of(report, quoted(report))
    rates = [one.fpr for one in known if one.quantity == "tpr" and one.fpr is not None and calls(one)]
    return min(rates, default=None)


def calls(one: Estimate) -> bool:
    """Say whether a threshold calls anybody a member; ties can leave it above everybody."""
    return one.counts["true_positives"] + one.counts["false_positives"] > 0


def quoted(report: Report) -> str:
    """Return the attack whose numbers the verdict gives: the recommended one, unless only others found the leak."""
    found = [one for one in report.attacks if one.state == LEAK]
    if not found or report.recommended in {one.name for one in found}:
        return report.recommended
    return min(found, key=lambda one: min(e.adjusted_p for e in one.estimates if e.adjusted_p is not None)).name


def estimates_of(report: Report, name: str) -> list[Estimate]:
    """Return the estimates of an attack; none where it was not measured."""
    return next((one.estimates for one in report.attacks if one.name == name), [])
