"""The audit of a training procedure: what it finds over targets, and that its design gives nothing away."""

import json

import msgspec
import numpy as np
import polars as pl
import pytest
from scipy.stats import binom
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import unseen
from unseen.attack import Attack
from unseen.errors import DataError, FolderError, PlanError
from unseen.procedure import Procedure, procedure_schema
from unseen.signal import Bools, Floats, Ints
from unseen.signals import LABEL, REF_MEMBER

QUICK = ["rank-combined", "moderated-t-trend", "loss"]


def table(seed=0, rows=600, columns=4):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, columns))
    return X, (X[:, 0] + rng.normal(size=rows) > 0).astype(int)


def shallow(features, labels, seed):
    return DecisionTreeClassifier(max_depth=6, random_state=seed).fit(features, labels)


def deaf(features, labels, seed):
    """A model that does not depend on what it is trained on, but for its classes."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(300, 4))
    return LogisticRegression().fit(X, (X[:, 0] + rng.normal(size=300) > 0).astype(int))


def reference_count(label: Ints, ref_member: Bools) -> Floats:
    """Score each record by how few references had it."""
    return -ref_member.sum(axis=0).astype(float)


COUNT = Attack(score=reference_count, needs=(LABEL, REF_MEMBER), row="S2", cites="a flaw of balanced designs")


def test_a_procedure_that_remembers_leaks_on_every_target():
    repeated = unseen.audit_recipe(shallow, table(), targets=4, references=6, attacks=QUICK)
    report = repeated.report
    assert report.state == "leak"
    assert report.targets == 4
    assert report.references == 6
    best = next(one for one in report.attacks if one.name == report.recommended)
    assert best.above_chance == 4
    area = next(one for one in best.spreads if one.quantity == "auc")
    assert len(area.values) == 4
    assert area.low < area.mean < area.high
    assert area.mean > 0.6
    assert [one.state for one in report.gates] == ["held"]


def test_counts_of_repeated_flags_add_up():
    repeated = unseen.audit_recipe(shallow, table(), targets=4, references=4, attacks=QUICK)
    units = repeated.records
    repeats = repeated.report.repeats
    assert sum(repeats.trained) == sum(repeats.flagged) == sum(repeats.false) == units.height == 600
    assert (units["flagged by those"] <= units["targets trained on it"]).all()
    assert (units["flagged by others"] <= 4 - units["targets trained on it"]).all()
    counted = np.bincount(units["flagged by those"].to_numpy(), minlength=5).tolist()
    assert counted == repeats.flagged
    assert sum(k * n for k, n in enumerate(repeats.flagged)) > sum(k * n for k, n in enumerate(repeats.false))


def test_the_number_of_references_that_had_a_record_says_nothing_of_its_membership():
    X, y = table(rows=3000)
    repeated = unseen.audit_recipe(DecisionTreeClassifier(max_depth=2), (X, y), 4, 6, attacks=[COUNT, *QUICK])
    count = next(one for one in repeated.report.attacks if one.name == "reference-count")
    assert count.above_chance == 0
    assert next(one for one in count.spreads if one.quantity == "auc").mean == pytest.approx(0.5, abs=0.03)


@pytest.mark.slow
def test_procedures_that_learn_nothing_are_called_leaking_no_more_often_than_promised():
    worlds = 50
    alarms = sum(
        unseen.audit_recipe(deaf, table(seed, rows=300), 2, 3, attacks=QUICK, seed=seed).state == "leak"
        for seed in range(worlds)
    )
    assert alarms <= binom.ppf(0.999, worlds, 0.05)


def test_persons_are_drawn_and_judged_whole():
    X, y = table()
    groups = np.repeat(np.arange(200), 3).astype(str)
    repeated = unseen.audit_recipe(shallow, unseen.Records(X, y, groups=groups), 2, 4, attacks=QUICK)
    assert repeated.report.unit == "person"
    assert repeated.report.units == repeated.records.height == 200


def test_a_second_run_in_the_same_folder_trains_nothing_and_says_the_same(tmp_path):
    first = unseen.audit_recipe(shallow, table(), 2, 4, attacks=QUICK, folder=tmp_path / "run")
    first.save(tmp_path / "run")
    again = unseen.audit_recipe(shallow, table(), 2, 4, attacks=QUICK, folder=tmp_path / "run")
    assert (first.reused, again.reused) == (0, 5)
    blank = {"started": "", "seconds": 0.0}
    one, two = (msgspec.to_builtins(run.report) for run in (first, again))
    assert one | {"provenance": one["provenance"] | blank} == two | {"provenance": two["provenance"] | blank}
    assert pl.read_parquet(tmp_path / "run" / "records.parquet").height == 600
    saved = msgspec.json.decode((tmp_path / "run" / "procedure.json").read_bytes(), type=Procedure)
    assert saved.state == first.state
    with pytest.raises(FolderError):
        unseen.audit_recipe(shallow, table(1), 2, 4, attacks=QUICK, folder=tmp_path / "run")


def test_a_regression_procedure_is_audited():
    X, _ = table()
    y = X[:, 0] + np.random.default_rng(3).normal(size=600)
    repeated = unseen.audit_recipe(DecisionTreeRegressor(max_depth=7), (X, y), 2, 4, attacks=QUICK)
    assert repeated.state == "leak"


def test_a_recipe_that_is_not_deterministic_is_told_and_allowed():
    def moody(features, labels, seed):
        return DecisionTreeClassifier(max_depth=6, random_state=None, splitter="random").fit(features, labels)

    notes = unseen.audit_recipe(moody, table(), 2, 3, attacks=QUICK).report.notes
    assert any("not deterministic under its own seed" in note for note in notes)


def test_a_recipe_that_learns_nothing_is_told():
    notes = unseen.audit_recipe(
        lambda X, y, seed: DummyClassifier().fit(X, y), table(), 2, 3, attacks=QUICK
    ).report.notes
    assert any("learned nothing" in note for note in notes)


@pytest.mark.parametrize(("targets", "references"), [(1, 4), (8, 4)])
def test_too_few_targets_or_references_are_refused(targets, references):
    with pytest.raises(PlanError, match="targets"):
        unseen.audit_recipe(shallow, table(), targets, references)


def test_what_is_no_recipe_is_refused_and_so_are_repeated_ids():
    with pytest.raises(PlanError, match="a recipe is a function"):
        unseen.audit_recipe(3, table(), 2, 3)
    X, y = table()
    with pytest.raises(DataError, match="more than once"):
        unseen.audit_recipe(shallow, unseen.Records(X, y, ids=np.zeros(600)), 2, 3)


def test_the_report_has_a_schema_that_holds():
    import jsonschema

    repeated = unseen.audit_recipe(shallow, table(), 2, 3, attacks=QUICK)
    jsonschema.validate(json.loads(msgspec.json.encode(repeated.report)), procedure_schema())
