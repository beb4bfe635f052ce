"""The formats a report can be written in, by name."""

from collections.abc import Callable

from msgspec.structs import replace

from unseen.errors import PlanError, did_you_mean
from unseen.renderers.junit import junit
from unseen.renderers.markdown import markdown
from unseen.renderers.page import html_page
from unseen.renderers.pdf import pdf_document
from unseen.renderers.sarif import sarif
from unseen.report import Report, to_json

FORMATS: dict[str, Callable[[Report], str | bytes]] = {
    "html": html_page,
    "markdown": markdown,
    "json": to_json,
    "junit": junit,
    "sarif": sarif,
    "pdf": pdf_document,
}


def rendered(report: Report, name: str, *, ids: bool = True) -> bytes:
    """Return the report in the format `name`; without `ids` no exposed unit is named. Raises `PlanError`."""
    if name not in FORMATS:
        near = did_you_mean(name, FORMATS) or "."
        raise PlanError(f"format must be one of {', '.join(FORMATS)}, got {name!r}{near}")
    content = FORMATS[name](report if ids else without_ids(report))
    return content if isinstance(content, bytes) else content.encode("utf-8")


def without_ids(report: Report) -> Report:
    """Return the report with nobody named among the exposed."""
    return report if report.exposure is None else replace(report, exposure=replace(report.exposure, ids=[]))
