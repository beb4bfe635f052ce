"""Who may query, and how often, is told as declared."""

import pytest
from tests.factors.cases import halves, made

from unseen.factors.access import ACCESS
from unseen.policy import ACCESSES, Context
from unseen.report import DECLARED, NOT_APPLICABLE


def asked(**context):
    return ACCESS(made(halves(20), queries=2500, context=Context(**context)))


def test_nothing_declared_is_nothing_said_but_how_to_say_it():
    found = asked()
    assert found.state == NOT_APPLICABLE
    assert "[context]" in found.finding


@pytest.mark.parametrize("access", ACCESSES)
def test_every_kind_of_access_is_told_and_measured_by_nobody(access):
    found = asked(access=access)
    assert (found.state, found.estimates) == (DECLARED, [])
    assert "no limit on queries is declared" in found.finding


def test_a_limit_stands_beside_what_the_audit_asked():
    found = asked(access="api", queries_per_day=1000)
    assert "the 2500 of this audit take one person 3 days" in found.finding
    assert found.counts == {"queries": 2500, "queries_per_day": 1000}
    assert "nobody may query" in asked(queries_per_day=0).finding


def test_no_limit_holds_for_weights_that_everybody_has():
    assert "no limit on queries holds" in asked(access="public_weights", queries_per_day=5).finding
