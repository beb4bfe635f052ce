"""`unseen manifest TABLE`: the hash list of a training table, for the gate that compares."""

from pathlib import Path
from typing import Annotated

import typer

import unseen
from unseen.cli.conduct import conduct


def manifest(
    table: Annotated[Path, typer.Argument(help="The table that the model is trained on: Parquet or CSV.")],
    label: Annotated[str, typer.Option(help="The label column.")],
    drop: Annotated[
        list[str] | None, typer.Option(help="A column that is no feature: the id, the group and the plan's data.drop.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The hash list to write.")] = Path("manifest.txt"),
) -> None:
    """Write the content digests of a training table; name the file as `manifest` in a plan's [data].

    The audit then sees that its members really are in the training set, and its non-members are not.
    """
    with conduct():
        rows = unseen.manifest.write_hash_list(table, label, drop or [], out)
    typer.echo(f"Wrote {out}: {rows} digests. Keep it as you keep the table: who has a row can look it up.")
