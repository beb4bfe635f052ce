"""`unseen open RUN`: the report in the browser."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

import unseen
from unseen.cli.conduct import conduct
from unseen.cli.report import FILES, beside
from unseen.disk import write_whole
from unseen.runs import REPORT, read_run


def open_report(run: Annotated[Path, typer.Argument(help="A run folder, or its report.json.")]) -> None:
    """Open the report in the browser; report.html is written first where it is missing or older than report.json."""
    with conduct():
        found = read_run(run)
        source, page = beside(run, REPORT) if run.is_dir() else run, beside(run, FILES["html"])
        if not page.exists() or page.stat().st_mtime_ns < source.stat().st_mtime_ns:
            write_whole(page, unseen.renderers.rendered(found, "html"))
        typer.echo(page)
        if not webbrowser.open(page.resolve().as_uri()):
            typer.echo("unseen: no browser could be started here; open the file yourself.", err=True)
