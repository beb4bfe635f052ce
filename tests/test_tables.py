"""A table of answers is audited alike from every container, and every wrong one is refused in one sentence."""

import json

import jsonschema
import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.special import log_softmax, softmax

import unseen
from unseen.errors import FolderError, InputError, UnseenError
from unseen.report import from_json, json_schema, to_json

SECRET = "Rumpelstilzchen"
N, REFS, CLASSES = 400, 4, 3
RNG = np.random.default_rng(0)
MEMBER = np.arange(N) % 2 == 0
LABEL = RNG.integers(0, CLASSES, N)
LOGIT = (RNG.normal(size=(N, CLASSES)) + 2.5 * (np.eye(CLASSES)[LABEL] * MEMBER[:, None])).round(6)
PROBABILITY = softmax(LOGIT, axis=1)
LOSS = -log_softmax(LOGIT, axis=1)[np.arange(N), LABEL]
IDS = np.array([f"r{i}" for i in range(N)])
REF_MEMBER = RNG.random((REFS, N)) < 0.5
REF_LOGIT = RNG.normal(size=(REFS, N, CLASSES)) + 2.5 * np.eye(CLASSES)[LABEL] * REF_MEMBER[:, :, None]
REF_LOSS = -np.take_along_axis(log_softmax(REF_LOGIT, axis=2), LABEL[None, :, None], axis=2)[:, :, 0]
BASE = {"id": IDS, "member": MEMBER, "label": LABEL}


def columns(name, values):
    return {f"{name}_{k}": values[k] for k in range(len(values))}


WIDE = BASE | columns("logit", LOGIT.T) | columns("ref_member", REF_MEMBER) | columns("ref_loss", REF_LOSS.round(9))
STACKED = BASE | {"logit": LOGIT, "ref_member": REF_MEMBER, "ref_loss": REF_LOSS.round(9)}


def stored(kind, folder):
    path = folder / f"answers.{kind}"
    if kind == "parquet":
        pl.DataFrame(WIDE).write_parquet(path)
    elif kind == "csv":
        pl.DataFrame(WIDE).write_csv(path)
    elif kind == "npz":
        np.savez(path, **STACKED)
    else:
        return {"polars": pl.DataFrame, "pandas": pd.DataFrame, "mapping": dict, "stacked": lambda _: STACKED}[kind](
            WIDE
        )
    return path


@pytest.mark.parametrize("kind", ["parquet", "csv", "npz", "polars", "pandas", "mapping", "stacked"])
def test_every_container_gives_the_same_numbers(kind, tmp_path):
    outcome, expected = unseen.audit_table(stored(kind, tmp_path)), unseen.audit_table(WIDE)
    assert outcome.estimates == expected.estimates
    assert outcome.records.equals(expected.records)
    assert outcome.state == "leak"


def test_a_csv_that_pandas_wrote_is_read(tmp_path):
    path = tmp_path / "answers.csv"
    pd.DataFrame(WIDE).to_csv(path, index=False)
    assert unseen.audit_table(path).estimates == unseen.audit_table(WIDE).estimates


def test_a_path_may_be_text(tmp_path):
    assert unseen.audit_table(str(stored("npz", tmp_path))).state == "leak"


def test_the_order_of_the_rows_changes_nothing():
    order = RNG.permutation(N)
    shuffled = unseen.audit_table({name: values[order] for name, values in WIDE.items()})
    expected = unseen.audit_table(WIDE)
    assert shuffled.estimates == expected.estimates
    assert shuffled.records.sort("id").equals(expected.records.sort("id"))


@pytest.mark.parametrize(
    ("answer", "attacks"),
    [
        ({"probability": PROBABILITY}, {"loss", "gap", "confidence", "entropy", "modified-entropy"}),
        ({"logit": LOGIT}, {"loss", "gap", "confidence", "entropy", "modified-entropy"}),
        ({"loss": LOSS}, {"loss"}),
        ({"score": -LOSS}, {"score"}),
        (
            {"loss": LOSS, "ref_loss": REF_LOSS, "ref_member": REF_MEMBER},
            {"loss", "calibrated-loss", "base", "attack-r"},
        ),
        ({"margin": -LOSS, "ref_margin": -REF_LOSS, "ref_member": REF_MEMBER}, {"lira-online", "moderated-t-trend"}),
        ({"logit": LOGIT, "ref_logit": REF_LOGIT, "ref_member": REF_MEMBER}, {"rank-combined", "base", "loss"}),
        (
            {"probability": PROBABILITY, "ref_probability": softmax(REF_LOGIT, axis=2), "ref_member": REF_MEMBER},
            {"rank-combined", "lira-offline", "loss"},
        ),
    ],
)
def test_each_kind_of_answer_runs_the_attacks_it_can(answer, attacks):
    outcome = unseen.audit_table(BASE | answer)
    measured = {one.name for one in outcome.report.attacks if one.estimates}
    assert attacks <= measured
    assert outcome.state == "leak"
    for one in outcome.report.attacks:
        assert one.estimates or (one.state == "not_applicable" and one.reason), (one.name, one.state, one.reason)


def test_the_same_answers_in_other_words_give_the_same_numbers():
    def area(answer):
        found = [one for one in unseen.audit_table(BASE | answer, attacks=["loss"]).estimates if one.quantity == "auc"]
        return found[0].value

    expected = area({"loss": LOSS})
    assert area({"logit": LOGIT}) == area({"probability": PROBABILITY}) == expected
    assert area({"logit": LOGIT + 1000.0}) == expected
    assert area({"score": -LOSS}) == expected


def test_saturated_probabilities_make_no_silent_ties():
    certain = np.where(MEMBER[:, None], np.eye(CLASSES)[LABEL], PROBABILITY)
    outcome = unseen.audit_table(BASE | {"probability": certain}, attacks=["loss"])
    assert outcome.report.target.saturated_answers == N // 2
    assert outcome.report.attacks[0].tie_share == pytest.approx(0.5)


def test_infinite_losses_are_losses():
    loss = np.where(np.arange(N) % 7 == 0, np.inf, LOSS)
    assert np.isfinite(unseen.audit_table(BASE | {"loss": loss}, attacks=["loss"]).scores("loss")).all()


def test_the_columns_may_have_other_names():
    table = {"rid": IDS, "seen": MEMBER, "truth": LABEL, "logit": LOGIT}
    outcome = unseen.audit_table(table, id="rid", member="seen", label="truth")
    assert outcome.records.sort("id").equals(unseen.audit_table(BASE | {"logit": LOGIT}).records.sort("id"))


@pytest.mark.parametrize("member", [MEMBER.astype(int), MEMBER.astype(float), MEMBER.astype(np.uint8)])
def test_zero_and_one_say_who_is_a_member_too(member):
    assert unseen.audit_table({"member": member, "loss": LOSS}).state == "leak"


def test_without_ids_rows_are_named_by_their_place():
    outcome = unseen.audit_table({"member": MEMBER, "loss": LOSS})
    assert sorted(outcome.records["id"])[:2] == ["record[0]", "record[100]"]


@pytest.mark.parametrize(("rule", "combine"), [("mean", np.mean), ("max", np.max)])
def test_a_group_makes_the_person_the_unit(rule, combine):
    person = np.array([f"p{i % 2}-{i // 8}" for i in range(N)])
    outcome = unseen.audit_table(BASE | {"loss": LOSS, "person": person}, group="person", rule=rule)
    assert outcome.report.unit == "person"
    assert (outcome.report.members, outcome.report.non_members) == (50, 50)
    scores = dict(outcome.records.select("id", "loss score").rows())
    assert scores["p0-3"] == pytest.approx(combine(-LOSS[person == "p0-3"]))


def test_a_report_of_answers_round_trips_and_keeps_its_schema():
    report = unseen.audit_table(WIDE).report
    assert from_json(to_json(report)) == report
    jsonschema.validate(json.loads(to_json(report)), json_schema())
    assert report.target.kind == "table of answers"
    assert report.references.finished == REFS


def test_a_folder_is_taken_by_one_table(tmp_path):
    unseen.audit_table(WIDE, folder=tmp_path / "run")
    unseen.audit_table(WIDE, folder=tmp_path / "run")
    with pytest.raises(FolderError, match="holds another run"):
        unseen.audit_table(WIDE | {"logit_0": WIDE["logit_0"] + 1}, folder=tmp_path / "run")


def changed(values, place, value):
    copy = np.array(values, dtype=object if isinstance(value, str) else float)
    copy[place] = value
    return copy


GIVEN = BASE | {"logit": LOGIT}
WRONG = {
    "no answers": (BASE, "has no answers"),
    "misspelt answer": (BASE | {"los": LOSS}, "did you mean 'loss'"),
    "no member column": ({"loss": LOSS}, "no column 'member'"),
    "misspelt member column": ({"loss": LOSS, "membr": MEMBER}, "did you mean 'membr'"),
    "members in words": ({"loss": LOSS, "member": np.where(MEMBER, SECRET, "no")}, "true and false or 0 and 1"),
    "members in twos": ({"loss": LOSS, "member": MEMBER * 2}, "true and false or 0 and 1"),
    "members missing": ({"loss": LOSS, "member": np.where(MEMBER, 1.0, np.nan)}, "true and false or 0 and 1"),
    "members in a matrix": ({"loss": LOSS, "member": np.stack([MEMBER, MEMBER])}, ""),
    "members only": ({"loss": LOSS, "member": np.ones(N, bool)}, "needs members and non-members"),
    "non-members only": ({"loss": LOSS, "member": np.zeros(N, bool)}, "needs members and non-members"),
    "nobody": ({"loss": LOSS[:0], "member": MEMBER[:0]}, ""),
    "a missing loss": ({"member": MEMBER, "loss": changed(LOSS, 3, np.nan)}, "1 values of 'loss'"),
    "an infinite score": ({"member": MEMBER, "score": changed(LOSS, 3, np.inf)}, "1 values of 'score'"),
    "losses in words": ({"member": MEMBER, "loss": np.full(N, SECRET)}, "'loss' must hold numbers"),
    "a loss in words": ({"member": MEMBER, "loss": changed(LOSS, 3, SECRET)}, "'loss' must hold numbers"),
    "losses in a matrix": ({"member": MEMBER, "loss": LOGIT}, "must have shape"),
    "a lone loss": ({"member": MEMBER, "loss": 0.5}, ""),
    "shorter losses": ({"member": MEMBER, "loss": LOSS[:-1]}, ""),
    "longer losses": ({"member": MEMBER[:-1], "loss": LOSS}, ""),
    "shorter ids": (BASE | {"loss": LOSS, "id": IDS[:-1]}, ""),
    "shorter labels": (GIVEN | {"label": LABEL[:-1]}, "must be one a record"),
    "shorter labels of losses": (BASE | {"loss": LOSS, "label": LABEL[:-1]}, ""),
    "ids used twice": (GIVEN | {"id": np.where(IDS == "r1", "r0", IDS)}, "1 ids in 'id' are used more than once"),
    "no label": ({"member": MEMBER, "logit": LOGIT}, "need the label column 'label'"),
    "misspelt label": ({"member": MEMBER, "logit": LOGIT, "lable": LABEL}, "did you mean 'lable'"),
    "labels in words": (GIVEN | {"label": np.full(N, SECRET)}, "class indexes from 0 to 2"),
    "labels too high": (GIVEN | {"label": LABEL + 1}, "class indexes from 0 to 2"),
    "labels below zero": (GIVEN | {"label": LABEL - 1}, "class indexes from 0 to 2"),
    "a missing logit": (BASE | {"logit": np.where(LOGIT[2, 1] == LOGIT, np.nan, LOGIT)}, "for 1 of 400"),
    "a missing probability": (
        BASE | {"probability": np.where(PROBABILITY[2, 1] == PROBABILITY, np.nan, PROBABILITY)},
        "NaN or infinite probabilities for 1 of 400",
    ),
    "percentages": (BASE | {"probability": PROBABILITY * 100}, "outside [0, 1]"),
    "halves": (BASE | {"probability": PROBABILITY / 2}, "do not sum to 1 for 400 of 400"),
    "one probability": (BASE | {"probability": PROBABILITY[:, 0]}, "one column a class"),
    "probabilities in words": (BASE | {"probability": np.full((N, 3), SECRET)}, "must be numbers"),
    "logits in words": (BASE | {"logit": np.full((N, 3), SECRET)}, "must be numbers"),
    "a gap in the columns": (BASE | {"logit_0": LOSS, "logit_2": LOSS}, "numbered without gaps, got [0, 2]"),
    "columns of two lengths": (BASE | {"logit_0": LOSS, "logit_1": LOSS[:-1]}, ""),
    "references without coins": (GIVEN | {"ref_loss": REF_LOSS}, "need ref_member"),
    "one reference": (GIVEN | {"ref_loss": REF_LOSS[:1], "ref_member": REF_MEMBER[:1]}, "at least two references"),
    "coins the other way round": (GIVEN | {"ref_loss": REF_LOSS, "ref_member": REF_MEMBER.T}, "ref_member"),
    "coins in twos": (GIVEN | {"ref_loss": REF_LOSS, "ref_member": REF_MEMBER * 2}, "true and false"),
    "fewer reference losses": (
        GIVEN | {"ref_loss": REF_LOSS[:3], "ref_member": REF_MEMBER},
        "of the same references",
    ),
    "missing reference losses": (
        GIVEN | {"ref_loss": np.where(REF_LOSS > 2, np.nan, REF_LOSS), "ref_member": REF_MEMBER},
        "missing or not numbers",
    ),
    "references of two classes": (
        GIVEN | {"ref_logit": REF_LOGIT[:, :, :2], "ref_member": REF_MEMBER},
        "references answer with 2 classes, the target with 3",
    ),
    "fewer reference logits": (GIVEN | {"ref_logit": REF_LOGIT[:3], "ref_member": REF_MEMBER}, ""),
    "flat reference logits": (GIVEN | {"ref_logit": REF_LOSS, "ref_member": REF_MEMBER}, ""),
    "a list": ([1, 2, 3], "must be a path, a frame or a mapping"),
    "nothing": (None, "must be a path, a frame or a mapping"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_refused_in_one_sentence(kind, tmp_path):
    table, says = WRONG[kind]
    with pytest.raises(InputError) as refusal:
        unseen.audit_table(table, folder=tmp_path / "run")
    message = str(refusal.value)
    assert says in message
    assert "\n" not in message
    assert SECRET not in message
    assert not (tmp_path / "run").exists()


PERSONS = np.array([f"{SECRET}{i // 2}" for i in range(N)])


@pytest.mark.parametrize(
    ("group", "says"),
    [
        ("persn", "did you mean 'person'"),
        ("person", "records stand on the other side"),
        ("holes", r"have no|has no|missing"),
        ("short", "short|records"),
    ],
)
def test_a_wrong_group_is_refused_in_one_sentence(group, says):
    holes = np.where(np.arange(N) % 4 < 2, None, [f"p{i % 2}-{i // 8}" for i in range(N)])
    holes[MEMBER & (np.arange(N) % 4 < 2)] = [f"m{i}" for i in range(N // 4)]
    table = BASE | {"loss": LOSS, "person": PERSONS, "holes": holes, "short": PERSONS[:-1]}
    with pytest.raises(InputError, match=says) as refusal:
        unseen.audit_table(table, group=group)
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"rule": "median"}, "must be one of"),
        ({"attacks": ["los"]}, "did you mean 'loss'"),
        ({"fprs": (2.0,)}, "(0, 1)"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_a_wrong_option_is_refused_in_one_sentence(options, says):
    with pytest.raises(UnseenError) as refusal:
        unseen.audit_table(WIDE, **options)
    assert says in str(refusal.value)


def test_no_content_of_the_table_is_told():
    ids = np.array([f"{SECRET}{i}" for i in range(N)])
    nobody = unseen.Policy(name_ids=0)
    outcome = unseen.audit_table(WIDE | {"id": ids, "note": np.full(N, SECRET)}, policy=nobody)
    assert SECRET not in to_json(outcome.report).decode() + str(outcome) + repr(outcome) + outcome._repr_html_()
    assert outcome.records["id"].to_list()[0].startswith(SECRET)
