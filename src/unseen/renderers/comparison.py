"""A comparison of two runs: for the terminal, and as JSON."""

import sys

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from unseen.comparison import NO_REGRESSION_FOUND, REGRESSION, UNDECIDED, Comparison, Difference, comparison_to_json
from unseen.renderers.words import at_rate, plain

TITLES = {REGRESSION: "REGRESSION", NO_REGRESSION_FOUND: "NO REGRESSION FOUND", UNDECIDED: "INCONCLUSIVE"}
STYLES = {REGRESSION: "bold red", NO_REGRESSION_FOUND: "green", UNDECIDED: "yellow"}
CLAIMS = {
    REGRESSION: "The newer model gives away more than the older one, by more than the policy allows.",
    NO_REGRESSION_FOUND: "No number rose by more than the policy allows, as far as this comparison could see.",
    UNDECIDED: "This comparison could not settle the question, and does not pass.",
}
MOST_REASONS = 5
WIDTH = 150  # of what is written to a file or a pipe


def show_comparison(comparison: Comparison, *, json: bool = False) -> None:
    """Print a comparison on standard output."""
    if json:
        sys.stdout.write(comparison_to_json(comparison).decode())
    else:
        (Console() if sys.stdout.isatty() else Console(width=WIDTH)).print(render_comparison(comparison))


def render_comparison(comparison: Comparison) -> Group:
    """Return everything the terminal shows of a comparison."""
    body = Text("\n".join([CLAIMS[comparison.state], *_reasons(comparison)]))
    headline = Text(TITLES[comparison.state], style=STYLES[comparison.state])
    panel = Panel(body, title=headline, title_align="left", padding=(1, 2))
    notes = [Text(f"Note: {note}.", style="yellow") for note in comparison.notes]
    left = [Text(f"Not compared: {name} ({why}).", style="dim") for name, why in comparison.not_compared.items()]
    table = [_differences(comparison)] if comparison.differences else []
    return Group(panel, _facts(comparison), *table, *notes, *left)


def _reasons(comparison: Comparison) -> list[str]:
    told = [f"Because: {one}." for one in comparison.reasons[:MOST_REASONS]]
    more = len(comparison.reasons) - MOST_REASONS
    return [*told, f"And {more} more of that kind, in the table."] if more > 0 else told


def _facts(comparison: Comparison) -> Text:
    older, newer = comparison.older, comparison.newer
    return Text(
        f"Older run: {older.state}, {older.members} members and {older.non_members} non-members, {older.started}. "
        f"Newer run: {newer.state}, {newer.members} members and {newer.non_members} non-members, {newer.started}. "
        f"Compared {comparison.pairing}. The policy lets a number rise by {comparison.worsen_at_most:g}.",
        style="dim",
    )


def _differences(comparison: Comparison) -> Table:
    table = Table(title="Rises", title_justify="left", box=None, pad_edge=False, header_style="bold")
    headings = (
        "attack",
        "number",
        "before",
        "after",
        "rise [95 %]",
        "all at once, over",
        "adjusted p",
        "would find",
        "",
    )
    for heading in headings:
        table.add_column(heading, no_wrap=heading == "attack")
    for one in comparison.differences:
        table.add_row(*_row(one))
    return table


def _row(one: Difference) -> list[Text | str]:
    number = at_rate(one.quantity, one.fpr)
    adjusted = "" if one.rise.adjusted_p is None else f"{one.rise.adjusted_p:.2g}"
    reach = "none" if one.rise.detectable is None else f"{one.rise.detectable:.3f}"
    return [
        Text(one.attack),
        number,
        f"{one.before:.3f}",
        f"{one.after:.3f}",
        plain(one.rise),
        f"{one.simultaneous_low:.3f}",
        adjusted,
        reach,
        Text("worse", style=STYLES[REGRESSION]) if one.regressed else "",
    ]
