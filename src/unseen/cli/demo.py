"""`unseen demo`: audit a real model on real census records."""

from pathlib import Path
from typing import Annotated

import typer

import unseen
from unseen.cli.conduct import conduct, progress_bars, say_what_was_kept, standard_output_is_ours


def demo(
    out: Annotated[Path, typer.Option(help="Where to leave the model, the tables, the plan and the run.")] = Path(
        "unseen-demo"
    ),
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Audit scikit-learn's default random forest on census records that ship with the package.

    Ends with exit code 0 whatever it finds: it is a demonstration, not a gate.
    """
    with conduct("What is finished is kept; the same command continues."):
        with standard_output_is_ours(), progress_bars() as progress:
            outcome = unseen.demo.demo(out, progress)
        say_what_was_kept(outcome)
        unseen.renderers.show(outcome.report, json=json)
    if not json:
        typer.echo(f"Left in {out}: plan.toml, the model and its tables; run/report.json, run/records.parquet.")
