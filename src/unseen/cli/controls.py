"""`unseen controls`: the catalogue of output controls; `unseen controls show NAME`: one control explained."""

from typing import Annotated

import typer

from unseen.cli.catalogue import Catalogue
from unseen.cli.conduct import conduct

app = typer.Typer(cls=Catalogue, help="List the output controls, or explain one.", invoke_without_command=True)


@app.callback()
def listing(
    context: typer.Context, json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False
) -> None:
    """List the output controls, by surface, the gentlest first."""
    if context.invoked_subcommand is None:
        from unseen.controls import describing  # start-up time: NumPy is loaded for those who ask

        typer.echo(describing.as_json() if json else describing.listing())


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="The control's name.")],
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Explain one control: what it hides, costs and promises, and what it does not stop."""
    from unseen.controls import describing  # the same

    with conduct():
        typer.echo(describing.as_json(name) if json else describing.explained(name))
