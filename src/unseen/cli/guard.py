"""`unseen guard ...`: handed on to the guard's own commands, which need no library for command lines."""

import typer


def guard(context: typer.Context) -> None:
    """A policy, enforced in front of a running model."""
    from unseen.guard.commands import main

    raise typer.Exit(main(context.args))
