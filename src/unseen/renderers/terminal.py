"""A report for the terminal: a verdict, and a table of attacks."""

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from unseen.estimate import Estimate
from unseen.renderers.steps import broken_gates, steps
from unseen.renderers.verdict import claim, sentences, title, used
from unseen.renderers.words import BRIEF, between, calls, chance, clean, find, percent, plain
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
    return "\n".join(clean(one) for one in sentences(report))


def render(report: Report) -> Group:
    """Return everything the terminal shows of a report."""
    said = claim(report)
    body = Text("\n".join(clean(one) for one in [said[0].upper() + said[1:], *sentences(report)[1:]]))
    headline = Text(title(report), style=COLOURS[report.state])
    panel = Panel(body, title=headline, title_align="left", padding=(1, 2))
    notes = [Text(clean(f"Note: {note}"), style="yellow") for note in report.notes]
    todo = [Text(clean(f"Next: {step}")) for step in steps(report)]
    gates = [_gates(report)] if broken_gates(report) else []
    limits = [_limits(report)] if report.limits else []
    slices = [_slices(report)] if any(one.state == LEAK for one in report.slices) else []
    return Group(panel, _facts(report), *gates, _attacks(report), *limits, *slices, *notes, *todo, _untested(report))


def _facts(report: Report) -> Text:
    target, references = report.target, report.references
    accuracy = ""
    if target.member_accuracy is not None and target.non_member_accuracy is not None:
        own, other = percent(target.member_accuracy), percent(target.non_member_accuracy)
        accuracy = f", accuracy {own} on members and {other} on others"
    saved = f" ({references.saved} more not needed)" if references.saved else ""
    return Text(
        f"Target {clean(target.kind)}{accuracy}. {report.members} members and {report.non_members} non-members "
        f"({report.unit}s), {used(report)}{saved}, {target.queries} queries, "
        f"{report.provenance.seconds:.0f} s.",
        style="dim",
    )


def _gates(report: Report) -> Table:
    table = Table("gate", "found", "what to do", title="Broken checks of the audit itself", title_justify="left")
    table.box, table.pad_edge = None, False
    for one in broken_gates(report):
        table.add_row(Text(clean(one.name), style="yellow"), Text(clean(one.finding)), Text(clean(one.advice)))
    return table


def _attacks(report: Report) -> Table:
    table = Table(title="Attacks", title_justify="left", box=None, pad_edge=False, header_style="bold")
    rates = sorted({e.fpr for one in report.attacks for e in one.estimates if e.fpr is not None}, reverse=True)[:3]
    for heading in ("attack", "state", "AUC [95 %]", *(f"TPR at FPR {percent(fpr)}" for fpr in rates), "ties"):
        table.add_column(heading, no_wrap=heading == "attack")
    for one in report.attacks:
        if one.estimates:
            table.add_row(*_measured(one, rates))
        else:
            table.add_row(
                Text(clean(one.name)), Text(BRIEF[one.state], style="dim"), Text(clean(one.reason), style="dim")
            )
    return table


def _measured(one: AttackResult, rates: list[float]) -> list[Text | str]:
    area = find(one.estimates, "auc")
    cells: list[Text | str] = [Text(clean(one.name)), Text(BRIEF[one.state], style=COLOURS[one.state])]
    cells.append(plain(area) if area else "")
    for fpr in rates:
        rate = find(one.estimates, "tpr", fpr)
        cells.append(_rate(rate))
    return [*cells, percent(one.tie_share or 0.0)]


def _rate(rate: Estimate | None) -> str:
    if rate is None:
        return "too few"
    return between(rate) if calls(rate) else "ties: nobody called"


def _limits(report: Report) -> Table:
    table = Table("limit", "verdict", "closest", title="Policy", title_justify="left", box=None, pad_edge=False)
    for one in report.limits:
        table.add_row(Text(clean(one.limit)), Text(one.verdict), Text(clean(one.detail)))
    return table


def _slices(report: Report) -> Table:
    table = Table(
        "slice",
        "AUC, simultaneous interval",
        "adjusted p",
        title=Text(clean(f"Slices above chance, by {report.recommended}")),
    )
    table.title_justify, table.box, table.pad_edge = "left", None, False
    leaks = [one for one in report.slices if one.state == LEAK]
    for one in sorted(leaks, key=lambda cell: -cell.estimates[0].value)[:8]:
        area = one.estimates[0]
        table.add_row(Text(clean(f"{one.by}: {one.value}")), plain(area), chance(area.adjusted_p))
    return table


def _untested(report: Report) -> Text:
    return Text(clean(f"Not tested: {'; '.join(report.not_tested)}."), style="dim")
