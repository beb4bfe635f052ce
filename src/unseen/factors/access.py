"""Access: who may query the model, and how often, as declared."""

import math

from unseen.case import Case
from unseen.factor import Factor, Measurement, unmeasured
from unseen.report import DECLARED

WHO = {
    "internal": "asked by the owner's own staff",
    "api": "asked by others through an interface",
    "public_weights": "in everybody's hands, so no limit on queries holds",
}


def access(case: Case) -> Measurement:
    """Say who may query the model and how often, as the owner declares it; nothing here is measured.

    Beside a declared limit stands how long the queries of this audit would have taken one person under it.
    """
    declared = case.context
    if not declared.access and declared.queries_per_day is None:
        return unmeasured("who may query is not declared: say access and queries_per_day in the plan's [context]")
    said = [f"declared: the model is {WHO[declared.access]}" if declared.access else "declared: who may query is open"]
    counts = {"queries": case.target.queries}
    if declared.queries_per_day is None:
        said.append("no limit on queries is declared")
    else:
        counts["queries_per_day"] = declared.queries_per_day
        said.append(_pace(case.target.queries, declared.queries_per_day))
    return Measurement(DECLARED, "; ".join(said), counts=counts)


def _pace(queries: int, a_day: int) -> str:
    if a_day == 0:
        return "nobody may query it"
    days = math.ceil(queries / a_day)
    return f"at {a_day} queries a day, the {queries} of this audit take one person {days} day{'s' if days > 1 else ''}"


ACCESS = Factor(
    measure=access,
    row="F6",
    controls=("authentication", "rate limit", "query budget"),
)
