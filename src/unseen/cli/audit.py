"""`unseen audit PLAN`: run the audit that a plan describes."""

from pathlib import Path
from typing import Annotated

import typer

import unseen
from unseen.cli.conduct import conduct, progress_bars, say_what_was_kept, standard_output_is_ours


def audit(
    plan: Annotated[Path, typer.Argument(help="The plan (TOML); `unseen init` writes one.")],
    out: Annotated[Path | None, typer.Option(help="The run folder, instead of the plan's.")] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Load a pickled model: this runs any code inside the file.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Run the audit that a plan describes; the exit code is the verdict."""
    with conduct("Finished references are kept; the same command continues."):
        with standard_output_is_ours(), progress_bars() as progress:
            outcome = unseen.audit_plan(plan, folder=out, trust=trust, progress=progress)
        say_what_was_kept(outcome)
        unseen.renderers.show(outcome.report, json=json)
    raise typer.Exit(outcome.report.exit_code)
