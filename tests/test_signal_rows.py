"""One model a signal row that leaks through that row alone: the report finds it there, and nowhere else."""

import re

import numpy as np
import polars as pl
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import unseen
from unseen.attack import ROWS
from unseen.renderers.markdown import markdown
from unseen.renderers.page import html_page
from unseen.testing.rows import LEAKS, draw

N = 2000
FINDS = {"S1": {"entropy"}, "S2": {"rank-combined", "lira-online", "base"}, "S3": {"gap"}, "S4": {"noise-robustness"}}


def audited(row, seed):
    kind = LEAKS[row]
    X, y = draw(seed, 2 * N, kind.classes)
    options = {"references": 8, "workers": 1, "seed": seed}
    if row != "S5":
        return unseen.audit(kind(seed).fit(X[:N], y[:N]), (X[:N], y[:N]), (X[N:], y[N:]), **options)
    table = pl.DataFrame(X, schema=["a", "b", "c", "diagnosed"])
    sides = (table[:N], y[:N]), (table[N:], y[N:])
    model = make_pipeline(FunctionTransformer(np.asarray), kind(seed)).fit(*sides[0])
    options["references"] = 0  # whoever retrains sees it in each of the few, and that is row S2
    return unseen.audit(model, *sides, context=unseen.Context(sensitive=("diagnosed",)), **options)


def test_there_is_a_specimen_for_every_row():
    assert list(LEAKS) == list(ROWS)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("row", FINDS)
def test_a_leak_through_one_row_is_found_there_and_nowhere_else(row, seed):
    report = audited(row, seed).report
    found = {one.name: one.row for one in report.attacks if one.state == "leak"}
    assert report.state == "leak"
    assert set(found.values()) == {row}
    assert FINDS[row] <= set(found)
    assert [gate.name for gate in report.gates if gate.state == "broken"] == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_leak_of_a_sensitive_few_is_found_in_their_slice_and_nowhere_else(seed):
    report = audited("S5", seed).report
    assert report.state == "leak"
    assert [one.name for one in report.attacks if one.state == "leak"] == []
    assert {(one.by, one.value) for one in report.slices if one.state == "leak"} == {("diagnosed", "1.0")}
    row = html_page(report).split("S5: ")[1].split("</tbody>")[0]
    assert re.search(r"diagnosed: 1\.0.*?leak", row, re.DOTALL)
    assert "| S5 | diagnosed: 1.0 | leak |" in markdown(report)
