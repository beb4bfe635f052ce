"""The audit of a procedure for the terminal: a verdict, the attacks over the targets, and who is flagged again."""

import sys

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from unseen.procedure import AttackSpread, Procedure, Repeats, Spread, procedure_json
from unseen.renderers.printing import console
from unseen.renderers.terminal import COLOURS
from unseen.renderers.words import BRIEF, clean, percent


def show_procedure(report: Procedure, *, json: bool = False) -> None:
    """Print the audit of a procedure."""
    if json:
        sys.stdout.write(procedure_json(report).decode())
    else:
        console().print(render_procedure(report))


def render_procedure(report: Procedure) -> Group:
    """Return everything that the terminal shows of it."""
    headline = Text(f"{BRIEF[report.state]}: the training procedure", style=COLOURS[report.state])
    body = Text("\n".join(clean(one[0].upper() + one[1:]) + "." for one in report.reasons))
    facts = Text(
        f"{report.targets} targets, each on a half of {report.units} {report.unit}s drawn by coins and attacked with "
        f"{report.references} models of the same procedure; {report.family} tests, {report.provenance.seconds:.0f} s.",
        style="dim",
    )
    notes = [Text(clean(f"Note: {note}"), style="yellow") for note in report.notes]
    limits = [_limits(report)] if report.limits else []
    again = [_repeats(report.repeats)] if report.repeats is not None else []
    panel = Panel(body, title=headline, title_align="left", padding=(1, 2))
    return Group(panel, facts, _attacks(report), *limits, *again, *notes)


def _attacks(report: Procedure) -> Table:
    table = Table(title="Attacks: mean over targets [95 %], smallest to largest target", title_justify="left", box=None)
    table.pad_edge = False
    ran = [one for one in report.attacks if one.spreads]
    rates = sorted({s.fpr for one in ran for s in one.spreads if s.fpr is not None}, reverse=True)[:3]
    for heading in ("attack", "above chance", "AUC", *(f"TPR at FPR {percent(fpr)}" for fpr in rates)):
        table.add_column(heading, no_wrap=heading == "attack")
    for one in ran:
        cells = [_find(one, "auc", None), *(_find(one, "tpr", fpr) for fpr in rates)]
        table.add_row(clean(one.name), f"{one.above_chance} of {report.targets}", *cells)
    absent = [one for one in report.attacks if not one.spreads]
    if absent:
        table.add_row(Text(f"{len(absent)} did not run", style="dim"), "", Text(clean(absent[0].reason), style="dim"))
    return table


def _find(one: AttackSpread, quantity: str, fpr: float | None) -> str:
    found = [spread for spread in one.spreads if (spread.quantity, spread.fpr) == (quantity, fpr)]
    return _said(found[0]) if found else "too few"


def _said(spread: Spread) -> str:
    show = percent if spread.quantity == "tpr" else _decimals
    bounds = "" if spread.low is None or spread.high is None else f" [{show(spread.low)}, {show(spread.high)}]"
    return f"{show(spread.mean)}{bounds}, {show(min(spread.values))} to {show(max(spread.values))}"


def _decimals(value: float) -> str:
    return f"{value:.3f}"


def _limits(report: Procedure) -> Table:
    table = Table("limit", "verdict", "closest", title="Policy", title_justify="left", box=None, pad_edge=False)
    for one in report.limits:
        table.add_row(Text(clean(one.limit)), Text(one.verdict), Text(clean(one.detail)))
    return table


def _repeats(repeats: Repeats) -> Table:
    title = f"How often one unit is flagged ({repeats.attack}, at a false-positive rate of {percent(repeats.fpr)})"
    table = Table("targets", "units trained on by so many", "flagged by so many of those", "by so many others")
    table.title, table.title_justify, table.box, table.pad_edge = title, "left", None, False
    for number, counts in enumerate(zip(repeats.trained, repeats.flagged, repeats.false, strict=True)):
        table.add_row(str(number), *map(str, counts))
    return table
