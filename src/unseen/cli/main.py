"""The `unseen` command."""

from typing import Annotated

import typer

from unseen import __version__
from unseen.cli import attacks, audit, compare, controls, demo, guard, init, manifest, plan, report
from unseen.cli import open as opening

app = typer.Typer(
    name="unseen",
    help="Measure how far a model gives away who was in its training data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="Exit codes: 0 within policy (without one: no leak found), 1 over it (without one: a leak above chance), "
    "2 wrong input, 3 inconclusive or failed.",
)
app.command(
    "guard",
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False},
)(guard.guard)
app.command("init")(init.init)
app.command("audit")(audit.audit)
app.command("compare")(compare.compare)
app.command("demo")(demo.demo)
app.command("manifest")(manifest.manifest)
app.command("report")(report.report)
app.command("open")(opening.open_report)
app.add_typer(attacks.app, name="attacks")
app.add_typer(controls.app, name="controls")
app.add_typer(plan.app, name="plan")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Measure how far a model gives away who was in its training data."""
