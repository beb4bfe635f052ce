"""`unseen compare`: a planted regression is found, a leak-free pair is none, what cannot be compared does not pass."""

import json
import re
from dataclasses import replace

import jsonschema
import msgspec
import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import unseen
from unseen.cli.main import app
from unseen.comparing import compare
from unseen.comparison import Comparison, comparison_json_schema
from unseen.estimate import Estimate
from unseen.rises import rise_p_value
from unseen.saved import SavedRun
from unseen.stats.multiplicity import holm

SECRET = "Rumpelstilzchen"
UNITS = 1200
MEMBER = np.arange(UNITS) < UNITS // 2
IDS = np.array([f"{SECRET}{i}" for i in range(UNITS)])


def run(seed, leak=0.3, member=MEMBER, ids=IDS, worsen_at_most=0.0, scores=("loss", "score"), **policy):
    """An outcome of two attacks whose scores leak alike; half of each score is the record's own in every run."""
    rng, own = np.random.default_rng(seed), np.random.default_rng(99).normal(size=(2, 10 * UNITS))
    values = own[:, : member.size] + rng.normal(size=(2, member.size)) + 1.4 * leak * member
    answers = {"member": member, "id": ids, "loss": 20 - values[0], "score": values[1]}
    kept = {name: answers[name] for name in ("member", "id", *scores) if ids is not None or name != "id"}
    limits = unseen.Policy(worsen_at_most=worsen_at_most, **policy)
    return unseen.audit_table(kept, attacks=["loss"], policy=limits, fprs=[0.1, 0.02])


@pytest.fixture(scope="module")
def same():
    return run(1), run(2)


@pytest.fixture(scope="module")
def worse():
    return run(3, leak=1.2)


def saved(path, outcome):
    outcome.save(path)
    return path


def asked(*arguments):
    return CliRunner().invoke(app, ["compare", *map(str, arguments)])


def refused(result, says):
    assert result.exit_code == 2, result.output
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert re.search(says, result.stderr), result.stderr
    assert result.stdout == ""
    assert SECRET not in result.output


# --- what it finds


def test_a_planted_regression_is_found_and_has_exit_code_one(tmp_path, same, worse):
    result = asked(saved(tmp_path / "a", same[0]), saved(tmp_path / "b", worse))
    assert result.exit_code == 1, result.output
    assert "REGRESSION" in result.stdout
    assert "score: the AUC rose from" in result.stdout
    assert result.stderr == ""
    assert SECRET not in result.output


def test_two_runs_that_leak_alike_show_no_regression_and_what_would_have_been_found(tmp_path, same):
    result = asked(saved(tmp_path / "a", same[0]), saved(tmp_path / "b", same[1]))
    assert result.exit_code == 0, result.output
    assert "NO REGRESSION FOUND" in result.stdout
    assert re.search(r"AUC: a rise by 0\.\d+ would have been found 4 times of 5", result.stdout)
    assert re.search(r"AUC at|TPR at FPR 0.1: a rise by 0\.\d+ would have been found", result.stdout)


def test_json_is_the_comparison_and_nothing_else(tmp_path, same, worse):
    result = asked(saved(tmp_path / "a", same[0]), saved(tmp_path / "b", worse), "--json")
    found = json.loads(result.stdout)
    jsonschema.validate(found, comparison_json_schema())
    assert msgspec.json.decode(result.stdout, type=Comparison).state == "regression"
    assert result.exit_code == 1
    assert SECRET not in result.stdout
    assert str(tmp_path) not in result.stdout


def test_every_attack_that_both_measured_is_asked_for_its_area_and_each_common_rate(same):
    found = compare(*same)
    asked_for = [(one.attack, one.quantity, one.fpr) for one in found.differences]
    assert asked_for == [
        (name, *of) for name in ("loss", "score") for of in (("auc", None), ("tpr", 0.1), ("tpr", 0.02))
    ]
    assert found.family == 6
    assert found.paired
    assert found.pairing == f"paired, the same {UNITS} records in both runs"


def test_before_and_after_are_the_numbers_of_the_two_reports(same):
    for one in compare(*same).differences:
        for outcome, value in zip(same, (one.before, one.after), strict=True):
            told = [
                e for e in outcome.estimates if (e.attack, e.quantity, e.fpr) == (one.attack, one.quantity, one.fpr)
            ]
            assert told[0].value == pytest.approx(value)
        assert one.rise.value == pytest.approx(one.after - one.before)


def test_every_rise_carries_interval_p_value_and_what_would_have_been_found(same, worse):
    found = compare(same[0], worse)
    raw = np.array([one.rise.p_value for one in found.differences])
    assert [one.rise.adjusted_p for one in found.differences] == pytest.approx(holm(raw).tolist())
    for one in found.differences:
        assert one.rise.low <= one.rise.value <= one.rise.high
        assert one.simultaneous_low < one.rise.value < one.rise.detectable + one.rise.value
        assert one.regressed == (one.rise.adjusted_p <= 0.05)
        assert one.rise.method.startswith(("DeLong", "paired"))
        assert one.rise.condition


def test_a_run_against_itself_shows_no_regression(same):
    found = compare(same[0], same[0])
    assert found.state == "no_regression_found"
    assert all(one.rise.value == 0 for one in found.differences)


def test_an_improvement_is_no_regression(same, worse):
    assert compare(worse, same[0]).exit_code == 0


def test_the_newer_runs_policy_says_how_much_worse_is_allowed(same, worse):
    lenient, strict = run(3, leak=1.2, worsen_at_most=0.9), run(1, worsen_at_most=0.9)
    assert compare(same[0], lenient).exit_code == 0
    assert compare(same[0], lenient).worsen_at_most == 0.9
    assert compare(strict, worse).exit_code == 1


def test_the_command_explains_itself():
    result = asked("--help")
    assert result.exit_code == 0
    assert "the last" in result.stdout
    assert asked("only-one").exit_code == 2


# --- how often it errs


def test_leak_free_pairs_of_runs_raise_an_alarm_in_at_most_five_of_a_hundred(same):
    """Any of the six numbers may raise it; at 5 %, more than 18 of 200 come by in under 1 % of such tests."""
    alarms = 0
    template, table = same[0].report, same[0].records
    for seed in range(200):
        rng = np.random.default_rng(seed)
        shared = rng.normal(size=(2, UNITS))
        runs = []
        for _ in range(2):
            scores = shared + rng.normal(size=(2, UNITS))
            columns = {f"{name} score": one for name, one in zip(("loss", "score"), scores, strict=True)}
            runs.append(SavedRun(template, table.select("id", "member").with_columns(**columns)))
        alarms += compare(*runs).state == "regression"
    assert alarms <= 18


def test_the_p_value_is_where_the_lower_bound_meets_the_margin():
    def rise(confidence):
        low = 0.3 - 0.25 * confidence  # meets 0.1 at a confidence of 0.8, which leaves 10 % in the lower tail
        return Estimate("auc_difference", 0.3, low, 0.6, confidence, "", {})

    assert rise_p_value(rise, 0.1) == pytest.approx(0.1, rel=1e-3)
    assert rise_p_value(rise, 0.3) == 1.0
    assert rise_p_value(rise, 0.04) == 1e-9


# --- which units it compares


def test_units_in_common_are_paired_and_the_others_counted(same):
    kept = np.arange(UNITS) % 3 > 0
    part = run(4, member=MEMBER[kept], ids=IDS[kept])
    found = compare(same[0], part)
    assert found.paired
    assert "left out of the older run: 400, of the newer: 0" in found.pairing
    assert found.differences[0].rise.counts == {"members": 400, "non_members": 400}


def test_other_units_are_compared_as_independent(same):
    other = run(5, ids=np.array([f"other {i}" for i in range(UNITS)]))
    found = compare(same[0], other)
    assert not found.paired
    assert "unpaired, as only 0 records" in found.pairing
    assert {one.rise.method.split(":")[0] for one in found.differences} == {"unpaired"}
    assert found.exit_code == 0


def test_an_unpaired_regression_is_found_too(same):
    other = run(5, leak=1.2, ids=np.array([f"other {i}" for i in range(UNITS)]))
    assert compare(same[0], other).exit_code == 1


def test_what_else_differs_between_the_runs_is_noted(same):
    def of(data, references):
        report = same[1].report
        origin = msgspec.structs.replace(report.provenance, data_digest=data, model_digest="m")
        facts = msgspec.structs.replace(report.references, finished=references)
        return SavedRun(msgspec.structs.replace(report, provenance=origin, references=facts), same[1].records)

    assert compare(of("a", 4), of("a", 4)).notes == []
    assert compare(of("a", 4), of("a", 16)).notes == ["the runs differ in references: 4, then 16"]
    assert "different data" in compare(of("a", 4), of("b", 4)).notes[0]


def test_units_that_changed_sides_are_not_paired(same):
    assert not compare(same[0], run(6, member=~MEMBER)).paired


def test_numbers_of_rows_are_no_ids_across_different_data():
    one, other = run(1, ids=None), run(2, ids=None)
    assert compare(one, one).paired
    assert "neither run names its records" in compare(one, other).pairing


def test_a_rate_that_the_common_units_cannot_carry_is_left_out(same):
    kept = np.r_[0:600, 600:800]  # 200 non-members: an FPR of 2 % needs 500
    found = compare(same[0], run(4, member=MEMBER[kept], ids=IDS[kept]))
    assert {one.fpr for one in found.differences} == {None, 0.1}


def test_an_attack_of_one_run_only_is_named(same):
    found = compare(same[0], run(7, scores=("loss",)))
    assert {one.attack for one in found.differences} == {"loss"}
    assert found.not_compared["score"] == "not measured in the newer run"


# --- what settles nothing


def test_an_inconclusive_run_settles_nothing_even_where_numbers_rose(tmp_path, same):
    undecided = run(3, leak=1.2, limits=(unseen.Limit("tpr", at_most=0.5, fpr=0.001),))
    assert undecided.state == "inconclusive"
    doubted = [msgspec.structs.replace(undecided.report.gates[0], state="broken"), *undecided.report.gates[1:]]
    broken = replace(undecided, report=msgspec.structs.replace(undecided.report, gates=doubted))
    result = asked(saved(tmp_path / "a", same[0]), saved(tmp_path / "b", broken))
    assert result.exit_code == 3
    assert "the newer run is itself inconclusive" in result.stdout
    assert "may not be believed" in result.stdout


def test_a_limit_that_is_undecided_does_not_keep_two_runs_from_being_compared(tmp_path, same):
    undecided = run(3, leak=1.2, limits=(unseen.Limit("tpr", at_most=0.5, fpr=0.001),))
    assert asked(saved(tmp_path / "a", same[0]), saved(tmp_path / "b", undecided)).exit_code == 1


def test_runs_without_a_common_attack_settle_nothing():
    found = compare(run(1, scores=("loss",)), run(2, scores=("score",)))
    assert (found.exit_code, found.family) == (3, 0)


def test_two_units_of_protection_are_not_compared(same):
    report = msgspec.structs.replace(same[1].report, unit="person")
    found = compare(same[0], SavedRun(report, same[1].records))
    assert found.exit_code == 3
    assert "the older run's unit is the record, the newer run's the person" in found.reasons


def test_too_few_units_settle_nothing(same):
    few = SavedRun(same[1].report, same[1].records.sort("member").tail(605))
    assert compare(few, few).exit_code == 3
    assert "fewer than 10 units" in compare(few, few).reasons[0]


def test_so_few_units_that_only_a_huge_rise_would_have_been_found_settle_nothing(same):
    older, newer = (one.records.sort("id").group_by("member", maintain_order=True).head(10) for one in same)
    newer = newer.with_columns(pl.col("id") + " of another table")
    found = compare(SavedRun(same[0].report, older), SavedRun(same[1].report, newer))
    assert found.exit_code == 3
    assert "so few units" in found.reasons[0]


# --- damaged and missing runs


def test_a_missing_run_is_one_sentence(tmp_path, same):
    good = saved(tmp_path / "a", same[0])
    refused(asked(good, tmp_path / "none"), "there is no run")
    (tmp_path / "empty").mkdir()
    refused(asked(tmp_path / "empty", good), "holds no report.json")
    (good / "records.parquet").unlink()
    refused(asked(good, good), "there is no table")


@pytest.mark.parametrize("name", ["report.json", "records.parquet"])
@pytest.mark.parametrize("content", [b"", b"PAR1", b"{}", SECRET.encode()])
def test_a_damaged_run_is_one_sentence(tmp_path, same, name, content):
    good, bad = saved(tmp_path / "a", same[0]), saved(tmp_path / "b", same[1])
    (bad / name).write_bytes(content)
    refused(asked(good, bad), "damaged|has the schema")


SWAPS = {
    "another run's table": lambda table, other: other,
    "a row less": lambda table, other: table.head(UNITS - 1),
    "a column less": lambda table, other: table.drop("loss score"),
    "an id twice": lambda table, other: table.with_columns(id=pl.lit(SECRET)),
    "sides turned": lambda table, other: table.with_columns(member=~pl.col("member")),
    "a score missing": lambda table, other: table.with_columns(
        pl.col("loss score").replace(table["loss score"][0], None)
    ),
    "a score that is none": lambda table, other: table.with_columns(pl.lit(np.nan).alias("loss score")),
    "members as text": lambda table, other: table.with_columns(pl.col("member").cast(pl.String)),
}


@pytest.mark.parametrize("kind", SWAPS)
def test_a_table_that_does_not_belong_to_its_report_is_refused(tmp_path, same, kind):
    good, bad = saved(tmp_path / "a", same[0]), saved(tmp_path / "b", same[1])
    SWAPS[kind](same[1].records, same[0].records).write_parquet(bad / "records.parquet")
    refused(asked(good, bad), "does not belong to report.json")


def test_a_policy_that_allows_the_impossible_is_refused():
    with pytest.raises(unseen.errors.PlanError, match=r"worsen_at_most must be in \[0, 1\]"):
        unseen.Policy(worsen_at_most=-0.1)
