"""The words for states, and the numbers of a report as people read them."""

import re
from collections.abc import Iterable, Sequence

from unseen.estimate import Estimate
from unseen.report import (
    BROKEN,
    DECLARED,
    FAILED,
    HELD,
    INCONCLUSIVE,
    LEAK,
    NO_LEAK_FOUND,
    NOT_APPLICABLE,
    NOT_SEEN,
    PRESENT,
    Report,
    SliceResult,
)

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
    HELD: "holds",
    BROKEN: "broken",
    PRESENT: "present",
    NOT_SEEN: "not seen",
    DECLARED: "declared",
}
RATES = {"tpr", "ppv"}  # quantities that people read in percent
QUANTITIES = {"auc": "AUC", "tpr": "TPR", "ppv": "PPV"}
# What no XML document may hold (XML 1.0, section 2.2), what moves a terminal's cursor, and what turns the reading
# direction: a name made of these could forge a line of a report.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def clean(text: str) -> str:
    r"""Return `text` on one line with white space as spaces and other control characters as U+FFFD.

    >>> clean("two\n lines" + chr(27))
    'two lines\ufffd'
    """
    return UNPRINTABLE.sub("\ufffd", re.sub(r"[ \t\r\n]+", " ", text))


def short(text: str, most: int) -> str:
    """Return `text` cut to `most` characters, with an ellipsis where something was cut.

    >>> short("lira-online-shared", 8)
    'lira-on…'
    """
    text = clean(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def listed(names: Sequence[str]) -> str:
    """Return names as people list them.

    >>> listed(["labels", "decision scores", "probabilities"])
    'labels, decision scores and probabilities'
    """
    *first, last = names or [""]
    return f"{', '.join(first)} and {last}" if first else last


def sentence(text: str) -> str:
    """Return `text` with a capital and a full stop, on one line.

    >>> sentence("no record repeats another")
    'No record repeats another.'
    """
    text = clean(text).strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"


def percent(rate: float) -> str:
    """Return a rate in [0, 1] as a percentage with the digits it needs.

    >>> percent(0.001), percent(0.256), percent(1.0), percent(1e-5)
    ('0.1 %', '25.6 %', '100 %', '0.001 %')
    """
    return f"{_hundredths(rate)} %"


def _hundredths(rate: float) -> str:
    if 0 < rate < 1e-4:
        return f"{100 * rate:.1g}"
    digits = 0 if rate in {0.0, 1.0} else 1 if rate >= 0.01 else 2
    text = f"{100 * rate:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def between(one: Estimate) -> str:
    """Return an estimate as a percentage with its interval, in percent too."""
    return f"{percent(one.value)} [{_hundredths(one.low)}, {_hundredths(one.high)}]"


def plain(one: Estimate) -> str:
    """Return an estimate as a number with its interval."""
    return f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"


def number(value: float) -> str:
    """Return a number with three digits that matter, or all of a large one's before the point.

    >>> number(0.8271), number(12.34), number(0.0), number(3.2e-7), number(2500.0)
    ('0.827', '12.3', '0', '3.2e-07', '2,500')
    """
    if 1_000 <= abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:.3f}" if 0.001 <= abs(value) < 1 else f"{value:.3g}"


def chance(value: float | None) -> str:
    """Return a p-value with two digits, or nothing where there is none."""
    return "" if value is None else "< 1e-99" if value < 1e-99 else f"{value:.2g}"


def told(one: Estimate) -> str:
    """Return any estimate in full: what, where, value, interval, confidence."""
    at = f" at FPR {percent(one.fpr)}" if one.fpr is not None else ""
    prior = f" and prior {percent(one.prior)}" if one.prior is not None else ""
    value = f"{number(one.value)} [{number(one.low)}, {number(one.high)}]"
    value = between(one) if one.quantity in RATES else value
    of = f" ({one.attack})" if one.attack else ""
    return f"{quantity(one)}{of}{at}{prior}: {value} at {percent(one.confidence)}"


def quantity(one: Estimate) -> str:
    """Return what an estimate is of, as people write it: `auc_difference` is "AUC difference"."""
    return " ".join(QUANTITIES.get(word, word) for word in one.quantity.replace("_", " ").split(" "))


def at_rate(name: str, fpr: float | None) -> str:
    """Return a quantity and the false-positive rate it is at, if any.

    >>> at_rate("tpr", 0.001), at_rate("auc", None)
    ('TPR at FPR 0.1 %', 'AUC')
    """
    return name.upper() if fpr is None else f"{name.upper()} at FPR {percent(fpr)}"


def counted(counts: dict[str, int]) -> str:
    """Return counts with their names, in words.

    >>> counted({"members": 5000, "non_members": 10000})
    '5,000 members, 10,000 non-members'
    """
    return ", ".join(f"{count:,} {name.replace('non_', 'non-').replace('_', ' ')}" for name, count in counts.items())


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
    return one.counts.get("true_positives", 0) + one.counts.get("false_positives", 0) > 0


def quoted(report: Report) -> str:
    """Return the attack whose numbers the verdict gives: the recommended one, unless only others found the leak."""
    found = [one for one in report.attacks if one.state == LEAK]
    if not found or report.recommended in {one.name for one in found}:
        return report.recommended
    return min(found, key=lambda one: min(e.adjusted_p for e in one.estimates if e.adjusted_p is not None)).name


def estimates_of(report: Report, name: str) -> list[Estimate]:
    """Return the estimates of an attack; none where it was not measured."""
    return next((one.estimates for one in report.attacks if one.name == name), [])


def sensitive_cells(report: Report) -> list[SliceResult]:
    """Return the slices by a declared sensitive column: what signal row S5 is read off."""
    return [one for one in report.slices if one.by in report.context.sensitive]
