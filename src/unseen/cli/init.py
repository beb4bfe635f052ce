"""`unseen init`: write a plan by looking at files."""

from pathlib import Path
from typing import Annotated

import typer

import unseen
from unseen.cli.conduct import conduct


def init(  # noqa: PLR0913, PLR0917 - one option a file or column
    members: Annotated[Path, typer.Option(help="Records that the model was trained on: Parquet or CSV.")],
    non_members: Annotated[Path, typer.Option(help="Records that it was not trained on, drawn the same way.")],
    model: Annotated[Path | None, typer.Option(help="The fitted model: .skops, or .joblib or .pkl on trust.")] = None,
    url: Annotated[str | None, typer.Option(help="Instead of a model: the endpoint to ask.")] = None,
    protocol: Annotated[
        str | None, typer.Option(help=f"What the endpoint speaks: {', '.join(unseen.plan.PROTOCOLS)}.")
    ] = None,
    population: Annotated[Path | None, typer.Option(help="Further non-members that an attacker may know.")] = None,
    label: Annotated[str | None, typer.Option(help="The label column, where it cannot be told.")] = None,
    group: Annotated[str | None, typer.Option(help="The column that names the person.")] = None,
    id: Annotated[str | None, typer.Option(help="The column that names the record.")] = None,  # noqa: A002
    trust: Annotated[
        bool, typer.Option("--trust", help="Look into a pickled model: this runs any code inside the file.")
    ] = False,
    out: Annotated[Path, typer.Option(help="The plan to write.")] = Path("plan.toml"),
) -> None:
    """Write a commented plan by looking at the files given."""
    with conduct():
        text = unseen.proposal.propose(
            model,
            members,
            non_members,
            population,
            url=url,
            protocol=protocol,
            label=label,
            group=group,
            id=id,
            relative_to=out.parent,
            trust=trust,
        )
        unseen.proposal.write_new(out, text)
    typer.echo(f"Wrote {out}. Read it, then: unseen audit {out}")
