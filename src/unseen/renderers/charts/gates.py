"""The gates: each with its state, and below it the numbers that it rests on."""

from markupsafe import Markup

from unseen.estimate import Estimate
from unseen.renderers.charts.axis import scale, ticks
from unseen.renderers.charts.shapes import WIDTH, dot, figure, line, words
from unseen.renderers.words import BRIEF, quantity, short
from unseen.report import BROKEN, HELD, GateResult, Report

LEFT, RIGHT, TOP, GATE, NUMBER = 24.0, 16.0, 6.0, 24.0, 34.0
COLOURS = {HELD: "good", BROKEN: "doubt"}
FARTHEST = 1e6  # what lies outside is told in the table alone: an axis to there would show nothing else


def gates_chart(report: Report) -> Markup:
    """Return the chart of `report.gates`, or nothing where no gate was asked."""
    if not report.gates:
        return Markup("")
    drawn = [e for one in report.gates for e in one.estimates if _fits(e)]
    low = min((e.low for e in drawn), default=0.0)
    high = max((e.high for e in drawn), default=1.0)
    low, high = min(low, 0.0), max(high, 1.0)
    across = scale(low, high, LEFT, WIDTH - RIGHT)
    shapes, y = list[Markup](), TOP
    for gate in report.gates:
        shapes += _gate(gate, y)
        y += GATE
        for one in filter(_fits, gate.estimates):
            y += NUMBER
            colour = COLOURS.get(gate.state, "muted")
            shapes += [
                words(LEFT, y - 18, short(f"{quantity(one)}{one.attack and ', '}{one.attack}", 56), size=11),
                line(LEFT, y - 7, WIDTH - RIGHT, y - 7),
                line(across(one.low), y - 7, across(one.high), y - 7, colour, 2),
                dot(across(one.value), y - 7, colour, full=gate.state == BROKEN),
            ]
        y += 6
    if drawn:
        shapes += [words(across(tick), y + 12, f"{tick:g}", "middle") for tick in ticks(low, high)]
        y += 20
    broken = sum(one.state == BROKEN for one in report.gates)
    said = f"{len(report.gates)} gates, {broken} of them broken, with {len(drawn)} numbers that they rest on."
    return figure("gates-chart", "Checks of the audit itself", said, y + 4, *shapes)


def _fits(one: Estimate) -> bool:
    return -FARTHEST <= one.low <= one.high <= FARTHEST


def _gate(gate: GateResult, y: float) -> list[Markup]:
    colour, middle = COLOURS.get(gate.state, "muted"), y + 12
    mark = (
        [line(6, middle - 4, 14, middle + 4, colour, 2), line(6, middle + 4, 14, middle - 4, colour, 2)]
        if gate.state == BROKEN
        else [dot(10, middle, colour, full=False)]
        if gate.state == HELD
        else [line(5, middle, 15, middle, colour, 2)]
    )
    name = words(LEFT, middle + 4, short(gate.name, 40), colour="ink")
    return [*mark, name, words(WIDTH - RIGHT, middle + 4, BRIEF.get(gate.state, gate.state), "end", colour)]
