"""What the model was really trained on: lists are read, written, and held against the members."""

import numpy as np
import polars as pl
import pytest
import skops.io
from sklearn.datasets import make_classification
from sklearn.tree import DecisionTreeClassifier
from typer.testing import CliRunner

import unseen
from unseen.cli.main import app
from unseen.errors import DataError, PlanError
from unseen.features.digest import row_digests
from unseen.manifest import HEADER, hash_list, read_manifest
from unseen.plan import DataPlan

N = 300
X, Y = make_classification(2 * N, 4, n_informative=3, n_redundant=0, flip_y=0.3, random_state=0)
TABLE = pl.DataFrame(X, schema=list("abcd")).with_columns(id=pl.Series([f"r{i}" for i in range(2 * N)]), y=pl.Series(Y))
PLAN = """
[target]
model = "model.skops"
[data]
members = "in.parquet"
non_members = "out.parquet"
label = "y"
id = "id"
manifest = "{manifest}"
[references]
count = 0
[attacks]
only = ["gap"]
"""


@pytest.fixture
def home(tmp_path):
    TABLE[:N].write_parquet(tmp_path / "in.parquet")
    TABLE[N:].write_parquet(tmp_path / "out.parquet")
    skops.io.dump(DecisionTreeClassifier(random_state=0).fit(X[:N], Y[:N]), tmp_path / "model.skops")
    return tmp_path


def run(home, manifest):
    (home / "plan.toml").write_text(PLAN.format(manifest=manifest))
    report = unseen.audit_plan(home / "plan.toml", folder=home / f"run-{manifest}").report
    return report.state, next(one for one in report.gates if one.name == "manifest").counts


ALL = {"members": N, "members_listed": N, "non_members": N, "non_members_listed": 0}


@pytest.mark.parametrize("kind", ["ids.txt", "ids.parquet", "hashes.txt"])
def test_every_kind_of_list_knows_the_members(home, kind):
    shuffled = TABLE[:N].sample(fraction=1, shuffle=True, seed=1)
    if kind == "ids.txt":
        (home / kind).write_text("\n".join(shuffled["id"]))
    elif kind == "ids.parquet":
        shuffled.select("id").write_parquet(home / kind)
    else:
        shuffled.write_parquet(home / "train.parquet")
        done = CliRunner().invoke(
            app,
            ["manifest", str(home / "train.parquet"), "--label", "y", "--drop", "id", "--out", str(home / kind)],
        )
        assert done.exit_code == 0, done.output
    assert run(home, kind) == ("leak", ALL)


def test_members_from_elsewhere_and_non_members_that_were_trained_on_are_counted(home):
    (home / "ids.txt").write_text("\n".join(TABLE["id"][5 : N + 2]))
    state, counts = run(home, "ids.txt")
    assert state == "inconclusive"
    assert counts == ALL | {"members_listed": N - 5, "non_members_listed": 2}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.txt", None, "no file"),
        ("empty.txt", b"", "is empty"),
        ("bad.txt", f"{HEADER}\nnot a digest\n".encode(), "no 64-bit digest"),
        ("long.txt", f"{HEADER}\n{'f' * 20}\n".encode(), "no 64-bit digest"),
        ("binary.txt", b"\xff\xfe\x00", "could not be read"),
    ],
)
def test_a_list_that_cannot_be_read_is_one_sentence(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        read_manifest(tmp_path / name, "id")
    assert "not a digest" not in str(caught.value)


def test_a_table_without_the_id_column_is_refused(home):
    with pytest.raises(DataError, match="no id column 'key'"):
        read_manifest(home / "in.parquet", "key")


def test_ids_need_records_with_ids():
    model = DecisionTreeClassifier().fit(X[:N], Y[:N])
    sides = (X[:N], Y[:N]), (X[N:], Y[N:])
    with pytest.raises(DataError, match="needs records with ids"):
        unseen.audit(model, *sides, references=0, manifest=unseen.Manifest(ids=TABLE["id"].to_numpy()))
    with pytest.raises(DataError, match="needs ids, or content digests"):
        unseen.Manifest()


@pytest.mark.parametrize("ids", [[0.5, 1.0], [], [["a"]]], ids=["floats", "none", "nested"])
def test_ids_that_are_none_are_refused(ids):
    with pytest.raises(DataError, match="must be texts or whole numbers"):
        unseen.Manifest(ids=ids)


@pytest.mark.parametrize("digests", [["00ff"], [1, 2], np.array([1.0])], ids=["texts", "signed", "floats"])
def test_digests_that_are_none_are_refused(digests):
    with pytest.raises(DataError, match="must be 64-bit digests"):
        unseen.Manifest(digests=digests)


def test_a_manifest_of_another_type_is_refused_before_anything_is_trained():
    model = DecisionTreeClassifier().fit(X[:N], Y[:N])
    for given in (["a", "b"], "train.txt"):
        with pytest.raises(PlanError, match="must be an unseen Manifest"):
            unseen.audit(model, (X[:N], Y[:N]), (X[N:], Y[N:]), manifest=given)


def test_ids_may_be_a_set():
    members = unseen.Records(X[:N], Y[:N], np.arange(N))
    counts = unseen.Manifest(ids=set(range(10, 900))).count(members, members)
    assert counts["members_listed"] == N - 10


def test_with_ids_and_digests_both_must_list_a_record():
    members = unseen.Records(X[:N], Y[:N], np.arange(N))
    both = unseen.Manifest(ids=range(N), digests=row_digests(X[5:N], Y[5:N]))
    assert both.count(members, members)["members_listed"] == N - 5


def test_a_row_has_one_digest_whatever_holds_it():
    days = pl.date_range(pl.date(2020, 1, 1), pl.date(2020, 1, 4), eager=True)
    table = pl.DataFrame(
        {"day": days, "flag": [True, False, None, True], "n": [1, 2, 3, None], "w": ["a", None, "c", "d"]}
    )
    kept = row_digests(table, np.array([0, 1, 0, 1]))
    for other in (
        table.to_pandas(),
        table.with_columns(pl.col("n").cast(pl.Float32), day=pl.col("day").cast(pl.Datetime)),
    ):
        assert (row_digests(other, np.array([0.0, 1.0, 0.0, 1.0])) == kept).all()
    whole = table.head(2)  # without a missing value the flag is a plain boolean column
    assert (row_digests(whole, np.array([0, 1])) == kept[:2]).all()


def test_a_hash_list_tells_neither_order_nor_content(tmp_path):
    text = hash_list(X, Y)
    order = np.random.default_rng(0).permutation(2 * N)
    assert hash_list(X[order], Y[order]) == text
    assert text.startswith(HEADER)


def test_a_list_of_other_columns_is_refused_with_what_differs(home):
    frame = TABLE[:N].select("d", "c", "b", "a")
    (home / "hashes.txt").write_text(hash_list(frame, Y[:N]))
    assert run(home, "hashes.txt") == ("leak", ALL)  # the order of columns does not matter
    (home / "hashes.txt").write_text(hash_list(TABLE[:N].drop("y"), Y[:N]))
    manifest = read_manifest(home / "hashes.txt", None)
    members = unseen.Records(frame, Y[:N])
    with pytest.raises(DataError, match=r"only in the list \['id'\], only in the table \[\]"):
        manifest.count(members, members)


def test_a_list_is_not_written_over(home):
    (home / "manifest.txt").write_text("kept")
    done = CliRunner().invoke(
        app, ["manifest", str(home / "in.parquet"), "--label", "y", "--out", str(home / "manifest.txt")]
    )
    assert done.exit_code == 2
    assert (home / "manifest.txt").read_text() == "kept"


def test_the_plan_knows_the_key():
    assert "manifest" in DataPlan.__struct_fields__
