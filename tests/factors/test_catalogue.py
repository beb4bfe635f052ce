"""Every factor, in whole audits: measured or with a reason, never raising, never quoting a record."""

from functools import cache

import numpy as np
import polars as pl
import pytest
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from tests.factors.cases import halves, made

import unseen
from unseen.factor import FACTOR_ROWS, Factor, measured, unmeasured
from unseen.factors import FACTORS, catalogue
from unseen.policy import Context, Policy
from unseen.report import DECLARED, NOT_APPLICABLE, NOT_SEEN, PRESENT, to_json

N = 300
SECRET = "Rumpelstilzchen"
X, Y = make_classification(2 * N, 5, n_informative=4, n_redundant=0, flip_y=0.3, random_state=0)
RNG = np.random.default_rng(0)
TABLE = pl.DataFrame({f"x{place}": X[:, place] for place in range(5)}).with_columns(
    town=pl.Series(np.where(RNG.random(2 * N) < 0.3, SECRET, "west"))
)
QUICK = ("rank-combined", "loss", "gap")
CONTEXT = Context(access="api", queries_per_day=100)


@cache
def audited(kind):
    model = {"tree": DecisionTreeClassifier(random_state=0), "linear": LogisticRegression()}[kind]
    encode = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["town"]), remainder="passthrough")
    labels = Y if kind == "tree" else (X[:, 0] + 0.5 * RNG.normal(size=2 * N) > 0).astype(int)
    fitted = make_pipeline(encode, model).fit(TABLE[:N], labels[:N])
    return unseen.audit(
        fitted,
        (TABLE[:N], labels[:N]),
        (TABLE[N:], labels[N:]),
        references=4,
        workers=1,
        attacks=QUICK,
        policy=Policy(flag_fpr=0.1),
        context=CONTEXT,
    ).report


def states(report):
    return {one.name: one.state for one in report.factors}


def test_every_row_of_the_risk_has_a_factor_and_every_factor_a_control():
    assert {factor.row for factor in FACTORS} == set(FACTOR_ROWS)
    assert list(catalogue()) == [factor.name for factor in FACTORS]
    for factor in FACTORS:
        assert factor.controls
        assert factor.cites
        assert factor.meaning.endswith(".")


def test_a_tree_that_learns_by_heart_shows_why_it_leaks():
    found = states(audited("tree"))
    assert {"overfitting": PRESENT, "capacity": PRESENT, "training-size": NOT_SEEN, "access": DECLARED}.items() <= (
        found.items()
    )
    assert found["duplicates"] == found["separation"] == NOT_SEEN


def test_a_plain_linear_model_shows_nothing_much():
    found = states(audited("linear"))
    assert found["overfitting"] == found["capacity"] == found["output-detail"] == NOT_SEEN


@pytest.mark.parametrize("kind", ["tree", "linear"])
def test_no_factor_fails_and_each_measured_one_has_numbers_with_intervals(kind):
    for one in audited(kind).factors:
        assert "raised" not in one.finding
        if one.state in {PRESENT, NOT_SEEN}:
            assert one.estimates
            assert all(e.low <= e.value <= e.high and e.method and e.counts for e in one.estimates)


def test_no_value_of_a_record_is_in_a_report():
    assert SECRET.encode() not in to_json(audited("tree"))


def test_present_factors_stand_among_the_evidence():
    assert any(line.startswith("overfitting:") for line in audited("tree").evidence.against_release)


def test_persons_as_the_unit_are_measured_too():
    groups = np.repeat(np.arange(N), 2).astype(str)
    sides = (unseen.Records(X[rows], Y[rows], groups=groups[rows]) for rows in (slice(0, N), slice(N, 2 * N)))
    model = DecisionTreeClassifier(random_state=0).fit(X[:N], Y[:N])
    report = unseen.audit(model, *sides, references=0, policy=Policy(flag_fpr=0.1)).report
    assert states(report)["overfitting"] == PRESENT
    assert "raised" not in repr(report.factors)


def test_scores_and_labels_alone_leave_the_output_unmeasured():
    model = LinearSVC().fit(X[:N], Y[:N])
    report = unseen.audit(model, (X[:N], Y[:N]), (X[N:], Y[N:]), references=0).report
    assert states(report)["output-detail"] == NOT_APPLICABLE


def test_a_function_and_a_table_of_answers_are_measured_as_far_as_they_go():
    model = GaussianNB().fit(X[:N], Y[:N])
    report = unseen.audit(model.predict_proba, (X[:N], Y[:N]), (X[N:], Y[N:]), references=0, classes=[0, 1]).report
    assert states(report)["capacity"] == NOT_APPLICABLE
    assert states(report)["output-detail"] != NOT_APPLICABLE
    answers = {"probability": model.predict_proba(X), "label": Y, "member": np.arange(2 * N) < N}
    report = unseen.audit_table(answers).report
    assert states(report)["overfitting"] != NOT_APPLICABLE
    assert states(report)["outlying"] == NOT_APPLICABLE
    assert "raised" not in repr(report.factors)


def test_a_factor_that_raises_is_not_measured_and_says_no_more_than_the_kind():
    def breaks(case):
        """Break."""
        raise ValueError(SECRET)

    found = Factor(breaks, "F1", ("none",))(made(halves(4)))
    assert (found.state, found.finding) == (NOT_APPLICABLE, "measuring it raised ValueError")


def test_a_row_that_does_not_exist_is_refused():
    with pytest.raises(TypeError, match="row"):
        Factor(lambda _: unmeasured(""), "F9", ())


def test_what_was_seen_is_present_and_what_was_not_is_not():
    assert measured(seen=True, finding="").state == PRESENT
    assert measured(seen=False, finding="").state == NOT_SEEN
