"""`unseen init` proposes a plan that parses and runs, from what the files say."""

import tomllib

import joblib
import numpy as np
import polars as pl
import pytest
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

import unseen
from unseen.errors import DataError, FolderError, ModelError
from unseen.plan import parse_plan
from unseen.proposal import propose, write_new

RNG = np.random.default_rng(0)
N = 240
TABLE = pl.DataFrame(
    {
        "id": [f"r{i}" for i in range(N)],
        "patient": [f"p{i // 2}" for i in range(N)],
        "town": RNG.choice(["east", "west"], N),
        "age": RNG.integers(20, 80, N),
        "income": RNG.normal(size=N),
        "outcome_of_it": RNG.choice(["ill", "well"], N),
        "visited": RNG.integers(0, 2, N).astype(bool),
    }
)
FEATURES = ["town", "age", "income", "visited"]


def model(features=FEATURES, label="outcome_of_it", table=TABLE):
    encode = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["town"]), remainder="passthrough")
    part = table[: N // 2]
    return make_pipeline(encode, DecisionTreeClassifier(random_state=0)).fit(part[features], part[label].to_numpy())


def files(folder, table=TABLE, fitted=None, suffix=".parquet", dump="model.skops"):
    paths = [folder / f"{name}{suffix}" for name in ("members", "non_members")]
    for path, part in zip(paths, (table[: N // 2], table[N // 2 :]), strict=True):
        (part.write_parquet if suffix == ".parquet" else part.write_csv)(path)
    (skops.io if dump.endswith("skops") else joblib).dump(fitted or model(), folder / dump)
    return [folder / dump, *paths]


def test_the_proposal_is_a_plan_that_says_what_the_files_say(tmp_path):
    text = propose(*files(tmp_path), relative_to=tmp_path)
    plan = parse_plan(text)
    assert plan.target.model == "model.skops"
    assert (plan.data.members, plan.data.non_members) == ("members.parquet", "non_members.parquet")
    assert (plan.data.label, plan.data.id, plan.data.group) == ("outcome_of_it", "id", "patient")
    assert plan.data.population is None
    assert plan.slices.columns == ("town", "visited")
    assert "120 records the model was trained on" in text


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_the_proposal_runs(tmp_path, suffix):
    text = propose(*files(tmp_path, suffix=suffix), relative_to=tmp_path)
    path = tmp_path / "plan.toml"
    write_new(path, text.replace("count = 16", "count = 2"))
    outcome = unseen.audit_plan(path)
    assert outcome.report.unit == "person"
    assert {one.by for one in outcome.report.slices} >= {"class", "town", "visited"}
    assert sorted(left.name for left in (tmp_path / "unseen-run").iterdir()) == [
        "plan.toml",
        "records.parquet",
        "references",
        "report.json",
        "run.json",
    ]


def test_every_default_that_is_commented_out_is_the_default(tmp_path):
    text = propose(*files(tmp_path), relative_to=tmp_path)
    lines = [line for line in text.splitlines() if not line.startswith("# A plan")]
    section, spoken = "", {}
    for line in lines:
        if line.startswith("["):
            section = line
        if line.startswith("# ") and " = " in line and "policy.limits" not in section:
            spoken.setdefault(section, []).append(line[2:])
    plain, loud = parse_plan(text), text
    for wanted in ("trusted_types", "frame", "drop", "rule", "workers", "copies", "skip", "priors", "flag_fpr"):
        found = [line for lines in spoken.values() for line in lines if line.startswith(f"{wanted} =")]
        assert found, wanted
        loud = loud.replace(f"# {found[0]}", found[0])
    assert parse_plan(loud) == plain


def test_a_population_is_named(tmp_path):
    given = files(tmp_path)
    TABLE.write_parquet(tmp_path / "others.parquet")
    plan = parse_plan(propose(*given, tmp_path / "others.parquet", relative_to=tmp_path))
    assert plan.data.population == "others.parquet"


def test_files_elsewhere_are_named_in_full(tmp_path):
    plan = parse_plan(propose(*files(tmp_path), relative_to=tmp_path / "elsewhere"))
    assert plan.target.model == str(tmp_path / "model.skops")


@pytest.mark.parametrize("name", ['mem"bers', "mém bers", "mem\\bers", "mem'bers"])
def test_awkward_names_survive_the_plan(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    plan = parse_plan(propose(*files(folder), relative_to=tmp_path))
    assert plan.data.members == f"{name}/members.parquet"


def test_the_label_is_the_column_whose_values_are_the_models_classes(tmp_path):
    misleading = TABLE.with_columns(label=pl.lit("other"))
    plan = parse_plan(propose(*files(tmp_path, misleading), relative_to=tmp_path))
    assert plan.data.label == "outcome_of_it"
    assert plan.data.drop == ("label",)


def test_columns_that_the_model_was_not_fitted_on_are_dropped_by_name(tmp_path):
    plan = parse_plan(propose(*files(tmp_path, TABLE.with_columns(more=pl.lit(1.5))), relative_to=tmp_path))
    assert plan.data.drop == ("more",)


def test_else_the_label_is_the_column_named_like_one(tmp_path):
    table = TABLE.rename({"outcome_of_it": "target"}).with_columns(twin=pl.col("target"))
    fitted = model(label="target", table=table)
    assert parse_plan(propose(*files(tmp_path, table, fitted), relative_to=tmp_path)).data.label == "target"


def test_a_label_that_cannot_be_told_is_asked_for(tmp_path):
    table = TABLE.with_columns(twin=pl.col("outcome_of_it"))
    given = files(tmp_path, table)
    with pytest.raises(DataError, match="Say --label NAME"):
        propose(*given)
    assert parse_plan(propose(*given, label="twin")).data.label == "twin"


@pytest.mark.parametrize(("role", "near"), [("label", "outcom_of_it"), ("group", "patiant"), ("id", "ids")])
def test_a_column_that_is_not_there_is_refused_with_the_near_one(tmp_path, role, near):
    with pytest.raises(DataError, match=f"no column '{near}'; did you mean"):
        propose(*files(tmp_path), **{role: near})


def test_an_id_column_that_names_rows_twice_is_no_id(tmp_path):
    table = TABLE.with_columns(id=pl.col("patient"))
    assert parse_plan(propose(*files(tmp_path, table), relative_to=tmp_path)).data.id is None


def test_a_pickle_is_not_opened_and_the_plan_says_what_it_takes(tmp_path):
    given = files(tmp_path, TABLE.rename({"outcome_of_it": "label"}), dump="model.joblib")
    text = propose(*given, relative_to=tmp_path)
    assert "runs any code inside it" in text
    assert not parse_plan(text).target.trust
    assert parse_plan(propose(*given, label="label", trust=True)).target.trust


def test_a_model_file_that_cannot_be_read_is_refused(tmp_path):
    given = files(tmp_path)
    given[0].write_text("no model")
    with pytest.raises(ModelError, match="could not be read"):
        propose(*given)


def test_a_model_without_names_gets_no_slices_that_it_cannot_have(tmp_path):
    table = TABLE.drop("town", "id", "patient")
    part = table[: N // 2]
    fitted = LogisticRegression().fit(
        part.select("age", "income", "visited").to_numpy().astype(float), part["outcome_of_it"].to_numpy()
    )
    text = propose(*files(tmp_path, table, fitted), relative_to=tmp_path)
    write_new(tmp_path / "plan.toml", text.replace("count = 16", "count = 0"))
    assert unseen.audit_plan(tmp_path / "plan.toml").report.target.kind == "LogisticRegression"


def test_a_plan_is_not_overwritten(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text("mine")
    with pytest.raises(FolderError, match="is not overwritten"):
        write_new(path, "other")
    assert path.read_text() == "mine"


def test_the_template_is_toml_whatever_is_known(tmp_path):
    given = files(tmp_path)
    for options in ({}, {"group": "town"}, {"id": "id"}, {"label": "town"}, {"trust": True}):
        assert tomllib.loads(propose(*given, **options))


def test_the_proposal_suggests_the_columns_that_look_sensitive_and_shows_none_of_their_values(tmp_path):
    text = propose(*files(tmp_path), relative_to=tmp_path)
    assert '# sensitive = ["age", "income"]' in text
    confirmed = text.replace("# sensitive", "sensitive").replace("# severity", "severity").replace("# access", "access")
    confirmed = confirmed.replace("# queries_per_day", "queries_per_day").replace("# reveals", "reveals")
    context = parse_plan(confirmed.replace("# identifiers_removed", "identifiers_removed")).context
    assert (context.sensitive, context.severity, context.access) == (("age", "income"), "high", "api")
    assert (context.queries_per_day, context.identifiers_removed) == (1000, True)
