"""Exposed members that are unlike the others are seen, with the columns and never the values."""

from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from tests.factors.cases import covered, halves, made, named

from unseen.factors.outlying import OUTLYING
from unseen.report import NOT_APPLICABLE, NOT_SEEN, PRESENT

UNITS = 400
SECRET = "Rumpelstilzchen"


def world(seed, apart=0.0, kind="polars", flagged=0.2, **rest):
    """Members flagged at random; their income lies this far out, on either side, and their town is a rare one."""
    rng = np.random.default_rng(seed)
    flags = rng.random(UNITS) < flagged
    income = rng.normal(size=UNITS) + apart * flags * rng.choice([-1, 1], UNITS)
    rare = flags & (rng.random(UNITS) < 0.5) if apart else rng.random(UNITS) < 0.1
    town = np.where(rare, SECRET, np.where(rng.random(UNITS) < 0.5, "east", "west"))
    columns = {"income": income, "height": rng.normal(size=UNITS), "town": town}
    tables = {
        "polars": pl.DataFrame,
        "pandas": pd.DataFrame,
        "numpy": lambda given: np.column_stack([given["income"], given["height"]]),
        "sparse": lambda given: sparse.csr_array(np.column_stack([given["income"], given["height"]])),
    }
    case = made(halves(UNITS), features=tables[kind](columns), **rest)
    return replace(case, recommended="planted", p_values={"planted": np.where(flags, 0.001, 0.5)})


@pytest.mark.parametrize(
    ("kind", "name"), [("polars", "income"), ("pandas", "income"), ("numpy", "column 1"), ("sparse", "column 1")]
)
def test_exposed_outliers_are_seen_and_the_column_is_named(kind, name):
    found = OUTLYING(world(0, 4.0, kind))
    assert found.state == PRESENT
    assert name in found.finding
    assert "height" not in found.finding
    assert "column 2" not in found.finding


def test_columns_of_text_are_compared_and_their_values_never_told():
    found = OUTLYING(world(0, 4.0))
    assert "town" in found.finding
    assert SECRET not in repr(found)
    assert "east" not in repr(found)


def test_members_flagged_at_random_are_seen_in_few_worlds_and_the_interval_holds_a_half():
    found = [OUTLYING(world(seed)) for seed in range(80)]
    assert np.mean([one.state == PRESENT for one in found]) <= 0.075  # one-sided 2.5 %, three deviations
    assert covered([named(one, "outlying_auc")[0] for one in found], 0.5) >= 0.9
    assert np.mean(["none found" in one.finding for one in found]) >= 0.88  # Holm at 5 % over three columns


def test_the_counts_are_of_members_only():
    one = named(OUTLYING(world(0)), "outlying_auc")[0]
    assert one.counts["exposed"] + one.counts["other_members"] == UNITS // 2


def test_a_missing_value_is_not_outlying_by_itself():
    case = world(0)
    holes = case.features.with_columns(
        pl.when(pl.col("height") > 1).then(None).otherwise(pl.col("height")).alias("height")
    )
    assert OUTLYING(replace(case, features=holes)).state == NOT_SEEN


def test_at_most_five_columns_are_named_and_at_most_two_hundred_looked_at():
    rng = np.random.default_rng(0)
    case = world(0, 4.0)
    flags = case.p_values["planted"] < 0.01
    wide = rng.normal(size=(UNITS, 230)) + 3.0 * flags[:, None]
    found = OUTLYING(replace(case, features=wide))
    assert found.finding.split("they differ: ")[1].count("column") == 5
    late = rng.normal(size=(UNITS, 230))
    late[:, 210] += 9.0 * flags
    assert "none found" in OUTLYING(replace(case, features=late)).finding


@pytest.mark.parametrize("flagged", [0.0, 0.02, 0.99])
def test_with_a_handful_on_a_side_nothing_is_said_of_them(flagged):
    found = OUTLYING(world(0, 4.0, flagged=flagged))
    assert (found.state, found.estimates, found.counts) == (NOT_APPLICABLE, [], {})


def test_without_features_or_flags_it_says_why():
    assert "features" in OUTLYING(made(halves(40))).finding
    assert "flagged" in OUTLYING(made(halves(40), features=np.zeros((40, 2)))).finding
    few = made(halves(40), features=np.zeros((40, 2)), scores=np.arange(40.0))
    assert "too few non-members" in OUTLYING(few).finding  # 20 of them cannot give a p-value of 1 %


def test_a_person_counts_once():
    case = world(0, 4.0)
    unit_of = np.repeat(np.arange(UNITS // 2), 2)
    shared = np.repeat(case.p_values["planted"][::2], 2)
    persons = made(halves(UNITS // 2), unit_of=unit_of, features=case.features)
    persons = replace(persons, recommended="planted", p_values={"planted": shared[::2]})
    found = OUTLYING(persons)
    assert found.counts["exposed"] + found.counts["other_members"] == UNITS // 4
