"""Explaining: what a policy means, in plain words: who gets what, what is kept, and what is not stopped."""

from collections.abc import Iterator, Sequence

from unseen.guard.checking import closed, findings, hardenings
from unseen.guard.policy import AT_ONCE, Actions, Budget, Policy, Route, Tier, rate_of

NOT_STOPPED = """\
An attack that needs one query for each person, and the label alone (OSLO, YOQO): no rate, budget per record, control \
or detector here sees it. A budget slows it to that many people.
Many accounts: every limit of a key or a tenant holds for that key or tenant. Budgets of everybody together hold for \
all; who gets a key is decided outside.
What the answers themselves give away: a control reduces it, and only an audit through this policy says how far \
(unseen audit --through). An overfitted model stays overfitted: regularise it, or train with differential privacy.
Whoever reaches the model's server past the guard, its weights, or this machine.
Noticing is late by design: what was asked before a step is taken has been answered.
""".splitlines()


def explain(policy: Policy) -> str:
    """Return the policy in words, with everything that may be said against it.

    >>> from unseen.guard.policy import policy_from
    >>> print(explain(policy_from({"upstream": {"url": "http://127.0.0.1:5001"}, "routes": [{"protocol": "mlflow"}],
    ...     "tiers": {"basic": {"budget": {"per_day": 500}, "controls": [{"name": "label-only"}]}}})).splitlines()[4])
    A key of tier basic
    """
    return "\n".join(_lines(policy)) + "\n"


def _lines(policy: Policy) -> Iterator[str]:
    server = policy.guard
    word = (
        "enforces this policy" if server.mode == "enforce" else "writes down what this policy would do, and does none"
    )
    yield f"The guard on {server.listen} {word}, in front of {policy.upstream.url}."
    yield f"It speaks: {', '.join(_route(policy))}. Nothing else is forwarded."
    yield f"A request may have {server.max_request_bytes:,} bytes and {server.max_records:,} records."
    yield ""
    for name, tier in policy.tiers.items():
        yield from _tier(name, tier, policy.routes)
    for whose, budget in (("Each tenant", policy.budgets.tenant), ("Everybody together", policy.budgets.total)):
        if said := _budget(budget):
            yield f"{whose} may ask about {said}."
    yield ""
    yield from _kept(policy)
    yield ""
    yield "What this does NOT stop"
    yield from (f"- {sentence}" for sentence in NOT_STOPPED)
    yield from (f"- {sentence}" for sentence in _open(policy))
    if found := findings(policy):
        yield ""
        yield "What there is to say against it"
        yield from (f"- {finding}" for finding in found)


def _route(policy: Policy) -> Iterator[str]:
    for route in policy.routes:
        answers = ", ".join(sorted(set(route.outputs.values()))) or route.answers
        if route.protocol == "openai":
            answers = "texts and embeddings" if route.embeddings else "texts"
        yield f"{route.name or route.protocol} ({route.protocol}; answers are {answers})"


def _open(policy: Policy) -> Iterator[str]:
    for route in policy.routes:
        if route.protocol != "openai" and not closed(route):
            yield (
                f"Route {route.name or route.protocol} names no features: a field that the model does not read, or a "
                "field by another name, makes one record look like another, and buys a fresh answer."
            )


def _tier(name: str, tier: Tier, routes: Sequence[Route]) -> Iterator[str]:
    per_second, burst = rate_of(tier.rate)
    yield f"A key of tier {name}"
    yield f"  asks {per_second:g} times a second at most, {burst} at once after a rest;"
    yield f"  may ask about {_budget(tier.budget) or 'any number of records'};"
    made = hardenings(tier.controls, b"only to be described")
    for hardening in made:
        control = hardening.control
        settings = ", ".join(f"{key} = {value}" for key, value in hardening.settings.items() if key != "allow")
        yield f"  gets {control.name}{f' ({settings})' if settings else ''}: hides {control.hides};"
        yield f"      promises {control.promises}; does not stop {control.does_not_stop};"
    if not tier.controls:
        yield "  gets answers as the model gives them;"
    embedded = [route for route in routes if route.protocol == "openai" and route.embeddings]
    through = " and ".join(one.name for one in made if one.control.surface == "values")
    how = f"through {through}" if through else "exactly as the model gives them"
    yield from (f"  gets embeddings on route {one.name or one.protocol} {how};" for one in embedded)
    if tier.parameters:
        yield f"  may also set {', '.join(tier.parameters)}."


def _budget(budget: Budget) -> str:
    said = []
    if budget.per_day is not None:
        said.append(f"{budget.per_day:,} records a day (UTC)")
    if budget.lifetime is not None:
        said.append(f"{budget.lifetime:,} in all")
    if budget.per_neighbourhood is not None:
        said.append(f"{budget.per_neighbourhood:,} times about nearly the same record")
    return ", ".join(said)


def _kept(policy: Policy) -> Iterator[str]:
    stranded = policy.guard.workers * policy.store.lease
    disk = "a power cut too" if policy.store.durability == "power" else "a killed process, not a power cut"
    yield (
        f"Budgets are charged in {policy.store.kind} before the model is asked, and survive {disk}. "
        f"A crash strands at most {stranded:,} records of each, at most a hundredth of it, and what unanswered "
        "requests gave back; it never lets more through."
    )
    log = (
        "also a power cut"
        if policy.log.durability == "power"
        else "a killed process; a power cut may take the last second"
    )
    yield (
        "Every request is written to the log before its answer leaves: who, when, how many records, what was decided, "
        f"and keyed fingerprints; never the records or the answers. It survives {log}."
    )
    if policy.detectors:
        ladder = policy.actions.ladder
        apart = ", an hour apart at the earliest" if len(ladder) > 1 else ""
        yield (
            f"Probing is looked for ({', '.join(policy.detectors)}). Sightings of one client lead to "
            f"{', then '.join(ladder)}{apart}; {'; '.join(_when(policy.actions))}."
        )


def _when(actions: Actions) -> Iterator[str]:
    """Yield how soon after its sighting a step comes."""
    if written := [step for step in actions.ladder if step in AT_ONCE]:
        yield f"{' and '.join(written)} {'is' if len(written) == 1 else 'are'} written at once"
    if late := [step for step in actions.ladder if step not in AT_ONCE]:
        low, high = (seconds / 60 for seconds in actions.delay_s)
        yield f"{' and '.join(late)} {'begins' if len(late) == 1 else 'begin'} {low:g} to {high:g} minutes later"
