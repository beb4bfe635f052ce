"""The colours of the document and its charts, on light and on dark; text has a contrast of 4.5 and more."""

LIGHT = {
    "ground": "#fdfcf9",
    "raised": "#f4f1ea",
    "ink": "#1d1c1a",
    "muted": "#5d5951",
    "rule": "#d8d3c8",
    "band": "#e4dfd4",
    "leak": "#9c2a1f",
    "good": "#22633f",
    "doubt": "#7c5200",
    "blue": "#2b5797",
}
DARK = {
    "ground": "#171614",
    "raised": "#211f1c",
    "ink": "#ece8e0",
    "muted": "#aaa497",
    "rule": "#3d3a34",
    "band": "#37342f",
    "leak": "#f29a8c",
    "good": "#8acba6",
    "doubt": "#e3b866",
    "blue": "#9dbbe8",
}


def fill(name: str) -> dict[str, str]:
    """Return the attributes that fill a shape: the light colour, which the style sheet of a page overrides by class."""
    return {"class": f"f-{name}", "fill": LIGHT[name]}


def stroke(name: str, width: float = 1.0, dash: str = "") -> dict[str, str]:
    """Return the attributes that draw a line and fill nothing."""
    line = {"class": f"s-{name}", "stroke": LIGHT[name], "stroke-width": f"{width:g}", "fill": "none"}
    return line | {"stroke-dasharray": dash} if dash else line
