"""How exposed single units are: members beside non-members, by how rare their score would be without a leak."""

from markupsafe import Markup

from unseen.renderers.charts.shapes import WIDTH, box, figure, line, words
from unseen.report import Exposure, Report

LEFT, RIGHT, ROW, TOP = 118.0, 52.0, 38.0, 40.0


def bands(exposure: Exposure) -> list[tuple[str, int, int]]:
    """Return each band of p-values in words with its members and non-members, the most exposed first."""
    upper, lower = exposure.edges[:-1], exposure.edges[1:]
    names = [f"{low:g} to {high:g}" for high, low in zip(upper, lower, strict=True)]
    return list(zip(names, exposure.members, exposure.non_members, strict=True))[::-1]


def exposure_chart(report: Report) -> Markup:
    """Return the chart of `report.exposure`, or nothing where it was not given; a bar's length is its side's share."""
    if report.exposure is None:
        return Markup("")
    rows = bands(report.exposure)
    sides = max(sum(report.exposure.members), 1), max(sum(report.exposure.non_members), 1)
    longest = max(max(inside / sides[0], outside / sides[1]) for _, inside, outside in rows) or 1.0
    room = WIDTH - LEFT - RIGHT
    shapes = [
        box(LEFT, 6, 12, 10, "leak"),
        words(LEFT + 18, 15, "members", colour="ink"),
        box(LEFT + 92, 6, 12, 10, "muted"),
        words(LEFT + 110, 15, "non-members", colour="ink"),
        words(LEFT - 10, 15, "p-value", "end"),
    ]
    for place, (name, inside, outside) in enumerate(rows):
        y = TOP + ROW * place
        widths = room * inside / sides[0] / longest, room * outside / sides[1] / longest
        shapes += [
            words(LEFT - 10, y + 16, name, "end", "ink"),
            box(LEFT, y, widths[0], 11, "leak"),
            words(LEFT + widths[0] + 5, y + 10, f"{inside:,}", size=11),
            box(LEFT, y + 13, widths[1], 11, "muted"),
            words(LEFT + widths[1] + 5, y + 23, f"{outside:,}", size=11),
        ]
    bottom = TOP + ROW * len(rows)
    shapes.append(line(LEFT, TOP - 6, LEFT, bottom - 8, "ink"))
    return figure(
        "exposure",
        "Members and non-members by how exposed they are",
        f"Counts of {report.unit}s by the p-value that {report.exposure.attack} gives them, smallest first; a bar's "
        "length is the share of its side. Without a leak both bars of a band are alike.",
        bottom + 2,
        *shapes,
    )
