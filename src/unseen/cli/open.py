"""`unseen open RUN`: the report in the browser."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from unseen.cli.conduct import conduct
from unseen.cli.report import FILES, beside, written
from unseen.disk import write_whole
from unseen.runs import REPORT
from unseen.sides import COMPARISON, PAGES, folder_of, is_pair


def open_report(run: Annotated[Path, typer.Argument(help="A run folder, or its report.json.")]) -> None:
    """Open the report in the browser; the page is written first where it is missing or older than the run."""
    with conduct():
        _, content, _ = written(run, "html")
        source, page = source_and_page(run)
        if not page.exists() or page.stat().st_mtime_ns < source.stat().st_mtime_ns:
            write_whole(page, content)
        typer.echo(page)
        if not webbrowser.open(page.resolve().as_uri()):
            typer.echo("unseen: no browser could be started here; open the file yourself.", err=True)


def source_and_page(run: Path) -> tuple[Path, Path]:
    """Return the file that a run's page is made of, and the page."""
    if is_pair(run):
        return folder_of(run) / COMPARISON, folder_of(run) / PAGES["html"]
    return beside(run, REPORT) if run.is_dir() else run, beside(run, FILES["html"])
