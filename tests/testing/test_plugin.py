"""The pytest plugin in a project of somebody else's: it costs nothing unused, and turns an audit into a test."""

import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ET

import msgspec
import numpy as np
import pytest

import unseen
from unseen.testing import assert_private

MEMBER = np.arange(400) < 200
AUDITS = """
    import numpy as np
    import pytest
    from sklearn.tree import DecisionTreeClassifier
    from unseen.testing import assert_private

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(900, 3)), rng.integers(0, 2, 900)
    members, others = (X[:300], y[:300]), (X[300:600], y[300:600])
    asked = {"references": 0, "attacks": ["loss", "gap"], "fprs": [0.1]}

    def test_over(unseen_audit):
        model = DecisionTreeClassifier(random_state=0).fit(*members)
        assert_private(unseen_audit(model, members, others, **asked))

    def test_within(unseen_audit, tmp_path):
        model = DecisionTreeClassifier(random_state=0, max_depth=3).fit(X[600:], y[600:])
        first = unseen_audit(model, members, others, **asked)
        assert_private(first)
        unseen_audit(model, members, others, None, **asked | {"seed": 1})
        assert (tmp_path / "unseen-run" / "report.json").exists()
        assert (tmp_path / "unseen-run-2" / "report.json").exists()
        assert first.report.provenance.seed == 0
"""


def ran(folder, code, *options):
    """Run pytest on `code` in an empty folder as another project would, with warnings as errors."""
    (folder / "test_it.py").write_text(textwrap.dedent(code), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "-p", "no:randomly"]
    return subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def score(shift, **policy):
    scores = np.random.default_rng(0).normal(size=400) + shift * MEMBER
    return unseen.audit_table({"member": MEMBER, "score": scores}, fprs=[0.1], policy=unseen.Policy(**policy))


def test_a_project_that_does_not_audit_imports_nothing_heavy(tmp_path):
    code = """
        import sys

        def test_nothing_heavy_came_along():
            assert "unseen.testing.plugin" in sys.modules
            heavy = {"numpy", "scipy", "sklearn", "polars", "msgspec", "rich", "unseen.outcome", "unseen.auditing"}
            assert not heavy & set(sys.modules)
    """
    done = ran(tmp_path, code)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_fixture_is_listed_with_its_meaning(tmp_path):
    done = ran(tmp_path, "def test_nothing(): pass", "--fixtures")
    assert "unseen_audit" in done.stdout
    assert "Return `unseen.audit` with seed 0" in done.stdout


@pytest.mark.slow
def test_an_audit_is_a_test_with_its_verdict_and_its_properties(tmp_path):
    done = ran(tmp_path, AUDITS, "--junitxml=junit.xml")
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout
    assert "AssertionError: LEAK FOUND" in done.stdout
    assert "private.py" not in done.stdout  # the line shown is the test's own
    cases = {case.get("name"): case for case in ET.parse(tmp_path / "junit.xml").iter("testcase")}
    held = {name: [(p.get("name"), p.get("value")) for p in case.iter("property")] for name, case in cases.items()}
    assert ("unseen_state", "leak") in held["test_over"]
    assert [name for name, _ in held["test_within"]] == ["unseen_state", "unseen_auc"] * 2


def test_within_the_policy_nothing_is_said():
    assert assert_private(score(0.0)) is None
    assert assert_private(score(0.0).report) is None


def test_a_leak_and_what_is_over_the_policy_fail_with_the_verdict():
    with pytest.raises(AssertionError, match=r"^LEAK FOUND: .*\n(.*\n)*AUC of the recommended attack"):
        assert_private(score(2.0))
    over = score(2.0, limits=(unseen.Limit("auc", at_most=0.6),))
    with pytest.raises(AssertionError, match=r"^OVER POLICY: .*\nBecause: over the limit"):
        assert_private(over, allow_inconclusive=True)


def test_what_could_not_be_told_fails_with_another_message():
    undecided = score(0.0, limits=(unseen.Limit("tpr", at_most=0.5, fpr=0.001),))
    with pytest.raises(AssertionError, match=r"^the audit could not tell, and does not pass.\nINCONCLUSIVE"):
        assert_private(undecided)
    assert assert_private(undecided, allow_inconclusive=True) is None
    failed = msgspec.structs.replace(undecided.report, state="failed")
    with pytest.raises(AssertionError, match="could not tell"):
        assert_private(failed)


def test_no_other_name_is_promised():
    with pytest.raises(AttributeError, match="no attribute 'assert_anything'"):
        _ = unseen.testing.assert_anything
