"""What each example leaves: a run folder, its report as a page, and a line with time and memory."""

import resource
import time
from pathlib import Path

import unseen

HOME = Path(__file__).parent


def keep(name: str, outcome: unseen.Outcome, started: float) -> None:
    """Save the run under runs/, the page under reports/, and print what it took."""
    run = outcome.save(HOME / "runs" / name)
    page = HOME / "reports" / f"{name}.html"
    page.parent.mkdir(exist_ok=True)
    page.write_bytes(unseen.renderers.formats.rendered(outcome.report, "html"))
    own, workers = (
        resource.getrusage(who).ru_maxrss / 2**20 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(outcome)
    print(
        f"{time.monotonic() - started:.0f} s; {own:.1f} GiB at most in this process, {workers:.1f} in the largest worker"
    )
    print(f"left in {run.relative_to(HOME)} and {page.relative_to(HOME)}")
