"""A model directly and through a policy as a document: one HTML page, Markdown for a pull request, or JSON."""

from collections.abc import Callable

from unseen.comparison import Comparison, comparison_to_json
from unseen.errors import PlanError
from unseen.estimate import Estimate
from unseen.renderers.changes import GROUPS, changes, lost, taken_away, told
from unseen.renderers.charts.sides import sides_chart
from unseen.renderers.markdown import bulleted, said, table
from unseen.renderers.page import environment
from unseen.renderers.palette import DARK, LIGHT
from unseen.renderers.steps import broken_gates
from unseen.renderers.verdict import through_policy, title
from unseen.renderers.words import estimates_of, find
from unseen.report import Report

MOST_ROWS = 40  # of the table in Markdown
UNKNOWN = (
    "That a number falls says that these attacks see less; what was not tried against the policy is not known, and no "
    "policy on outputs takes predicted labels away."
)


def rendered_sides(direct: Report, through: Report, comparison: Comparison, name: str) -> bytes:
    """Return the comparison in the format `name`; it names no record. Raises `PlanError`."""
    if name not in SIDES:
        raise PlanError(
            f"the comparison of two audits is written as {', '.join(SIDES)}, got {name!r}: for another format name the "
            "folder of one of them, direct or through."
        )
    content = SIDES[name](direct, through, comparison)
    return content if isinstance(content, bytes) else content.encode("utf-8")


def sides_page(direct: Report, through: Report, comparison: Comparison) -> str:
    """Return the whole HTML document; everything that comes from the reports is escaped."""
    found = changes(direct, through, comparison)
    rise = next(
        (one.rise for one in comparison.differences if (one.attack, one.quantity) == (direct.recommended, "auc")), None
    )
    return (
        environment()
        .get_template("comparison.html.jinja")
        .render(
            direct=direct,
            through=through,
            light=LIGHT,
            dark=DARK,
            said=told(direct, through, comparison),
            policy=through_policy(through),
            sides=[(name, one, _area(one)) for name, one in (("Directly", direct), ("Through the policy", through))],
            rises=[] if rise is None else [rise],
            reasons=[] if comparison.differences else comparison.reasons,
            limits=[
                (before.limit, before.verdict, after.verdict)
                for before, after in zip(direct.limits, through.limits, strict=False)
            ],
            changes=found,
            groups=GROUPS,
            chart=sides_chart(found),
            lost=lost(direct, through),
            taken_away=taken_away,
            label_only=[one.attack for one in found if one.label_only],
            notes=notes(direct, through),
            facts=_facts(direct, through),
        )
    )


def sides_markdown(direct: Report, through: Report, comparison: Comparison) -> str:
    """Return claim, both verdicts, the attacks by what the policy changes, and what it took away."""
    found, gone = changes(direct, through, comparison), lost(direct, through)
    rows = [
        [said(one.attack), "yes" if one.label_only else "", each.name, each.direct, each.through, each.change, one.what]
        for what in GROUPS
        for one in found
        if one.what == what
        for each in one.numbers
    ]
    heads = ["attack", "label only", "number", "directly", "through the policy", "change [95 %]", "AUC"]
    broken = [
        f"{name}: the check {said(gate.name)} is broken, and its numbers may not be believed"
        for name, one in (("directly", direct), ("through the policy", through))
        for gate in broken_gates(one)
    ]
    parts = [
        "## unseen: what the policy changes",
        told(direct, through, comparison),
        said(through_policy(through)),
        f"Directly: **{title(direct).lower()}**. Through the policy: **{title(through).lower()}**.",
        bulleted(broken),
        table(heads, rows, MOST_ROWS),
        "**No more possible through the policy**" if gone else "",
        ", ".join(f"{said(one.name)} ({said(taken_away(one))})" for one in gone),
        UNKNOWN,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def sides_json(_direct: Report, _through: Report, comparison: Comparison) -> bytes:
    """Return the comparison as JSON; the reports stand in their own folders."""
    return comparison_to_json(comparison)


SIDES: dict[str, Callable[[Report, Report, Comparison], str | bytes]] = {
    "html": sides_page,
    "markdown": sides_markdown,
    "json": sides_json,
}


def notes(direct: Report, through: Report) -> list[tuple[str, str]]:
    """Return the notes of both sides, those that are the same once."""
    both = [("directly", note) for note in direct.notes]
    return both + [("through the policy", note) for note in through.notes if note not in direct.notes]


def _area(report: Report) -> Estimate | None:
    return find(estimates_of(report, report.recommended), "auc")


def _facts(direct: Report, through: Report) -> list[tuple[str, str, str]]:
    """Return what it takes to know the two runs again, side by side."""
    return [(name, read(direct), read(through)) for name, read in FACTS.items()]


FACTS: dict[str, Callable[[Report], str]] = {
    "Started": lambda one: one.provenance.started,
    "Target": lambda one: one.target.kind,
    "It answers": lambda one: ", ".join(one.target.access),
    "Queries": lambda one: f"{one.target.queries:,}",
    "Seed": lambda one: str(one.provenance.seed),
    "Fingerprint of the data": lambda one: one.provenance.data_digest,
    "Fingerprint of the answers": lambda one: one.provenance.model_digest,
}
