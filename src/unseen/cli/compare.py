"""`unseen compare OLDER NEWER`: what rose from one run to the next."""

from pathlib import Path
from typing import Annotated

import typer

import unseen
from unseen.cli.conduct import conduct


def compare(
    older: Annotated[Path, typer.Argument(help="The run folder to compare with, such as the last release's.")],
    newer: Annotated[Path, typer.Argument(help="The run folder in question; its policy decides.")],
    json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Compare two runs; exit code 1 where a number rose by more than the newer run's policy allows."""
    with conduct():
        comparison = unseen.compare(older, newer)
        unseen.renderers.show_comparison(comparison, json=json)
    raise typer.Exit(comparison.exit_code)
