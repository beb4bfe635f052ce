"""A model asked directly and through a deployed policy: what the policy changes, for the terminal and as JSON."""

import sys

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from unseen.comparison import Comparison, comparison_to_json
from unseen.renderers.changes import lost, shown
from unseen.renderers.comparison import WIDTH
from unseen.renderers.side_by_side import notes
from unseen.renderers.verdict import sentences
from unseen.renderers.words import STATES, at_rate, clean, estimates_of, percent, plain
from unseen.report import Report


def show_through(direct: Report, through: Report, comparison: Comparison, *, json: bool = False) -> None:
    """Print two reports side by side on standard output; as JSON, their comparison (the reports are in the folder)."""
    if json:
        sys.stdout.write(comparison_to_json(comparison).decode())
    else:
        console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
        console.print(render_through(direct, through, comparison))


def render_through(direct: Report, through: Report, comparison: Comparison) -> Group:
    """Return everything the terminal shows of the two."""
    panels = [
        Panel(Text("\n".join(map(clean, sentences(one)))), title=f"{name}: {STATES[one.state]}", title_align="left")
        for name, one in (("ASKED DIRECTLY", direct), ("ASKED THROUGH THE POLICY", through))
    ]
    gone = [
        Text(clean(f"No more possible through the policy: {one.name} ({one.reason})."), style="dim")
        for one in lost(direct, through)
    ]
    told = [Text(clean(f"Note, {name}: {note}"), style="yellow") for name, note in notes(direct, through)]
    why = [] if comparison.differences else [Text(clean(f"Not compared: {one}.")) for one in comparison.reasons]
    tables = [_recommended(direct, through), _changes(direct, through, comparison)]
    return Group(*panels, *tables, *why, *gone, *told, "What was not tried against the policy is not known.")


def _recommended(direct: Report, through: Report) -> Table:
    """Return the strongest attack that each side's answers allow."""
    table = _table("The recommended attack of what each side answers", ("", "attack", "access", *_numbers(direct)))
    for name, one in (("directly", direct), ("through the policy", through)):
        numbers = _row(one, one.recommended, direct)
        table.add_row(name, Text(clean(one.recommended)), ", ".join(one.target.access), *numbers)
    return table


def _changes(direct: Report, through: Report, comparison: Comparison) -> Table:
    table = _table("What the policy changes", ("attack", "number", "directly", "through the policy", "change [95 %]"))
    for one in comparison.differences:
        sides = [shown(report, one.attack, one.quantity, one.fpr) for report in (direct, through)]
        number = at_rate(one.quantity, one.fpr)
        table.add_row(Text(clean(one.attack)), number, *sides, plain(one.rise))
    return table


def _table(title: str, headings: tuple[str, ...]) -> Table:
    return Table(*headings, title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")


def _rates(report: Report) -> list[float]:
    found = estimates_of(report, report.recommended)
    return sorted({one.fpr for one in found if one.quantity == "tpr" and one.fpr is not None}, reverse=True)[:3]


def _numbers(report: Report) -> list[str]:
    return ["AUC [95 %]", *(f"TPR at FPR {percent(fpr)}" for fpr in _rates(report))]


def _row(report: Report, attack: str, like: Report) -> list[str]:
    wanted = [("auc", None), *(("tpr", fpr) for fpr in _rates(like))]
    return [shown(report, attack, quantity, fpr) for quantity, fpr in wanted]
