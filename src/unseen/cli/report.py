"""`unseen report RUN`: an audit's report as a document, for people or for programs."""

import json as jsonlib
from pathlib import Path
from typing import Annotated

import typer

import unseen
from unseen.cli.conduct import conduct
from unseen.disk import write_whole
from unseen.errors import PlanError
from unseen.runs import read_run

FILES = {"html": "report.html", "pdf": "report.pdf"}  # documents: written beside report.json unless --out says where
STANDARD_OUTPUT = Path("-")


def report(
    run: Annotated[Path | None, typer.Argument(help="A run folder, or its report.json.")] = None,
    *,
    format: Annotated[  # noqa: A002
        str, typer.Option("--format", "-f", help="html, markdown, json, junit, sarif, or pdf (needs unseen[pdf]).")
    ] = "html",
    out: Annotated[
        Path | None,
        typer.Option(
            help="The file to write, - for standard output. Without it html and pdf are written to report.html and "
            "report.pdf in the run folder, and the others to standard output."
        ),
    ] = None,
    no_ids: Annotated[bool, typer.Option("--no-ids", help="Leave out the ids of the most exposed members.")] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with the verdict's exit code: 0, 1 or 3. Without it: 0.")
    ] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of report.json instead.")] = False,
) -> None:
    """Write the report of a finished audit in another format."""
    with conduct():
        if schema:
            typer.echo(jsonlib.dumps(unseen.report.json_schema(), indent=2))
            return
        if run is None:
            raise PlanError("name a run folder or a report.json: unseen report RUN.")
        found = read_run(run)
        content = unseen.renderers.rendered(found, format, ids=not no_ids)
        place = out or beside(run, FILES[format]) if format in FILES else out
        if place in {None, STANDARD_OUTPUT}:
            typer.echo(content, nl=False)
        else:
            write_whole(place, content)
            typer.echo(f"Wrote {place}.")
    raise typer.Exit(found.exit_code if exit_code else 0)


def beside(run: Path, name: str) -> Path:
    """Return where a document of a run belongs: in its folder."""
    return (run if run.is_dir() else run.parent) / name
