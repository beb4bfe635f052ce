"""Intervals one below the other, on one axis, with a line where nothing leaks."""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from unseen.renderers.charts.axis import scale, ticks
from unseen.renderers.charts.shapes import WIDTH, dot, figure, line, words
from unseen.renderers.words import clean, find, short
from unseen.report import LEAK, Report

LEFT, RIGHT, ROW, TOP = 152.0, 16.0, 22.0, 10.0
MOST_SLICES = 30
LONG_NAME, LONGEST_NAME, LONGEST_HALF = 19, 22, 25  # letters: smaller above, on two lines above, and of such a line
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


def named(name: str, middle: float) -> list[Markup]:
    """Return a bar's name left of it, smaller where it is long, and on two lines where it is too long for one.

    >>> [str(one).split(">")[1].split("<")[0] for one in named("occupation: Machine-op-inspct", 0)]
    ['occupation:', 'Machine-op-inspct']
    """
    name = clean(name)
    if len(name) <= LONGEST_NAME:
        return [words(LEFT - 10, middle + 4, name, "end", "ink", 12.5 if len(name) <= LONG_NAME else 11)]
    first, last = halves(name)
    return [
        words(LEFT - 10, middle - 1, short(first, LONGEST_HALF), "end", "ink", 10),
        words(LEFT - 10, middle + 9, short(last, LONGEST_HALF), "end", "ink", 10),
    ]


def halves(name: str) -> tuple[str, str]:
    """Return a name in two, after its colon or else at the blank or hyphen nearest to its middle."""
    if ": " in name:
        by, _, value = name.partition(": ")
        return f"{by}:", value
    places = [place for place, one in enumerate(name) if one in " -"] or [len(name) // 2]
    best = min(places, key=lambda place: abs(place - len(name) / 2)) + 1
    return name[:best], name[best:]


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
            *named(bar.name, y),
            line(across(bar.low), y, across(bar.high), y, colour, 2),
            dot(across(bar.value), y, colour, full=bar.full),
        ]
    shapes += [words(across(tick), bottom + 16, f"{tick:g}", "middle") for tick in ticks(low, high)]
    shapes.append(words((LEFT + WIDTH - RIGHT) / 2, bottom + 32, "AUC", "middle"))
    return figure(name, title, said, bottom + 40, *shapes)
