"""The AUC of each attack asked directly and through a policy, one interval below the other."""

from collections.abc import Sequence

from markupsafe import Markup

from unseen.renderers.changes import Change
from unseen.renderers.charts.axis import scale, ticks
from unseen.renderers.charts.intervals import LEFT, RIGHT, named
from unseen.renderers.charts.shapes import WIDTH, dot, figure, line, words

TOP, ROW, APART = 34.0, 26.0, 5.0
NULL = 0.5  # the AUC of a coin toss


def sides_chart(changes: Sequence[Change]) -> Markup:
    """Return the chart of both AUCs of each attack, or nothing where none was measured on both sides."""
    if not changes:
        return Markup("")
    ends = [one for change in changes for one in change.areas]
    low, high = min(NULL, *(one.low for one in ends)), max(NULL + 0.1, *(one.high for one in ends))
    across = scale(low, high, LEFT, WIDTH - RIGHT)
    bottom = TOP + ROW * len(changes)
    shapes = [*_legend(), line(across(NULL), TOP - 4, across(NULL), bottom, "ink", 1.2)]
    for place, change in enumerate(changes):
        middle = TOP + ROW * (place + 0.5)
        shapes += named(change.attack, middle)
        for one, y, colour, full in zip(
            change.areas, (middle - APART, middle + APART), ("muted", "blue"), (False, True), strict=True
        ):
            shapes += [
                line(across(one.low), y, across(one.high), y, colour, 2),
                dot(across(one.value), y, colour, full=full),
            ]
        shapes.append(line(LEFT, middle + ROW / 2, WIDTH - RIGHT, middle + ROW / 2))
    shapes += [words(across(tick), bottom + 16, f"{tick:g}", "middle") for tick in ticks(low, high)]
    shapes.append(words((LEFT + WIDTH - RIGHT) / 2, bottom + 32, "AUC", "middle"))
    said = (
        f"The AUC of {len(changes)} attacks with 95 % intervals: asked directly above, a hollow mark, and through the "
        "policy below it, a full one; a coin toss is at 0.5."
    )
    return figure("sides", "AUC of each attack, directly and through the policy", said, bottom + 40, *shapes)


def _legend() -> list[Markup]:
    return [
        dot(LEFT + 6, 12, "muted", full=False),
        words(LEFT + 16, 16, "directly", colour="ink"),
        dot(LEFT + 92, 12, "blue", full=True),
        words(LEFT + 102, 16, "through the policy", colour="ink"),
    ]
