"""`unseen report RUN`: an audit's report as a document, for people or for programs."""

import json as jsonlib
from pathlib import Path
from typing import Annotated

import typer

import unseen
from unseen.cli.conduct import conduct
from unseen.disk import write_whole
from unseen.errors import PlanError
from unseen.report import Report
from unseen.runs import read_run
from unseen.sides import PAGES, is_pair, read_pair

FILES = {"html": "report.html", "pdf": "report.pdf"}  # documents: written beside report.json unless --out says where
STANDARD_OUTPUT = Path("-")


def report(
    run: Annotated[
        Path | None, typer.Argument(help="A run folder, or its report.json; or that of an audit through a policy.")
    ] = None,
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
        found, content, name = written(run, format, ids=not no_ids)
        place = out or beside(run, name) if name else out
        if place in {None, STANDARD_OUTPUT}:
            typer.echo(content, nl=False)
        else:
            write_whole(place, content)
            typer.echo(f"Wrote {place}.")
    raise typer.Exit(found.exit_code if exit_code else 0)


def written(run: Path, format: str, *, ids: bool = True) -> tuple[Report, bytes, str]:  # noqa: A002
    """Return the report whose verdict counts, the document, and the file it goes to by itself, if any.

    Of two audits side by side that is the report of the one through the policy, and their comparison.
    """
    if is_pair(run):
        direct, through, comparison = read_pair(run)
        content = unseen.renderers.rendered_sides(direct, through, comparison, format)
        return through, content, PAGES["html"] if format == "html" else ""
    found = read_run(run)
    return found, unseen.renderers.rendered(found, format, ids=ids), FILES.get(format, "")


def beside(run: Path, name: str) -> Path:
    """Return where a document of a run belongs: in its folder."""
    return (run if run.is_dir() else run.parent) / name
