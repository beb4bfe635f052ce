"""Kept references: whole, checked, shared by processes; what is damaged or foreign is named and trained again."""

import errno
import io
import os
import pickle
import subprocess
import sys
import tempfile
import zipfile
from hashlib import blake2b

import numpy as np
import pytest

from unseen.disk import PART
from unseen.errors import FolderError
from unseen.reference import ReferenceAnswers
from unseen.references.store import ReferenceStore

RECORDS = 40


def answers_of(k, records=RECORDS):
    rng = np.random.default_rng(k)
    margin, loss = rng.normal(size=records).astype(np.float32), rng.random(records).astype(np.float32)
    return ReferenceAnswers(margin, loss, rng.random(records) < 0.5)


def signed(payload):
    return blake2b(payload, digest_size=32).digest() + payload


def packed(save=np.savez, **arrays):
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


class Planted:
    """What a pickle runs when it is read."""

    def __reduce__(self):
        return (os.mkdir, ("planted",))


def raw_entry(name, content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def endless():
    """An array that says it has ten million million values."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**13,)})
    return raw_entry("margin.npy", header.getvalue())


GOOD = answers_of(0)
FOREIGN = {
    "objects": packed(margin=np.array([Planted()] * RECORDS, dtype=object)),
    "a pickle": pickle.dumps(Planted()),
    "float64": packed(margin=GOOD.margin.astype(np.float64)),
    "integers": packed(margin=np.zeros(RECORDS, np.int32)),
    "numbers for members": packed(member=np.zeros(RECORDS, np.float32)),
    "fewer records": packed(margin=GOOD.margin[1:]),
    "more records": packed(margin=np.zeros(RECORDS + 1, np.float32)),
    "two axes": packed(margin=GOOD.margin[None]),
    "no axis": packed(margin=np.float32(1)),
    "another array": packed(margin=GOOD.margin, weights=GOOD.margin),
    "compressed": packed(np.savez_compressed, margin=np.zeros(RECORDS, np.float32)),
    "far too large": packed(margin=np.zeros(10**6, np.float32)),
    "endless": endless(),
    "no array": raw_entry("margin.npy", b"nothing"),
    "text": b"margin,loss\n",
    "nothing": b"",
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_file_with_a_right_checksum_and_something_else_in_it_is_named_and_never_run(tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    store = ReferenceStore(tmp_path / "run", "key")
    store.save(0, GOOD)
    path = tmp_path / "run" / "references" / "key" / "reference-0000.npz.b2"
    path.write_bytes(signed(FOREIGN[what]))
    assert store.load(0, RECORDS) is None
    assert store.damaged_files == ["reference-0000.npz.b2"]
    assert not (tmp_path / "planted").exists()
    store.save(0, GOOD)
    assert (store.load(0, RECORDS).margin == GOOD.margin).all()
    assert store.damaged == 1


def test_a_flipped_bit_is_found_wherever_it_is(tmp_path):
    store = ReferenceStore(tmp_path, "key")
    store.save(3, answers_of(3, records=4))
    path = next(tmp_path.rglob("reference-0003*"))
    content = path.read_bytes()
    places = range(0, len(content), 7)
    for place in places:
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert store.load(3, 4) is None
    assert store.damaged == len(places)
    path.write_bytes(content)
    assert store.load(3, 4) is not None


def test_a_shorter_file_is_found_however_short(tmp_path):
    store = ReferenceStore(tmp_path, "key")
    store.save(3, answers_of(3, records=4))
    path = next(tmp_path.rglob("reference-0003*"))
    content = path.read_bytes()
    lengths = range(0, len(content), 7)
    for length in lengths:
        path.write_bytes(content[:length])
        assert store.load(3, 4) is None
    assert store.damaged == len(lengths)


def test_what_cannot_be_read_counts_as_damaged(tmp_path):
    store = ReferenceStore(tmp_path, "key")
    (tmp_path / "references" / "key" / "reference-0001.npz.b2").mkdir(parents=True)
    assert store.load(1, RECORDS) is None
    assert store.damaged_files == ["reference-0001.npz.b2"]


def test_what_is_kept_is_what_was_saved_in_single_precision(tmp_path):
    store = ReferenceStore(tmp_path, "key")
    given = answers_of(0)
    store.save(0, ReferenceAnswers(given.margin.astype(np.float64), None, given.member))
    kept = store.load(0, RECORDS)
    assert kept.margin.dtype == np.float32
    assert (kept.margin == given.margin).all()
    assert (kept.member == given.member).all()
    assert kept.loss is None


# --- processes that share a folder

WRITER = """
import sys, time
from pathlib import Path
import numpy as np
from unseen.reference import ReferenceAnswers
from unseen.references.store import ReferenceStore

folder, go, rounds = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
store = ReferenceStore(folder, "key")
known = [ReferenceAnswers(*np.random.default_rng(k).random((2, 5000)).astype(np.float32)) for k in range(4)]
print("ready", flush=True)
while not go.exists():
    time.sleep(0.001)
for number in range(rounds):
    store.prepare(1, 5000)
    store.save(number % 4, known[number % 4])
    kept = store.load(number % 4, 5000)
    assert kept is not None and (kept.margin == known[number % 4].margin).all()
assert store.damaged == 0
"""


HOLDER = """
import sys
from unseen.disk import _lock

with open(sys.argv[1], "r+b") as file:
    assert _lock(file.fileno())
    print("held", flush=True)
    input()
"""


def test_processes_that_write_the_same_references_at_once_leave_each_whole(tmp_path):
    go = tmp_path / "go"
    command = [sys.executable, "-c", WRITER, str(tmp_path / "shared"), str(go), "100"]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    go.touch()
    for writer in writers:
        _, said = writer.communicate(timeout=60)
        assert writer.returncode == 0, said
    names = sorted(path.name for path in (tmp_path / "shared" / "references" / "key").iterdir())
    assert names == [f"reference-{k:04d}.npz.b2" for k in range(4)]  # no half-written file is left either


def test_what_a_killed_process_left_half_written_is_swept_and_what_a_living_one_writes_is_not(tmp_path):
    store = ReferenceStore(tmp_path, "key")
    store.save(0, answers_of(0))
    left = store.folder / f"{PART}abandoned"
    left.write_bytes(b"half")
    (tmp_path / f"{PART}report").write_bytes(b"half")
    living = store.folder / f"{PART}living"
    living.write_bytes(b"half")
    command = [sys.executable, "-c", HOLDER, str(living)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        store.prepare(1, RECORDS)
        assert list(tmp_path.rglob(f"{PART}*")) == [living]
        holder.communicate("\n")
    store.prepare(1, RECORDS)
    assert list(tmp_path.rglob(f"{PART}*")) == []
    assert store.load(0, RECORDS) is not None


# --- a disk that refuses


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.EROFS, "name a folder that can be written to"), (errno.ENOSPC, "free some space there")],
)
def test_a_disk_that_refuses_is_one_sentence_with_the_folder_and_the_repair(tmp_path, monkeypatch, number, words):
    store = ReferenceStore(tmp_path, "key")
    store.save(0, answers_of(0))

    def refuse(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", refuse)
    for call in (lambda: store.prepare(1, RECORDS), lambda: store.save(1, answers_of(1))):
        with pytest.raises(FolderError) as caught:
            call()
        said = str(caught.value)
        assert str(store.folder) in said
        assert os.strerror(number) in said
        assert words in said
        assert said.count(". ") == 0
    assert store.load(0, RECORDS) is not None  # finished work stays
    assert [path.name for path in store.folder.iterdir()] == ["reference-0000.npz.b2"]


def test_too_little_room_is_said_before_anything_is_trained(tmp_path):
    store = ReferenceStore(tmp_path, "key")
    with pytest.raises(FolderError, match=r"[\d.]+ [kMGT]?B are needed in .*key, and [\d.]+ [kMGT]?B are free there"):
        store.prepare(10_000, 10**12)


def test_a_folder_below_a_file_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FolderError, match="could not be written in"):
        ReferenceStore(tmp_path / "file", "key").prepare(1, RECORDS)


def test_a_store_without_a_folder_prepares_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ReferenceStore(None, "key").prepare(10_000, 10**12)
    assert list(tmp_path.iterdir()) == []
