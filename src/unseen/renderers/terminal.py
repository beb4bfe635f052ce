"""A report for the terminal: a verdict, and a table of attacks."""

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from unseen.renderers.verdict import NEXT, sentences
from unseen.renderers.words import STATES, between, find, percent, plain
from unseen.report import FAILED, INCONCLUSIVE, LEAK, NO_LEAK_FOUND, NOT_APPLICABLE, AttackResult, Report

COLOURS = {
    LEAK: "bold red",
    NO_LEAK_FOUND: "green",
    INCONCLUSIVE: "yellow",
    NOT_APPLICABLE: "dim",
    FAILED: "bold yellow",
}


def verdict(report: Report) -> str:
    """Return the verdict as plain text."""
    return "\n".join(sentences(report))


def render(report: Report) -> Group:
    """Return everything the terminal shows of a report."""
    first, *rest = sentences(report)
    body = Text("\n".join(rest))
    panel = Panel(body, title=Text(first, style=COLOURS[report.state]), title_align="left", padding=(1, 2))
    notes = [Text(f"Note: {note}", style="yellow") for note in report.notes]
    steps = [Text(f"Next: {step}") for step in NEXT.get(report.state, ())]
    limits = [_limits(report)] if report.limits else []
    slices = [_slices(report)] if any(one.state == LEAK for one in report.slices) else []
    return Group(panel, _facts(report), _attacks(report), *limits, *slices, *notes, *steps, _untested(report))


def _facts(report: Report) -> Text:
    target, references = report.target, report.references
    accuracy = ""
    if target.member_accuracy is not None and target.non_member_accuracy is not None:
        own, other = percent(target.member_accuracy), percent(target.non_member_accuracy)
        accuracy = f", accuracy {own} on members and {other} on others"
    return Text(
        f"Target {target.kind}{accuracy}. {report.members} members and {report.non_members} non-members "
        f"({report.unit}s), {references.finished} of {references.asked} references, {target.queries} queries, "
        f"{report.provenance.seconds:.0f} s.",
        style="dim",
    )


def _attacks(report: Report) -> Table:
    table = Table(title="Attacks", title_justify="left", box=None, pad_edge=False, header_style="bold")
    rates = sorted({e.fpr for one in report.attacks for e in one.estimates if e.fpr is not None}, reverse=True)[:3]
    for heading in ("attack", "state", "AUC [95 %]", *(f"TPR at FPR {percent(fpr)}" for fpr in rates), "ties"):
        table.add_column(heading, no_wrap=heading != "state")
    for one in report.attacks:
        if one.estimates:
            table.add_row(*_measured(one, rates))
        else:
            table.add_row(one.name, Text(f"{STATES[one.state].lower()}: {one.reason}", style="dim"))
    return table


def _measured(one: AttackResult, rates: list[float]) -> list[Text | str]:
    area = find(one.estimates, "auc")
    cells: list[Text | str] = [one.name, Text(STATES[one.state].lower(), style=COLOURS[one.state])]
    cells.append(plain(area) if area else "")
    for fpr in rates:
        rate = find(one.estimates, "tpr", fpr)
        cells.append(between(rate) if rate else "too few")
    return [*cells, percent(one.tie_share or 0.0)]


def _limits(report: Report) -> Table:
    table = Table("limit", "verdict", "closest", title="Policy", title_justify="left", box=None, pad_edge=False)
    for one in report.limits:
        table.add_row(one.limit, one.verdict, one.detail)
    return table


def _slices(report: Report) -> Table:
    table = Table("slice", "AUC, simultaneous interval", title=f"Slices above chance, by {report.recommended}")
    table.title_justify, table.box, table.pad_edge = "left", None, False
    leaks = [one for one in report.slices if one.state == LEAK]
    for one in sorted(leaks, key=lambda cell: -cell.estimates[0].value)[:8]:
        table.add_row(f"{one.by}: {one.value}", plain(one.estimates[0]))
    return table


def _untested(report: Report) -> Text:
    return Text(f"Not tested: {'; '.join(report.not_tested)}.", style="dim")
