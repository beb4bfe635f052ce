"""A summary for notebooks: the verdict and the attacks' numbers, in plain HTML."""

from html import escape

from unseen.estimate import Estimate
from unseen.renderers.verdict import sentences
from unseen.renderers.words import STATES, clean, find, plain
from unseen.report import Report


def summary_html(report: Report) -> str:
    """Return the verdict and one row an attack; names and numbers only, escaped."""
    first, *rest = (escape(clean(line)) for line in sentences(report))
    items = "".join(f"<li>{line}</li>" for line in rest)
    rows = "".join(
        f"<tr><td>{escape(clean(one.name))}</td><td>{STATES[one.state].lower()}</td><td>{_area(one.estimates)}</td></tr>"
        for one in report.attacks
    )
    return (
        f"<div><p><strong>{first}</strong></p><ul>{items}</ul>"
        f"<table><thead><tr><th>attack</th><th>state</th><th>AUC</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _area(estimates: list[Estimate]) -> str:
    area = find(estimates, "auc")
    return plain(area) if area else ""
