"""`unseen plan cost PLAN`: what an audit would take, before it takes it."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from unseen.cli.conduct import conduct, standard_output_is_ours

app = typer.Typer(help="What can be known of a plan before it runs.", no_args_is_help=True)


@app.callback()
def plans() -> None:
    """What can be known of a plan before it runs."""


@app.command()
def cost(
    plan: Annotated[Path, typer.Argument(help="The plan (TOML); `unseen init` writes one.")],
    references: Annotated[int | None, typer.Option(help="How many references, instead of the plan's number.")] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Load a pickled model: this runs any code inside the file.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the cost as JSON.")] = False,
) -> None:
    """Train a few references here and say what all of them would take: time, memory, disk, GPU.

    Nothing is audited and nothing is kept.
    """
    with conduct("Nothing was kept."):
        from unseen.costing import cost_of_plan  # start-up time: only who asks for the cost loads the models' libraries

        with standard_output_is_ours():
            found = cost_of_plan(plan, references=references, trust=trust)
        typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=2) if json else "\n".join(found.sentences()))
