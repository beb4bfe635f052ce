"""What each example leaves: a run folder, its report as a page, and a line with the time."""

import time
from pathlib import Path

import unseen

HOME = Path(__file__).parent


def keep(name: str, outcome: unseen.Outcome, started: float) -> None:
    """Save the run under runs/, the page under reports/, and print the verdict."""
    run = outcome.save(HOME / "runs" / name)
    page = HOME / "reports" / f"{name}.html"
    page.parent.mkdir(exist_ok=True)
    page.write_bytes(unseen.renderers.formats.rendered(outcome.report, "html"))
    print(outcome)
    print(f"{time.monotonic() - started:.0f} s; left in {run.relative_to(HOME)} and {page.relative_to(HOME)}")
