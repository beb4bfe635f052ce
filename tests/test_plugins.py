"""What installed packages offer is asked in every audit; what cannot be loaded is named and never passes."""

from importlib.metadata import EntryPoint

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB

import unseen
from unseen import plugins
from unseen.factor import Factor, Measurement
from unseen.gate import Gate, held

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(600, 3)), rng.integers(0, 2, 600)


def fine(_case):
    """All is well."""
    return held("it is")


def warm(_case):
    """It is warm."""
    return Measurement("present", "it is")


OFFERED, MEASURED, NEITHER = Gate(check=fine, advice=""), Factor(measure=warm, row="F1", controls=("shade",)), 3


@pytest.fixture
def offer(monkeypatch):
    def offered(group, value):
        point = EntryPoint("offered", value, group)
        found = {group: [point]}
        monkeypatch.setattr(plugins, "entry_points", lambda group: found.get(group, []))
        model = GaussianNB().fit(X[:300], Y[:300])
        return unseen.audit(model, (X[:300], Y[:300]), (X[300:], Y[300:]), references=0, attacks=["gap"]).report

    return offered


def test_an_offered_gate_is_asked(offer):
    assert "fine" in {one.name for one in offer("unseen.gates", f"{__name__}:OFFERED").gates}


def test_an_offered_factor_is_measured(offer):
    assert "warm" in {one.name for one in offer("unseen.factors", f"{__name__}:MEASURED").factors}


@pytest.mark.parametrize("value", ["no_such_module:GATE", f"{__name__}:NEITHER"])
def test_a_gate_that_cannot_be_had_breaks_the_audit(offer, value):
    report = offer("unseen.gates", value)
    assert report.state == "inconclusive"
    assert {one.name: one.state for one in report.gates}["offered"] == "broken"


@pytest.mark.parametrize("value", ["no_such_module:FACTOR", f"{__name__}:NEITHER"])
def test_a_factor_that_cannot_be_had_is_named(offer, value):
    assert {one.name: one.state for one in offer("unseen.factors", value).factors}["offered"] == "not_applicable"
