"""The folder of two runs side by side, a model asked directly and through a policy: what it holds, read back."""

from pathlib import Path

import msgspec

from unseen.comparison import Comparison, comparison_from_json
from unseen.errors import FolderError
from unseen.report import Report
from unseen.runs import read_run

DIRECT, THROUGH, COMPARISON = "direct", "through", "comparison.json"
PAGES = {"html": "comparison.html", "markdown": "comparison.md"}


def is_pair(run: Path) -> bool:
    """Say whether `run` is such a folder, finished or not, or its comparison."""
    return run.name == COMPARISON or (run / DIRECT).is_dir()


def folder_of(run: Path) -> Path:
    """Return the folder that holds both runs."""
    return run.parent if run.name == COMPARISON else run


def read_pair(run: Path) -> tuple[Report, Report, Comparison]:
    """Return both reports of such a folder and their comparison; raises `FolderError` where one cannot be read."""
    place = folder_of(run)
    try:
        content = (place / COMPARISON).read_bytes()
    except FileNotFoundError:
        raise FolderError(
            f"{place} holds no {COMPARISON}, so the audit through the policy has not finished: its command continues."
        ) from None
    except OSError as error:
        raise FolderError(f"{place / COMPARISON} could not be read: {error.strerror}.") from None
    try:
        comparison = comparison_from_json(content)
    except (msgspec.DecodeError, RecursionError):
        raise FolderError(f"{place / COMPARISON} is damaged, or no comparison of this version: audit again.") from None
    return read_run(place / DIRECT), read_run(place / THROUGH), comparison
