"""The report as JSON."""

from unseen.report import Report, to_json


def render(report: Report) -> str:
    """Return the report as indented JSON text."""
    return to_json(report).decode()
