"""Tables and arrays are read from files, and a bad file is one sentence that quotes nothing of it."""

import numpy as np
import polars as pl
import pytest

from unseen.errors import DataError
from unseen.features.files import read_arrays, read_table

SECRET = "Rumpelstilzchen"
TABLE = pl.DataFrame({"name": [SECRET] * 500, "age": range(500), "score": np.linspace(0, 1, 500)})


def written(folder, suffix):
    path = folder / f"table{suffix}"
    if suffix in {".parquet", ".pq"}:
        TABLE.write_parquet(path)
    elif suffix == ".csv.gz":
        import gzip

        path.write_bytes(gzip.compress(TABLE.write_csv().encode()))
    else:
        TABLE.write_csv(path, separator="\t" if suffix == ".tsv" else ",")
    return path


def refused(read, path, match=None):
    with pytest.raises(DataError, match=match) as refusal:
        read(path, "members")
    message = str(refusal.value)
    assert message.startswith("members: ")
    assert "\n" not in message
    assert SECRET not in message
    assert refusal.value.__cause__ is None
    return message


def said(read, path):
    """Return the refusal's message, or nothing where the damage went unnoticed; anything else breaks out."""
    try:
        read(path, "members")
    except DataError as refusal:
        return str(refusal)
    return ""


@pytest.mark.parametrize("suffix", [".parquet", ".pq", ".csv", ".csv.gz", ".tsv", ".CSV"])
def test_tables_are_read(tmp_path, suffix):
    read = read_table(written(tmp_path, suffix), "members")
    assert read.equals(TABLE) or np.allclose(read["score"], TABLE["score"])
    assert read.columns == TABLE.columns
    assert read["age"].dtype.is_integer()


def test_a_late_word_does_not_break_a_column_taken_for_numbers(tmp_path):
    path = tmp_path / "late.csv"
    path.write_text("a\n" + "1\n" * 20_000 + "unknown\n")
    assert read_table(path, "members")["a"].dtype == pl.String


def test_a_missing_file_is_named(tmp_path):
    for read, name in ((read_table, "no.csv"), (read_arrays, "no.npz")):
        assert name in refused(read, tmp_path / name, "there is no file")


def test_a_folder_is_not_a_file(tmp_path):
    for read in (read_table, read_arrays):
        refused(read, tmp_path, "is a folder")


@pytest.mark.parametrize("name", ["empty.csv", "empty.parquet", "empty.npz", "empty.csv.gz"])
def test_an_empty_file_is_named(tmp_path, name):
    path = tmp_path / name
    path.touch()
    refused(read_arrays if name.endswith("npz") else read_table, path, "is empty")


@pytest.mark.parametrize("content", ["a,b\n", "\n\n"])
def test_a_table_without_rows_is_refused(tmp_path, content):
    path = tmp_path / "bare.csv"
    path.write_text(content)
    refused(read_table, path)


@pytest.mark.parametrize("suffix", [".xlsx", ".json", ".npz", ".txt", ""])
def test_another_suffix_is_refused_with_those_that_are_read(tmp_path, suffix):
    path = tmp_path / f"table{suffix}"
    path.write_text(SECRET)
    refused(read_table, path, "it reads .parquet")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("suffix", [".parquet", ".csv.gz"])
def test_a_truncated_table_is_refused(tmp_path, suffix, share):
    path = written(tmp_path, suffix)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refused(read_table, path, "truncated or of another type")


def test_a_damaged_parquet_file_is_refused_or_read_but_never_breaks_out(tmp_path):
    content = written(tmp_path, ".parquet").read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged.parquet"
    for _ in range(60):
        broken = bytearray(content)
        for place in rng.integers(4, len(content) - 4, 3):
            broken[place] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(broken))
        assert SECRET not in said(read_table, path)


@pytest.mark.parametrize("name", ["was.parquet", "was.csv.gz"])
def test_a_table_under_the_wrong_name_is_refused(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(written(tmp_path, ".csv" if name == "was.parquet" else ".parquet").read_bytes())
    refused(read_table, path)


def test_parquet_called_csv_is_refused(tmp_path):
    path = tmp_path / "was.csv"
    path.write_bytes(written(tmp_path, ".parquet").read_bytes())
    refused(read_table, path)


def test_a_ragged_table_is_refused(tmp_path):
    path = tmp_path / "ragged.csv"
    path.write_text(f"a,b\n1,2\n{SECRET},2,3,4\n")
    refused(read_table, path)


def test_arrays_are_read_by_name(tmp_path):
    path = tmp_path / "answers.npz"
    np.savez_compressed(path, a=np.arange(3), b=np.array(["x", "y"]))
    arrays = read_arrays(path, "answers")
    assert arrays["a"].tolist() == [0, 1, 2]
    assert arrays["b"].tolist() == ["x", "y"]


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def test_pickled_objects_in_an_npz_are_refused_unopened(tmp_path):
    path = tmp_path / "pickled.npz"
    np.savez(path, a=np.array([Bomb()], dtype=object))
    refused(read_arrays, path, "pickled objects")


def test_pickled_objects_in_an_npy_under_another_name_are_refused_unopened(tmp_path):
    path = tmp_path / "pickled.npz"
    with path.open("wb") as file:
        np.save(file, np.array([Bomb()], dtype=object), allow_pickle=True)
    refused(read_arrays, path)


def test_a_lone_array_is_not_an_npz(tmp_path):
    path = tmp_path / "lone.npz"
    with path.open("wb") as file:
        np.save(file, np.arange(3))
    refused(read_arrays, path)


def test_a_truncated_or_damaged_npz_is_refused_or_read_but_never_breaks_out(tmp_path):
    path = tmp_path / "answers.npz"
    np.savez_compressed(path, a=np.random.default_rng(0).normal(size=200), b=np.full(200, SECRET))
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for share in (0.1, 0.5, 0.9, 0.999):
        path.write_bytes(content[: int(share * len(content))])
        refused(read_arrays, path)
    for _ in range(150):
        broken = bytearray(content)
        for place in rng.integers(0, len(content), 3):
            broken[place] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(broken))
        assert SECRET not in said(read_arrays, path)
