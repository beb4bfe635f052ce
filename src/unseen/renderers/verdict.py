"""The verdict in sentences: what was asked, what was found, and how sure that is."""

from typing import Any, NamedTuple

from unseen.estimate import Estimate
from unseen.renderers.steps import broken_gates
from unseen.renderers.words import (
    STATES,
    between,
    clean,
    estimates_of,
    find,
    headline_fpr,
    listed,
    number,
    percent,
    plain,
    quoted,
)
from unseen.report import LEAK, NO_LEAK_FOUND, Report

USUAL_PRIOR = 0.01  # of the PPV that is quoted where the context declares none


class Figure(NamedTuple):
    """One of the numbers that matter: what it is, its value and interval as printed, and what it means."""

    name: str
    value: str
    interval: str
    meaning: str


def sentences(report: Report) -> list[str]:
    """Return the verdict's sentences, first the state."""
    lines = [f"{title(report)}: {claim(report)}", *filter(None, [through_policy(report)])]
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
        above = sum(one.state == LEAK for one in report.attacks)
        told = f" {above} of them are above chance; how far, the policy allows." if above else ""
        return f"every limit of the policy holds for the attacks that were run.{told}"
    if report.state == NO_LEAK_FOUND:
        return "none of the attacks told members from others. That is not proof that nothing leaks."
    return "this audit could not settle the question, and does not pass."


def asked(report: Report) -> str:
    """Return the question that was put to the model, and to how much of it."""
    access = listed([clean(one) for one in report.target.access]) or "the answers"
    units = f"{report.unit}s"
    return (
        f"Can somebody who may see {access} of this {clean(report.target.kind)} tell which {units} it was trained on? "
        f"Asked of {report.members:,} members and {report.non_members:,} non-members ({units}), with "
        f"{ran(report)}, {used(report)} and {report.target.queries:,} queries."
    )


def ran(report: Report) -> str:
    """Return how many of the attacks ran."""
    found, of = sum(bool(one.estimates) for one in report.attacks), len(report.attacks)
    return f"{of} {'attack' if of == 1 else 'attacks'}" if found == of else f"{found} of {of} attacks"


def used(report: Report) -> str:
    """Return how many references there were."""
    asked = report.references.asked
    return f"{report.references.finished} of {asked} references" if asked else "no references"


def through_policy(report: Report) -> str:
    """Return that a deployed policy stood in front of the model, and what is known of it; else nothing."""
    target = report.provenance.plan.get("target")
    if not isinstance(target, dict) or not target.get("behind_policy"):
        return ""
    named = [_control(one) for one in target.get("controls") or () if isinstance(one, dict)]
    known = f"the plan names as its controls {listed(named)}" if named else "the plan names none of its controls"
    if report.references.asked:
        known += ", and references answered through them" if named else ", so references answered without any"
    return f"Asked through a deployed policy: {known}."


def _control(declared: dict[str, Any]) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in declared.items() if name != "name")
    return clean(f"{declared.get('name', 'one without a name')}{settings and f' ({settings})'}")


def figures(report: Report) -> list[Figure]:
    """Return up to three numbers that matter, of the attack that `quoted` names; none where nothing was measured."""
    name, fpr, prior = quoted(report), headline_fpr(report), report.context.prior or USUAL_PRIOR
    known = estimates_of(report, name)
    area, rate, value = find(known, "auc"), find(known, "tpr", fpr), find(known, "ppv", fpr, prior)
    given = []
    if area is not None:
        meaning = f"how well the attack {name} tells members from others: 0.5 is a coin toss, 1 is every time"
        given.append(Figure("AUC", number(area.value), _interval(area), meaning))
    if rate is not None and fpr is not None:
        meaning = f"of the members recognised, while {percent(fpr)} of non-members are called members by mistake"
        given.append(Figure("TPR", percent(rate.value), _interval(rate, rates=True), meaning))
    found = any(one.state == LEAK for one in report.attacks)
    if report.state == NO_LEAK_FOUND and not found and area is not None and area.detectable is not None:
        meaning = "the smallest AUC that this audit would have found, 4 times of 5"
        given.append(Figure("Detectable", number(area.detectable), "", meaning))
    elif value is not None:
        meaning = f"of those it points to are members, if {percent(prior)} of the people asked about are"
        given.append(Figure("PPV", percent(value.value), _interval(value, rates=True), meaning))
    return given


def _interval(one: Estimate, *, rates: bool = False) -> str:
    low, high = (percent(one.low), percent(one.high)) if rates else (number(one.low), number(one.high))
    return f"{low} to {high}"


def no_protection(report: Report) -> str:
    """Return that taking identifiers out does not hide who was a member, with what was measured; else nothing.

    Said where the owner declares that identifiers were removed, or where no column looks like one.
    """
    seen = any(one.kind == "identifier" for one in report.sensitive)
    declared = report.context.identifiers_removed
    if seen and not declared:
        return ""
    removed = "Direct identifiers were removed" if declared else "No column looks like a direct identifier"
    name, fpr = quoted(report), headline_fpr(report)
    known = estimates_of(report, name)
    area, rate = find(known, "auc"), find(known, "tpr", fpr)
    said = f"{removed}, and that does not protect membership: attacks never use identifiers."
    if area is None or broken_gates(report):
        return f"{said} How far it goes here could not be measured."
    if rate is None or fpr is None:
        return f"{said} Without any, {name} reached an AUC of {plain(area)}."
    return (
        f"{said} Without any, {name} recognised {between(rate)} of the members at a false-positive rate of "
        f"{percent(fpr)} (AUC {plain(area)})."
    )


def numbers(report: Report) -> list[str]:
    """Return the numbers that matter, each with its interval, from the attack that `quoted` names."""
    name, fpr = quoted(report), headline_fpr(report)
    known = estimates_of(report, name)
    area, rate = find(known, "auc"), find(known, "tpr", fpr)
    prior = report.context.prior or USUAL_PRIOR
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
    if report.limits and above and report.state != NO_LEAK_FOUND:
        lines.append(f"{len(above)} of the attacks are above chance; how far, the policy decides.")
    larger = [(found, one.name) for one in report.attacks if (found := find(one.estimates, "auc")) is not None]
    if area is not None and larger:
        most, other = max(larger, key=lambda pair: pair[0].low)
        if most.low > area.high:
            lines.append(f"The largest AUC of all attacks is that of {other}: {plain(most)}.")
    if broken_gates(report):
        return ["What follows was measured, and is not to be believed while a gate is broken.", *lines] if lines else []
    if not above and area is not None and area.detectable is not None:
        lines.append(f"A leak with an AUC of {area.detectable:.3f} or more would have been found 4 times of 5.")
        if rate is not None and rate.detectable is not None and fpr is not None:
            lines.append(
                f"So would one that recognises {percent(rate.detectable)} of members at the threshold for that rate."
            )
    return lines
