"""Shapes of SVG, escaped: elements, words, lines, marks, and the frame with its title and description."""

from markupsafe import Markup

from unseen.renderers.palette import fill, stroke
from unseen.renderers.words import clean

WIDTH = 400  # of every chart, in units of its view box: about a phone's width, so that words stay legible there
FONT = "system-ui, 'Segoe UI', 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif"


def element(tag: str, attributes: dict[str, str], *children: Markup | str) -> Markup:
    """Return one element; attribute values and children that are not markup are escaped.

    >>> element("text", {"x": "1"}, "a < b")
    Markup('<text x="1">a &lt; b</text>')
    """
    given = Markup("").join(Markup(' {}="{}"').format(name, value) for name, value in attributes.items())
    inside = Markup("").join(children)
    return Markup("<{}{}>{}</{}>").format(tag, given, inside, tag)


def words(x: float, y: float, text: str, anchor: str = "start", colour: str = "muted", size: float = 12.5) -> Markup:
    """Return a line of text at (x, y), its baseline; `anchor` is "start", "middle" or "end"."""
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "font-size": f"{size:g}"}
    return element("text", place | fill(colour), clean(text))


def line(x1: float, y1: float, x2: float, y2: float, colour: str = "rule", width: float = 1.0) -> Markup:
    """Return a straight line."""
    ends = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
    return element("line", ends | stroke(colour, width))


def dot(x: float, y: float, colour: str, *, full: bool) -> Markup:
    """Return a round mark, full or hollow."""
    place = {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": "4"}
    return element("circle", place | (fill(colour) if full else hollow(colour)))


def hollow(colour: str) -> dict[str, str]:
    """Return the attributes of a shape that shows the ground inside its line."""
    drawn, ground = stroke(colour, 1.6), fill("ground")
    return drawn | {"class": f"{drawn['class']} {ground['class']}", "fill": ground["fill"]}


def box(x: float, y: float, width: float, height: float, colour: str) -> Markup:
    """Return a filled rectangle."""
    sides = {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": f"{max(width, 0):.1f}", "height": f"{height:.1f}"}
    return element("rect", sides | fill(colour))


def figure(name: str, title: str, description: str, height: float, *shapes: Markup) -> Markup:
    """Return the chart: an image to a screen reader, with `title` and `description`; `name` is unique in the page."""
    attributes = {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": f"0 0 {WIDTH} {height:.0f}",
        "width": f"{WIDTH}",
        "height": f"{height:.0f}",
        "role": "img",
        "aria-labelledby": f"{name}-title",
        "aria-describedby": f"{name}-description",
        "font-family": FONT,
    }
    said = (
        element("title", {"id": f"{name}-title"}, clean(title)),
        element("desc", {"id": f"{name}-description"}, clean(description)),
    )
    return element("svg", attributes, *said, *shapes)
