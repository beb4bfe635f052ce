"""The verdict in sentences: what was asked, what was found, how sure that is, and what to do next."""

from unseen.renderers.words import STATES, between, estimates_of, find, headline_fpr, percent, plain, quoted
from unseen.report import INCONCLUSIVE, LEAK, NO_LEAK_FOUND, Report

REMEDIES = (
    "Try what lowers it: regularisation, fewer epochs or shallower trees, less detailed answers, more data, "
    "differential privacy; then audit again."
)
NEXT = {
    LEAK: ("See which records are exposed in records.parquet, and the slices for which groups.", REMEDIES),
    NO_LEAK_FOUND: (
        "Read the smallest leak that would have been found; to rule out a smaller one, audit more records.",
    ),
    INCONCLUSIVE: ("Remove the reason above, most often too few records or a failed step, and audit again.",),
}


def sentences(report: Report) -> list[str]:
    """Return the verdict's sentences, first the state."""
    lines = [f"{title(report)}: {claim(report)}"]
    lines += [f"Because: {reason}" for reason in report.reasons]
    lines += numbers(report)
    return lines


def title(report: Report) -> str:
    """Return the state in capitals; with a policy, what it decided: within it a model may still leak."""
    if report.limits and report.state in {LEAK, NO_LEAK_FOUND}:
        return "OVER POLICY" if report.state == LEAK else "WITHIN POLICY"
    return STATES[report.state]


def claim(report: Report) -> str:
    """Return what the state says, in one sentence."""
    if report.state == LEAK and report.limits:
        return "an attacker learns more about who was in the training data than the policy allows."
    if report.state == LEAK:
        return "an attacker who questions this model can tell members of its training data from others."
    if report.state == NO_LEAK_FOUND and report.limits:
        return "every limit of the policy holds for the attacks that were run."
    if report.state == NO_LEAK_FOUND:
        return "none of the attacks told members from others. That is not proof that nothing leaks."
    return "this audit could not settle the question, and does not pass."


def numbers(report: Report) -> list[str]:
    """Return the numbers that matter, each with its interval, from the attack that `quoted` names."""
    name, fpr = quoted(report), headline_fpr(report)
    known = estimates_of(report, name)
    area, rate = find(known, "auc"), find(known, "tpr", fpr)
    prior = report.context.prior or 0.01
    value = find(known, "ppv", fpr, prior)
    lines = []
    if area is not None:
        which = "recommended attack" if name == report.recommended else "attack that found most"
        lines.append(f"AUC of the {which} ({name}): {plain(area)}; 0.5 is a coin toss.")
    if rate is not None and fpr is not None:
        lines.append(
            f"Calling {percent(fpr)} of non-members members by mistake, it recognises {between(rate)} of the members "
            f"({rate.counts['true_positives']} of {rate.counts['members']} {report.unit}s)."
        )
    if value is not None:
        lines.append(
            f"If {percent(prior)} of those asked about are members, whoever it points to is one with probability "
            f"{between(value)}."
        )
    above = [one.name for one in report.attacks if one.state == LEAK]
    if report.limits and above:
        lines.append(f"{len(above)} of the attacks are above chance; how far, the policy decides.")
    if not above and area is not None and area.detectable is not None:
        lines.append(f"A leak with an AUC of {area.detectable:.3f} or more would have been found 4 times of 5.")
        if rate is not None and rate.detectable is not None and fpr is not None:
            lines.append(
                f"So would one that recognises {percent(rate.detectable)} of members at the threshold for that rate."
            )
    return lines
