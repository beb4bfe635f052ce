"""Into MLflow: an audit's metrics, report and table of attacks, logged to a run; nothing about single records."""

import re
import time
from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from unseen.errors import MissingExtra
from unseen.estimate import Estimate
from unseen.outcome import Outcome
from unseen.renderers.page import html_page
from unseen.report import Report, to_json

LOGGED = ("auc", "advantage", "tpr")
COLUMNS = ("attack", "row", "state", "reason", "quantity", "fpr", "value", "low", "high", "adjusted_p", "detectable")
MOST_AT_ONCE = 1000  # metrics that a tracking server takes in one batch


def log_to_mlflow(audited: Outcome | Report, run_id: str | None = None) -> str:
    """Log an audit to an MLflow run and return the run's id; without `run_id`, to the active run or to a new one.

    Metrics: of each attack its AUC, advantage and TPR at each rate, with the ends of their intervals as `_low` and
    `_high`. Tags: state, recommended attack, seed, digests, versions. Artifacts in `unseen/`: report.json, report.html
    and attacks.json, a table of columns and data. A tracking server has more readers than a run folder: no id and no
    score of a unit is logged, and the report there names no flagged member. Raises `MissingExtra` without MLflow.
    """
    try:
        import mlflow
        from mlflow.entities import Metric, RunTag
    except ImportError:
        raise MissingExtra("logging to MLflow", "MLflow", "mlflow") from None
    active = mlflow.active_run()
    run = run_id or (str(active.info.run_id) if active else "")
    if not run:
        with mlflow.start_run(run_name="unseen audit") as started:
            return log_to_mlflow(audited, str(started.info.run_id))
    report = nameless(audited.report if isinstance(audited, Outcome) else audited)
    client, now = mlflow.MlflowClient(), int(time.time() * 1000)
    found = [Metric(name, value, now, 0) for name, value in metrics(report).items()]
    for start in range(0, len(found), MOST_AT_ONCE):
        client.log_batch(run, metrics=found[start : start + MOST_AT_ONCE])
    client.log_batch(run, tags=[RunTag(name, value) for name, value in tags(report).items()])
    client.log_text(run, to_json(report).decode(), "unseen/report.json")
    client.log_text(run, html_page(report), "unseen/report.html")
    client.log_dict(run, {"columns": COLUMNS, "data": list(attack_rows(report))}, "unseen/attacks.json")
    return run


def nameless(report: Report) -> Report:
    """Return the report without the ids of flagged members."""
    return report if report.exposure is None else replace(report, exposure=replace(report.exposure, ids=[]))


def metrics(report: Report) -> dict[str, float]:
    """Return the numbers of all attacks by names that MLflow takes, such as `unseen/gap/tpr_at_fpr_0.01_low`."""
    found = dict[str, float]()
    for one in (estimate for attack in report.attacks for estimate in attack.estimates if estimate.quantity in LOGGED):
        name = f"unseen/{re.sub(r'[^A-Za-z0-9_ -]', '_', one.attack)}/{_quantity(one)}"
        found |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
    return found


def _quantity(one: Estimate) -> str:
    return one.quantity if one.fpr is None else f"{one.quantity}_at_fpr_{one.fpr:g}"


def tags(report: Report) -> dict[str, str]:
    """Return what was audited, with what, and what came of it."""
    origin = report.provenance
    facts = {
        "state": report.state,
        "exit_code": str(report.exit_code),
        "recommended": report.recommended,
        "unit": report.unit,
        "members": str(report.members),
        "non_members": str(report.non_members),
        "seed": str(origin.seed),
        "data_digest": origin.data_digest,
        "model_digest": origin.model_digest,
    }
    return {f"unseen.{name}": value for name, value in facts.items()} | {
        f"unseen.version.{name}": value for name, value in origin.versions.items()
    }


def attack_rows(report: Report) -> Iterator[list[Any]]:
    """Yield a row for each number of each attack, and one for each attack that gave none."""
    for attack in report.attacks:
        numbers = [one for one in attack.estimates if one.quantity in LOGGED]
        about = [attack.name, attack.row, attack.state, attack.reason]
        for one in numbers:
            yield [*about, one.quantity, one.fpr, one.value, one.low, one.high, one.adjusted_p, one.detectable]
        if not numbers:
            yield about + [None] * (len(COLUMNS) - len(about))
