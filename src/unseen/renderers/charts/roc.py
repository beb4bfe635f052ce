"""The ROC curves on logarithmic axes, over the band in which a model that leaks nothing stays."""

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup

from unseen.renderers.charts.shapes import WIDTH, element, figure, line, words
from unseen.renderers.palette import fill, stroke
from unseen.renderers.words import percent, short
from unseen.report import Report, RocCurve

LEFT, RIGHT, TOP, PLOT = 84.0, 10.0, 12.0, 300.0
PENS = (("leak", 2.4, ""), ("blue", 1.8, "7 3"), ("ink", 1.6, "2 3"), ("doubt", 1.8, "10 3 2 3"), ("good", 1.8, "5 5"))
LEGEND = 19.0  # height of one line of the legend


def roc_chart(report: Report) -> Markup:
    """Return the chart of `report.curves`, or nothing where there are none."""
    curves = report.curves[: len(PENS)]
    if not curves:
        return Markup("")
    floor = 0.5 / max(report.members, report.non_members, 2)  # below every rate but zero, which is drawn here
    across, up = _across(floor), _up(floor)
    shapes = [_band(curves[0], across, up), *_axes(floor, across, up)]
    shapes += [_path(curve, pen, across, up) for curve, pen in zip(curves, PENS, strict=False)]
    bottom = TOP + PLOT + 44
    shapes += _legend(curves, bottom)
    named = ", ".join(curve.attack for curve in curves)
    return figure(
        "roc",
        "Members recognised against non-members called members by mistake",
        f"ROC curves on logarithmic axes for {named}, with the band in which a model that leaks nothing stays 95 times "
        "of 100. The table below holds the same rates.",
        bottom + LEGEND * (len(curves) + 1) + 4,
        *shapes,
    )


def _across(floor: float) -> Callable[[float], float]:
    return lambda rate: LEFT + (WIDTH - LEFT - RIGHT) * (1 - math.log(max(rate, floor)) / math.log(floor))


def _up(floor: float) -> Callable[[float], float]:
    return lambda rate: TOP + PLOT * math.log(max(rate, floor)) / math.log(floor)


Place = Callable[[float], float]


def _axes(floor: float, across: Place, up: Place) -> list[Markup]:
    decades = [10.0**-power for power in range(8) if 10.0**-power > floor]
    right, bottom = WIDTH - RIGHT, TOP + PLOT
    drawn = [line(LEFT, up(rate), right, up(rate)) for rate in decades]
    drawn += [line(across(rate), TOP, across(rate), bottom) for rate in decades]
    drawn += [words(LEFT - 6, up(rate) + 4, percent(rate), "end") for rate in decades]
    drawn += [words(across(rate), bottom + 16, percent(rate), "end" if rate == 1 else "middle") for rate in decades]
    drawn.append(words((LEFT + right) / 2, bottom + 33, "false-positive rate (non-members called members)", "middle"))
    upright = {"transform": f"translate(13 {TOP + PLOT / 2:.0f}) rotate(-90)"}
    return [*drawn, element("g", upright, words(0, 0, "true-positive rate (members recognised)", "middle"))]


def _band(curve: RocCurve, across: Place, up: Place) -> Markup:
    there = [f"{across(x):.1f},{up(y):.1f}" for x, y in zip(curve.fpr, curve.band_high, strict=True)]
    back = [f"{across(x):.1f},{up(y):.1f}" for x, y in zip(curve.fpr, curve.band_low, strict=True)]
    return element("polygon", {"points": " ".join([*there, *back[::-1]])} | fill("band"))


def _path(curve: RocCurve, pen: tuple[str, float, str], across: Place, up: Place) -> Markup:
    points = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in zip(curve.fpr, curve.tpr, strict=True))
    return element("polyline", {"points": points, "stroke-linejoin": "round"} | stroke(*pen))


def _legend(curves: Sequence[RocCurve], top: float) -> list[Markup]:
    drawn = []
    for place, (curve, pen) in enumerate(zip(curves, PENS, strict=False)):
        y = top + LEGEND * place + 14
        ends = {"x1": f"{LEFT:.0f}", "x2": f"{LEFT + 34:.0f}", "y1": f"{y - 4:.1f}", "y2": f"{y - 4:.1f}"}
        drawn += [
            element("line", ends | stroke(*pen)),
            words(LEFT + 42, y, f"{short(curve.attack, 34)} ({curve.row})", colour="ink"),
        ]
    y = top + LEGEND * len(curves) + 14
    band = {"x": f"{LEFT:.0f}", "y": f"{y - 9:.1f}", "width": "34", "height": "10"} | fill("band")
    return [*drawn, element("rect", band), words(LEFT + 42, y, "a model that leaks nothing, 95 %", colour="ink")]
