"""How every subcommand behaves: errors as one sentence, exit codes, and progress for people only."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout

import typer

import unseen
from unseen.errors import UnseenError

INTERRUPTED = 130
NAMED = 5  # damaged files, the others are counted
UNFORESEEN = 3  # never 1: a crash is no verdict
DEBUG = "UNSEEN_DEBUG"


def quiet(what: str, done: int, of: int) -> None:
    """Say nothing."""


@contextmanager
def conduct(kept: str = "") -> Iterator[None]:
    """Turn errors into one sentence on standard error and the error's exit code; `kept` says what an interrupt left."""
    try:
        yield
    except UnseenError as error:
        typer.echo(f"unseen: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        typer.echo(f"unseen: interrupted.{f' {kept}' if kept else ''}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except OSError as error:
        typer.echo(f"unseen: the system refused: {error.strerror or type(error).__name__}.", err=True)
        raise typer.Exit(2) from None
    except typer.Exit:
        raise
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        typer.echo(
            f"unseen: an unforeseen {type(error).__name__}, a fault of ours; its message is withheld because it may "
            f"quote records. {DEBUG}=1 in the environment shows it.",
            err=True,
        )
        raise typer.Exit(UNFORESEEN) from None


def say_what_was_kept(outcome: "unseen.Outcome") -> None:
    """Say on standard error how many references came from an earlier run, and which of those were damaged."""
    asked = outcome.report.references.asked
    if outcome.reused:
        typer.echo(f"unseen: {outcome.reused} of {asked} references were kept from an earlier run.", err=True)
    if outcome.damaged:
        count, names = len(outcome.damaged), ", ".join(outcome.damaged[:NAMED])
        more = ", ..." if count > NAMED else ""
        typer.echo(f"unseen: {count} kept references were damaged on disk and trained again: {names}{more}.", err=True)


@contextmanager
def standard_output_is_ours() -> Iterator[None]:
    """Send what models and libraries print to standard error, so that standard output holds the report alone."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a progress function that draws bars with the time left on a terminal, and is silent elsewhere."""
    if not sys.stderr.isatty():
        yield quiet
        return
    from rich.console import Console  # start-up time: only who watches pays for it
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def progress(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=of)
            bars.update(tasks[what], completed=done, total=of)

        yield progress
