"""Intervals one below the other, on one axis, with a line where nothing leaks."""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from unseen.renderers.charts.axis import scale, ticks
from unseen.renderers.charts.shapes import WIDTH, dot, figure, line, words
from unseen.renderers.words import find, short
from unseen.report import LEAK, Report

LEFT, RIGHT, ROW, TOP = 152.0, 16.0, 22.0, 10.0
MOST_SLICES = 30
MEANS = "Full marks are above chance, hollow ones are not."


class Bar(NamedTuple):
    """One interval: its name, value and ends, and whether its mark is full."""

    name: str
    value: float
    low: float
    high: float
    full: bool


def attacks_chart(report: Report) -> Markup:
    """Return the AUC of each attack with its interval, or nothing where none was measured."""
    bars = [
        Bar(one.name, area.value, area.low, area.high, one.state == LEAK)
        for one in report.attacks
        if (area := find(one.estimates, "auc"))
    ]
    if not bars:
        return Markup("")
    said = f"The AUC of {len(bars)} attacks with 95 % intervals; a coin toss is at 0.5. {MEANS}"
    return intervals("attack-intervals", "AUC of each attack", said, bars, 0.5)


def slices_chart(report: Report) -> Markup:
    """Return the AUC of the slices with the highest, each with its simultaneous interval, or nothing."""
    bars = [
        Bar(f"{one.by}: {one.value}", area.value, area.low, area.high, one.state == LEAK)
        for one in report.slices
        if (area := find(one.estimates, "auc"))
    ]
    if not bars:
        return Markup("")
    shown = sorted(bars, key=lambda bar: -bar.value)[:MOST_SLICES]
    said = (
        f"The AUC of {len(shown)} of {len(bars)} slices, highest first, by {report.recommended}, with simultaneous "
        f"intervals; a coin toss is at 0.5. {MEANS}"
    )
    return intervals("slice-intervals", "AUC in each slice", said, shown, 0.5)


def intervals(name: str, title: str, said: str, bars: Sequence[Bar], null: float) -> Markup:
    """Return the chart of some AUCs; `null` is the value where nothing leaks, drawn as an upright line."""
    low, high = min(*(bar.low for bar in bars), null), max(*(bar.high for bar in bars), null + 0.1)
    across = scale(low, high, LEFT, WIDTH - RIGHT)
    bottom = TOP + ROW * len(bars)
    shapes = [line(across(null), TOP - 4, across(null), bottom, "ink", 1.2)]
    for place, bar in enumerate(bars):
        y, colour = TOP + ROW * (place + 0.5), "leak" if bar.full else "muted"
        shapes += [
            line(LEFT, y, WIDTH - RIGHT, y),
            words(LEFT - 10, y + 4, short(bar.name, 20), "end", "ink"),
            line(across(bar.low), y, across(bar.high), y, colour, 2),
            dot(across(bar.value), y, colour, full=bar.full),
        ]
    shapes += [words(across(tick), bottom + 16, f"{tick:g}", "middle") for tick in ticks(low, high)]
    shapes.append(words((LEFT + WIDTH - RIGHT) / 2, bottom + 32, "AUC", "middle"))
    return figure(name, title, said, bottom + 40, *shapes)
