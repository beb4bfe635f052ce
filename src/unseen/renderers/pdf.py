"""The report as PDF: the HTML document on paper, laid out by WeasyPrint, which the extra `unseen[pdf]` brings."""

import logging
from typing import Any

from unseen.errors import InputError, MissingExtra
from unseen.renderers.page import html_page
from unseen.report import Report


def pdf_document(report: Report) -> bytes:
    """Return the PDF; raises `MissingExtra` without WeasyPrint, `InputError` without the Pango library it needs."""
    html = _weasyprint()
    return bytes(html(string=html_page(report), url_fetcher=_nothing).write_pdf(pdf_tags=True))


def _weasyprint() -> Any:
    try:
        from weasyprint import HTML  # optional: an extra, and a system library under it
    except ImportError:
        raise MissingExtra("a PDF", "WeasyPrint", "pdf") from None
    except OSError:
        raise InputError(
            "a PDF needs the Pango library, which is not installed; on Debian: apt-get install libpango-1.0-0 "
            "libpangoft2-1.0-0 libharfbuzz-subset0."
        ) from None
    logging.getLogger("weasyprint").setLevel(logging.CRITICAL)  # rules that are for screens only are no news
    return HTML


def _nothing(url: str, *_: Any, **__: Any) -> Any:
    raise ValueError(f"a report loads nothing, and refused a link of {len(url)} characters.")
