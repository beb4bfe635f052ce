"""An audit in MLflow: its numbers, report and table of attacks arrive; nothing of a single record does."""

import json
import sys

import mlflow
import numpy as np
import pytest
from msgspec.structs import replace

import unseen
from unseen.report import from_json
from unseen.tracking import log_to_mlflow, metrics

SECRET = "Rumpelstilzchen"
MEMBER = np.arange(400) < 200


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A tracking store in a folder, nothing of which leaves the machine."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    kept = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri((tmp_path / "store").as_uri())
    yield tmp_path / "store"
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(kept)


@pytest.fixture(scope="module")
def outcome():
    scores = np.random.default_rng(0).normal(size=400) + 2 * MEMBER
    ids = np.array([f"{SECRET}{i}" for i in range(400)])
    table = {"member": MEMBER, "id": ids, "score": scores, "loss": 9 - scores}
    return unseen.audit_table(table, attacks=["loss", "lira-online"], fprs=[0.1])


def artifact(store, run, name):
    (path,) = store.glob(f"*/{run}/artifacts/unseen/{name}")
    return path.read_text(encoding="utf-8")


def test_numbers_tags_report_and_table_arrive(store, outcome):
    run = log_to_mlflow(outcome)
    logged = mlflow.MlflowClient().get_run(run)
    area = next(one for one in outcome.estimates if (one.attack, one.quantity) == ("loss", "auc"))
    held = logged.data.metrics
    assert [held[f"unseen/loss/auc{end}"] for end in ("", "_low", "_high")] == [area.value, area.low, area.high]
    assert held["unseen/score/tpr_at_fpr_0.1"] > 0.3
    tags = logged.data.tags
    assert (tags["unseen.state"], tags["unseen.seed"], tags["unseen.exit_code"]) == ("leak", "0", "1")
    assert tags["unseen.data_digest"] == outcome.report.provenance.data_digest
    assert tags["unseen.version.numpy"] == np.__version__
    assert logged.info.status == "FINISHED"
    assert from_json(artifact(store, run, "report.json").encode()).state == "leak"
    assert "<html" in artifact(store, run, "report.html")
    table = json.loads(artifact(store, run, "attacks.json"))
    assert {row[0] for row in table["data"]} == {"loss", "lira-online", "score"}
    assert all(len(row) == len(table["columns"]) for row in table["data"])
    idle = next(row for row in table["data"] if row[0] == "lira-online")
    assert idle[2] == "not_applicable"


def test_nothing_of_a_single_record_is_logged(store, outcome):
    assert any(SECRET in one for one in outcome.report.exposure.ids)  # the report itself may name flagged members
    log_to_mlflow(outcome)
    files = [path for path in store.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
    assert not [path for path in files if path.suffix == ".parquet"]


def test_the_active_run_is_used_and_stays_open(store, outcome):
    with mlflow.start_run() as active:
        assert log_to_mlflow(outcome) == active.info.run_id
        assert mlflow.active_run().info.run_id == active.info.run_id


def test_a_run_may_be_named_and_a_report_logged(store, outcome):
    with mlflow.start_run() as done:
        pass
    assert log_to_mlflow(outcome.report, done.info.run_id) == done.info.run_id
    assert mlflow.active_run() is None
    assert mlflow.MlflowClient().get_run(done.info.run_id).data.tags["unseen.state"] == "leak"


def test_an_attack_of_any_name_has_metrics_that_mlflow_takes(store, outcome):
    report = outcome.report
    numbers = [unseen.Estimate("auc", 0.5, 0.4, 0.6, 0.95, "", {}, attack="my/../odd: attack?")]
    odd = type(report.attacks[0])("my/../odd: attack?", "S2", "no_leak_found", [], "", numbers)
    found = replace(report, attacks=[odd])
    assert "unseen/my____odd_ attack_/auc" in metrics(found)
    assert log_to_mlflow(found)


def test_without_mlflow_the_extra_is_named(outcome, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(unseen.errors.MissingExtra, match=r"unseen\[mlflow\]"):
        log_to_mlflow(outcome)
