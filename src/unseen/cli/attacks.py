"""`unseen attacks`: the catalogue; `unseen attacks show NAME`: one attack explained."""

from typing import Annotated

import typer

import unseen
from unseen.cli.catalogue import Catalogue
from unseen.cli.conduct import conduct

app = typer.Typer(cls=Catalogue, help="List the attacks, or explain one.", invoke_without_command=True)


@app.callback()
def listing(
    context: typer.Context, json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False
) -> None:
    """List the attacks, recommended ones first."""
    if context.invoked_subcommand is None:
        unseen.renderers.show_catalogue(unseen.attacks.catalogue(), json=json)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="The attack's name.")],
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Explain one attack: meaning, what it needs, access, citation."""
    with conduct():
        attack = unseen.options.Options(attacks=[name]).chosen()[0]
    unseen.renderers.show_attack(attack, json=json)
