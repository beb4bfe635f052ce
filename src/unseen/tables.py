"""Answers only: an audit of what some model said, for every framework and for people without the model."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from unseen.access import Access
from unseen.answers import ANSWERS, PER_CLASS, PER_RECORD, as_arrays
from unseen.attack import Attack
from unseen.auditing import make_report
from unseen.case import Case
from unseen.errors import DataError, ModelError, did_you_mean
from unseen.estimating import Questions
from unseen.judgement import judge
from unseen.options import Options
from unseen.outcome import Outcome
from unseen.policy import Context, Policy
from unseen.provenance import digest, provenance
from unseen.records import named_groups
from unseen.report import ReferenceFacts, TargetFacts
from unseen.runs import claim
from unseen.signal import Array, Floats, Signal, Signals
from unseen.signals.confidence import confidence
from unseen.signals.entropy import entropy, modified_entropy
from unseen.signals.loss import loss
from unseen.signals.margin import margin
from unseen.signals.saturation import finite_bounds, saturated
from unseen.slicing import CLASS, by_loss_decile, by_value
from unseen.targets.answers import checked_log_probs, log_probs_from_logits
from unseen.trial import Trial

GIVEN_SCORE = Signal("score", ("records",), "higher is more member-like", frozenset({Access.LABELS}), "your own score")


def score(score: Floats) -> Floats:
    """Score each record by the score that was handed in."""
    return np.asarray(score, dtype=np.float64)


SCORE = Attack(score=score, needs=(GIVEN_SCORE,), row="S1", cites="the caller's own score")


def audit_table(  # noqa: PLR0913 - the columns' names are the interface
    answers: Any,
    *,
    id: str = "id",  # noqa: A002 - the column's natural name
    member: str = "member",
    label: str = "label",
    group: str | None = None,
    rule: str = "mean",
    context: Context | None = None,
    policy: Policy | None = None,
    seed: int = 0,
    attacks: Sequence[str | Attack] | None = None,
    fprs: Sequence[float] | None = None,
    folder: str | Path | None = None,
) -> Outcome:
    """Audit a table of answers: a path to Parquet, CSV or NPZ, a polars or pandas frame, or a mapping of arrays.

    One row a record: `member` (true or false), and at least one of the answers `probability`, `logit` (one column a
    class, named probability_0, probability_1, ... in the order of the labels 0, 1, ...; in NPZ one array
    `(records, classes)`), `loss` (nats), `margin`, or `score` (higher is more member-like). `label` holds class
    indexes and is needed for probabilities and logits; `id` may be missing. Reference answers, for the attacks that use
    them: ref_member_0, ref_member_1, ... (was reference k trained on the record?) with ref_loss_0, ... or ref_margin_0,
    ...; in NPZ arrays `ref_member (references, records)` and `ref_loss`, `ref_margin`, or
    `ref_probability`, `ref_logit (references, records, classes)`.

    Raises a subclass of `unseen.errors.UnseenError` whose message never quotes a record.

    >>> table = {"member": np.arange(400) < 200, "loss": np.where(np.arange(400) < 200, 0.0, 1.0)}
    >>> audit_table(table).state
    'leak'
    """
    options = Options(
        references=0,
        seed=seed,
        attacks=attacks,
        rule=rule,
        policy=policy or Policy(),
        context=context or Context(),
        questions=Questions() if fprs is None else Questions(fprs=tuple(fprs)),
        folder=None if folder is None else Path(folder),
    )
    return audit_answers(as_arrays(answers), options, id=id, member=member, label=label, group=group)


def audit_answers(
    arrays: Mapping[str, Array],
    options: Options,
    *,
    id: str = "id",  # noqa: A002
    member: str = "member",
    label: str = "label",
    group: str | None = None,
) -> Outcome:
    """Audit answers by arrays; what `audit_table` does once they are read."""
    started = datetime.now(UTC)
    attacks = options.chosen()
    trial, order = _trial(arrays, id, member, group, options.rule)
    _check_lengths(arrays, order.size, {id, label, member, *([group] if group else [])})
    signals, stuck, classes = answer_signals(arrays, label)
    slices = by_value(CLASS, signals["label"], trial) if "label" in signals else []
    if "loss" in signals:
        slices += by_loss_decile(signals["loss"], trial)
    attacks += [SCORE] if "score" in signals else []
    references = signals["ref_member"].shape[0] if "ref_member" in signals else 0
    facts = ReferenceFacts(references, references, {}, None)
    data = digest(*(arrays[name] for name in sorted(arrays) if arrays[name].dtype.kind != "O"))
    judgement = judge(signals, trial, attacks, slices, options, facts)
    claim(options.folder, data, "table", options.seed, options.expected)
    correct = signals.get("correct")
    target = TargetFacts(
        kind="table of answers",
        classes=classes,
        access=sorted({need.value for attack in attacks for need in attack.access if not attack.missing(signals)}),
        member_accuracy=None if correct is None else float(correct[order].mean()),
        non_member_accuracy=None if correct is None else float(correct[~order].mean()),
        saturated_answers=stuck,
        queries=order.size,
    )
    origin = provenance(options.seed, data, "table", options.described, started)
    case = Case(
        trial=trial,
        signals=signals,
        attacks=attacks,
        results=judgement.attacks,
        scores=judgement.scores,
        p_values=judgement.p_values,
        recommended=judgement.recommended,
        target=target,
        references=facts,
        policy=options.policy,
        context=options.context,
        fprs=options.asked.fprs,
        seed=options.seed,
        label_index=signals.get("label"),
        log_probs=_log_probs(arrays, "", order.size)[0] if any(name in arrays for name in PER_CLASS) else None,
    )
    report = make_report(case, judgement, options, 0, [], origin)
    return Outcome(report, trial, judgement.scores, judgement.p_values)


def answer_signals(arrays: Mapping[str, Array], label: str) -> tuple[Signals, int, int]:
    """Return the signals in a table of answers, how many were saturated, and the number of classes (0: none)."""
    given = [name for name in ANSWERS if name in arrays]
    if not given:
        near = "; ".join(filter(None, (did_you_mean(name, ANSWERS).strip("; ") for name in arrays)))
        raise DataError(f"the table has no answers: one of {', '.join(ANSWERS)} is needed. {near}".strip())
    signals: dict[str, Array] = {}
    records = arrays[given[0]].shape[0]
    index, classes = None, 0
    if any(name in arrays for name in PER_CLASS):
        own, classes = _log_probs(arrays, "", records)
        index = _labels(arrays, label, records, classes)
        signals |= _from_log_probs(own, index)
    elif label in arrays:
        signals["label"] = np.unique(arrays[label], return_inverse=True)[1]
    signals |= {name: _numbers(arrays[name], name, (records,)) for name in PER_RECORD if name in arrays}
    for name in PER_RECORD:
        if name in signals and records > 1 and np.unique(signals[name]).size == 1:
            raise DataError(f"{name!r} is the same for every record: nothing can be told from it.")
    stuck = saturated(signals["margin"]) if "margin" in signals else 0
    signals |= _references(arrays, index, records, classes)
    for name, ref in (("margin", "ref_margin"), ("loss", "ref_loss")):
        if name in signals:
            known = [signals[name], *([signals[ref]] if ref in signals else [])]
            low, high = finite_bounds(*known)
            signals |= {key: np.clip(signals[key], low, high) for key in (name, ref) if key in signals}
    return Signals(**signals), stuck, classes


def _log_probs(arrays: Mapping[str, Array], prefix: str, records: int) -> tuple[Floats, int]:
    name = next(name for name in ("logit", "probability") if prefix + name in arrays)
    values = arrays[prefix + name]
    if values.ndim < 2:
        raise DataError(f"{prefix}{name} must have one column a class, got shape {values.shape}.")
    classes = values.shape[-1]
    read = log_probs_from_logits if name == "logit" else checked_log_probs
    if prefix:
        return np.stack([read(one, records, classes) for one in values]), classes
    return read(values, records, classes), classes


def _from_log_probs(log_probs: Floats, label: Array) -> dict[str, Array]:
    modified = modified_entropy(log_probs, label)
    return {
        "label": label,
        "correct": (log_probs.argmax(axis=1) == label).astype(np.float64),
        "loss": loss(log_probs, label),
        "margin": margin(log_probs, label),
        "confidence": confidence(log_probs),
        "entropy": entropy(log_probs),
        "modified_entropy": np.clip(modified, *finite_bounds(modified)),
    }


def _labels(arrays: Mapping[str, Array], name: str, records: int, classes: int) -> Array:
    if name not in arrays:
        raise DataError(f"probabilities and logits need the label column {name!r}{did_you_mean(name, arrays) or '.'}")
    values = arrays[name]
    if values.shape != (records,):
        raise DataError(f"{name!r} must be one label a record, got shape {values.shape}.")
    if values.dtype.kind not in "iu" or values.min() < 0 or values.max() >= classes:
        raise DataError(f"{name!r} must hold class indexes from 0 to {classes - 1}, got type {values.dtype}.")
    return values.astype(np.intp)


def _references(arrays: Mapping[str, Array], index: Array | None, records: int, classes: int) -> dict[str, Array]:
    found = [name for name in arrays if name.startswith("ref_")]
    if not found:
        return {}
    if "ref_member" not in arrays:
        raise DataError("reference answers need ref_member: which references were trained on which records.")
    member = arrays["ref_member"]
    if member.ndim != 2 or member.shape[1] != records:
        raise DataError(f"ref_member must be (references, records) for {records} records, got {member.shape}.")
    if member.shape[0] < 2:
        raise DataError(f"at least two references are needed, got {member.shape[0]}.")
    signals: dict[str, Array] = {"ref_member": _booleans(member, "ref_member")}
    if index is not None and ("ref_probability" in arrays or "ref_logit" in arrays):
        logs, _ = _log_probs(arrays, "ref_", records)
        if logs.shape[-1] != classes:
            raise ModelError(f"references answer with {logs.shape[-1]} classes, the target with {classes}.")
        signals["ref_loss"] = np.stack([loss(one, index) for one in logs])
        signals["ref_margin"] = np.stack([margin(one, index) for one in logs])
    for name in ("ref_loss", "ref_margin"):
        if name in arrays:
            signals[name] = _numbers(arrays[name], name, member.shape)
    return signals


def _check_lengths(arrays: Mapping[str, Array], records: int, columns: set[str]) -> None:
    for name in [*ANSWERS, *columns]:
        if name in arrays and arrays[name].shape[0] != records:
            raise DataError(f"{name!r} must be one a record: {records} records, got shape {arrays[name].shape}.")
    for name in arrays:
        if name.startswith("ref_") and (arrays[name].ndim < 2 or arrays[name].shape[1] != records):
            raise DataError(f"{name!r} must be (references, records) for {records} records, got {arrays[name].shape}.")
    counts = {name: arrays[name].shape[0] for name in arrays if name.startswith("ref_")}
    if len(set(counts.values())) > 1:
        raise DataError(f"reference answers must be of the same references, got {counts}.")


def _trial(arrays: Mapping[str, Array], id: str, member: str, group: str | None, rule: str) -> tuple[Trial, Array]:  # noqa: A002
    if member not in arrays:
        raise DataError(
            f"the table has no column {member!r} that says who is a member{did_you_mean(member, arrays) or '.'}"
        )
    truth = _booleans(arrays[member], member)
    if truth.ndim != 1:
        raise DataError(f"{member!r} must be one value a record, got shape {truth.shape}.")
    ids = arrays[id].astype(str) if id in arrays else np.array([f"record[{row}]" for row in range(truth.size)])
    if ids.shape != truth.shape:
        raise DataError(f"{id!r} must be one a record: {truth.size} records, got shape {ids.shape}.")
    if np.unique(ids).size != ids.size:
        raise DataError(f"{ids.size - np.unique(ids).size} ids in {id!r} are used more than once.")
    if group is None:
        return Trial(truth, ids, rule=rule), truth
    if group not in arrays:
        raise DataError(f"the table has no group column {group!r}{did_you_mean(group, arrays) or '.'}")
    groups = named_groups(arrays[group])
    if groups.shape != truth.shape:
        raise DataError(f"{group!r} must be one a record: {truth.size} records, got shape {groups.shape}.")
    persons, first, unit_of = np.unique(groups, return_index=True, return_inverse=True)
    mixed = int((truth[first][unit_of] != truth).sum())
    if mixed:
        raise DataError(f"{mixed} records stand on the other side than the rest of their {group!r}.")
    return Trial(truth[first], persons, "person", unit_of, rule), truth


def _booleans(values: Array, name: str) -> Array:
    if values.dtype == np.bool_:
        return values
    if values.dtype.kind in "iuf" and np.isin(values, (0, 1)).all():
        return values.astype(bool)
    raise DataError(f"{name!r} must hold true and false or 0 and 1, got type {values.dtype}.")


def _numbers(values: Array, name: str, shape: tuple[int, ...]) -> Floats:
    if values.shape != shape:
        raise DataError(f"{name!r} must have shape {shape}, got {values.shape}.")
    if values.dtype.kind not in "iuf":
        raise DataError(f"{name!r} must hold numbers, got type {values.dtype}.")
    numbers = values.astype(np.float64)
    bad = int(np.isnan(numbers).sum()) if name != "score" else int((~np.isfinite(numbers)).sum())
    if bad:
        raise DataError(f"{bad} values of {name!r} are missing or not numbers.")
    return numbers
