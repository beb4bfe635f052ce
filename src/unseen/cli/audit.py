"""`unseen audit PLAN`: run the audit that a plan describes."""

from pathlib import Path
from typing import Annotated

import typer

import unseen
from unseen.cli.conduct import conduct, progress_bars, say_what_was_kept, standard_output_is_ours


def audit(  # noqa: PLR0913, PLR0917 - one option each
    plan: Annotated[Path | None, typer.Argument(help="The plan (TOML); `unseen init` writes one.")] = None,
    report: Annotated[
        Path | None, typer.Option("--from", help="Instead of a plan: a report.json, to run its audit again.")
    ] = None,
    home: Annotated[
        Path | None, typer.Option(help="With --from: the folder of the plan, where it cannot be told.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder, instead of the plan's.")] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Load a pickled model: this runs any code inside the file.")
    ] = False,
    recipe: Annotated[
        bool, typer.Option("--recipe", help="Audit the training procedure of the plan's [recipe], not one model.")
    ] = False,
    through: Annotated[
        str | None,
        typer.Option(help="A url: the same model behind a deployed policy, audited too."),
    ] = None,
    through_key: Annotated[
        str | None,
        typer.Option(metavar="env:NAME|file:PATH", help="Where the policy's key is; never the key itself."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Run the audit that a plan describes, or a report holds; the exit code is the verdict."""
    if (plan is None) == (report is None) or (home is not None and report is None):
        raise typer.BadParameter("name a plan, or a report with --from (and --home); one of the two.")
    behind = through is not None or through_key is not None
    if (recipe or behind) and plan is None:
        raise typer.BadParameter("--recipe, --through and --through-key need a plan.")
    if recipe and behind:
        raise typer.BadParameter("--recipe audits a training procedure, --through a deployed model; one of the two.")
    with conduct("What is finished is kept; the same command continues."):
        for line in unseen.replay.other_versions(report) if report is not None else []:
            typer.echo(f"unseen: {line}", err=True)
        if recipe and plan is not None:
            with standard_output_is_ours(), progress_bars() as progress:
                repeated = unseen.planned.audit_plan_recipe(plan, folder=out, trust=trust, progress=progress)
            unseen.renderers.show_procedure(repeated.report, json=json)
            raise typer.Exit(repeated.report.exit_code)
        if plan is not None and (behind or unseen.plan.read_plan(plan).through is not None):
            with standard_output_is_ours(), progress_bars() as progress:
                pair = unseen.audit_plan_through(
                    plan, through, key=through_key, folder=out, trust=trust, progress=progress
                )
            typer.echo(f"unseen: the comparison as a page: {pair.page}.", err=True)
            unseen.renderers.show_through(pair.direct.report, pair.through.report, pair.comparison, json=json)
            raise typer.Exit(pair.through.report.exit_code)
        with standard_output_is_ours(), progress_bars() as progress:
            if report is not None:
                outcome = unseen.audit_report(report, home=home, folder=out, trust=trust, progress=progress)
            elif plan is not None:
                outcome = unseen.audit_plan(plan, folder=out, trust=trust, progress=progress)
        say_what_was_kept(outcome)
        unseen.renderers.show(outcome.report, json=json)
    raise typer.Exit(outcome.report.exit_code)
