"""The pytest plugin: a fixture that audits, keeps the run beside the test's other files, and tells JUnit the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # nothing of ours is imported until a test asks for the fixture
    from collections.abc import Callable
    from pathlib import Path

    from unseen.outcome import Outcome


@pytest.fixture
def unseen_audit(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., Outcome]:
    """Return `unseen.audit` with seed 0; its run is kept in `tmp_path`, its state and AUC in the test's properties.

    JUnit files show properties; they are set on the test itself, as `record_property` warns with most families. Further
    runs of one test are kept in `unseen-run-2` and on; other arguments are those of `unseen.audit`.
    """
    calls = 0
    told: list[tuple[str, object]] = request.node.user_properties

    def run(model: Any, members: Any, non_members: Any, *more: Any, **options: Any) -> Outcome:
        import unseen

        nonlocal calls
        calls += 1
        folder = tmp_path / ("unseen-run" if calls == 1 else f"unseen-run-{calls}")
        given = {"folder": folder} | options
        outcome: Outcome = unseen.audit(model, members, non_members, *more, **given)
        if given["folder"] is not None:
            outcome.save(given["folder"])
        told.append(("unseen_state", outcome.state))
        wanted = ("auc", outcome.report.recommended, "")
        areas = [one for one in outcome.estimates if (one.quantity, one.attack, one.slice) == wanted]
        told.extend(("unseen_auc", f"{one.value:.4f} [{one.low:.4f}, {one.high:.4f}]") for one in areas)
        return outcome

    return run
