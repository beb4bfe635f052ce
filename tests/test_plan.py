"""A plan says one audit; a key or value that is not understood is refused with the near one, at every level."""

import json

import pytest

from unseen.errors import MissingExtra, PlanError
from unseen.models import as_engine
from unseen.plan import Plan, convert_plan, parse_plan, read_plan
from unseen.policy import Limit

MODEL = """
[target]
model = "model.skops"

[data]
members = "members.parquet"
non_members = "non_members.parquet"
label = "y"
"""
ANSWERS = """
[answers]
table = "answers.parquet"
"""
LIMIT = """
[[policy.limits]]
metric = "auc"
at_most = 0.6
"""


def refused(text):
    with pytest.raises(PlanError) as refusal:
        parse_plan(text, "plan.toml")
    message = str(refusal.value)
    assert "\n" not in message
    assert refusal.value.__cause__ is None
    return message


def test_the_shortest_plan_has_the_documented_defaults():
    plan = parse_plan(MODEL)
    assert (plan.references.count, plan.seed, plan.attacks.copies, plan.data.rule) == (16, 0, 12, "mean")
    assert plan.statistics.fprs == (0.1, 0.01, 0.001)
    assert plan.policy.limits == ()
    assert plan.folder is None


def test_answers_alone_make_a_plan():
    assert parse_plan(ANSWERS).answers.member == "member"


def test_limits_are_read():
    plan = parse_plan(MODEL + LIMIT + '[[policy.limits]]\nmetric = "tpr"\nfpr = 0.01\nat_most = 0.02\n')
    assert plan.policy.limits == (Limit("auc", 0.6), Limit("tpr", 0.02, fpr=0.01))


@pytest.mark.parametrize(
    ("text", "key", "near"),
    [
        (f"sed = 3\n{MODEL}", "sed", "seed"),
        (f"foldr = 'x'\n{MODEL}", "foldr", "folder"),
        (f"{MODEL}[reference]\ncount = 2\n", "reference", "references"),
        (f"{MODEL}[polcy]\nflag_fpr = 0.1\n", "polcy", "policy"),
        (MODEL.replace("label =", "lable ="), "lable", "label"),
        (MODEL.replace("[data]", "trusted_type = []\n[data]"), "trusted_type", "trusted_types"),
        (f"{MODEL}training_sise = 3\n", "training_sise", "training_size"),
        (f"{MODEL}[references]\ncout = 2\n", "cout", "count"),
        (f"{MODEL}[attacks]\nonyl = []\n", "onyl", "only"),
        (f"{MODEL}[slices]\ncolums = []\n", "colums", "columns"),
        (f"{MODEL}[statistics]\nprior = []\n", "prior", "priors"),
        (f"{MODEL}[policy]\nflag_frp = 0.1\n", "flag_frp", "flag_fpr"),
        (f"{MODEL}[context]\ndomian = 'health'\n", "domian", "domain"),
        (f"{ANSWERS}membr = 'm'\n", "membr", "member"),
        (f"{MODEL}{LIMIT}at_mst = 0.5\n", "at_mst", "at_most"),
        (f"{MODEL}{LIMIT}{LIMIT}every_slices = true\n", "every_slices", "every_slice"),
    ],
)
def test_a_misspelt_key_is_refused_with_the_near_one(text, key, near):
    message = refused(text)
    assert f"unknown key {key!r}" in message
    assert f"did you mean {near!r}?" in message


def test_an_unknown_key_that_is_near_nothing_is_refused_without_a_guess():
    message = refused(f"{MODEL}[data.zzz]\nq = 1\n")
    assert "unknown key 'zzz' in [data]." in message
    assert "did you mean" not in message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"seed = 'three'\n{MODEL}", "seed"),
        (f"seed = 1.5\n{MODEL}", "seed"),
        (f"{MODEL}[references]\ncount = true\n", "references.count"),
        (f"{MODEL}[references]\ncount = '16'\n", "references.count"),
        (f"{MODEL}[attacks]\nonly = 'loss'\n", "attacks.only"),
        (f"{MODEL}[slices]\ncolumns = [1]\n", "slices.columns"),
        (MODEL.replace('label = "y"', ""), "label"),
        (MODEL.replace('"model.skops"', "3"), "target.model"),
        (MODEL.replace('label = "y"', 'label = "y"\nrule = "median"'), "rule must be one of"),
        (f'{ANSWERS}rule = "median"', "rule must be one of"),
        (MODEL.replace("[data]", 'frame = "arrow"\n[data]'), "target.frame must be one of"),
        (f"{MODEL}[statistics]\nfprs = [0.0]\n", "statistics.fprs must be in (0, 1)"),
        (f"{MODEL}[statistics]\nfprs = []\n", "statistics.fprs"),
        (f"{MODEL}[statistics]\npriors = [1.0]\n", "statistics.priors must be in (0, 1)"),
        (f"{MODEL}[policy]\nflag_fpr = 1.0\n", "flag_fpr must be in (0, 1)"),
        (f"{MODEL}[context]\nprior = 0\n", "context.prior must be in (0, 1)"),
        (f"{MODEL}{LIMIT}fpr = 0.1\n", "auc takes no fpr"),
        (f'{MODEL}[[policy.limits]]\nmetric = "accuracy"\nat_most = 0.5\n', "metric must be one of"),
        (f'{MODEL}[[policy.limits]]\nmetric = "auc"\n', "at_most"),
        ("", "[target] and [data], or [answers]"),
        (MODEL + ANSWERS, "[target] and [data], or [answers]"),
        (MODEL.split("[data]", maxsplit=1)[0], "[target] and [data], or [answers]"),
        ("[data]" + MODEL.split("[data]")[1], "[target] and [data], or [answers]"),
        ("[target\n", "plan.toml is not TOML"),
        ("seed = 1\nseed = 2\n", "plan.toml is not TOML"),
        (f"{MODEL}[references]\nworkers = -1\n", "workers"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_the_name_of_its_key(text, says):
    assert says in refused(text)


def test_a_plan_is_read_from_a_file(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(MODEL)
    assert read_plan(path) == parse_plan(MODEL)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "there is no plan"),
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"\xff\xfe\x00", "could not be read as text"),
    ],
)
def test_a_file_that_holds_no_plan_is_refused(tmp_path, content, says):
    path = tmp_path / "plan.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PlanError, match=says):
        read_plan(path)


def test_a_folder_is_no_plan(tmp_path):
    with pytest.raises(PlanError, match="could not be read"):
        read_plan(tmp_path)


def test_a_mapping_is_a_plan_too():
    content = {"answers": {"table": "answers.npz"}, "seed": 4}
    assert convert_plan(content) == convert_plan(json.loads(json.dumps(content)))
    assert isinstance(convert_plan(content), Plan)


def test_stacks_without_pytorch_are_one_sentence(monkeypatch):
    monkeypatch.setattr("unseen.models.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="PyTorch"):
        as_engine("stacked")
