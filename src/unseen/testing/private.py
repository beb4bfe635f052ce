"""An audit as an assertion: what is over the policy, or could not be told, fails the test."""

from unseen.outcome import Outcome
from unseen.renderers.terminal import verdict
from unseen.report import Report

OVER = 1


def assert_private(audited: Outcome | Report, *, allow_inconclusive: bool = False) -> None:
    """Raise `AssertionError` with the verdict where an audit is over its policy, or could not tell.

    Without limits in the policy, a leak above chance is over it. `allow_inconclusive` lets an audit pass that could not
    tell, which proves nothing. That it passes says only what the report says: which attacks, at what power.

    >>> import numpy as np, unseen
    >>> loss = np.random.default_rng(0).exponential(size=400)
    >>> assert_private(unseen.audit_table({"member": np.arange(400) < 200, "loss": loss}))
    """
    __tracebackhide__ = True
    report = audited.report if isinstance(audited, Outcome) else audited
    if not isinstance(report, Report):
        raise TypeError(f"assert_private takes an Outcome or a Report, got {type(audited).__name__}.")
    if report.exit_code == 0:
        return
    if report.exit_code == OVER:
        raise AssertionError(verdict(report))
    if not allow_inconclusive:
        raise AssertionError(f"the audit could not tell, and does not pass.\n{verdict(report)}")
