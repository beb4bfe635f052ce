"""Large arrays of references are mapped from files without names, and hold what they hold in memory."""

import errno
import gc
import os
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from unseen.errors import FolderError
from unseen.reference import ReferenceAnswers, ReferenceFailure, ReferenceTask
from unseen.references import gather as gathering
from unseen.references import spool
from unseen.references.gather import gather
from unseen.references.spool import InMemory, OnDisk, columns_of, rows_of
from unseen.references.store import ReferenceStore

RECORDS, REFERENCES = 50, 6
FD = Path("/proc/self/fd")
linux = pytest.mark.skipif(not FD.is_dir(), reason="reads /proc")


def answers_of(k, records=RECORDS):
    rng = np.random.default_rng(k)
    return ReferenceAnswers(rng.normal(size=records).astype(np.float32), rng.random(records).astype(np.float32))


class Engine:
    """Gives the answers above, last first; of some it has none, no loss, or another list of members."""

    def __init__(self, failing=(), lossless=(), own=(), records=RECORDS):
        self.failing, self.lossless, self.own, self.records = failing, lossless, own, records

    def train(self, task, wanted):
        for k in reversed(wanted):
            if k in self.failing:
                yield k, ReferenceFailure("fit", "ValueError")
            else:
                answers = answers_of(k, self.records)
                loss = None if k in self.lossless else answers.loss
                yield k, ReferenceAnswers(answers.margin, loss, answers.margin > 0 if k in self.own else None)


def gathered(engine=None, folder=None, records=RECORDS):
    inclusion = np.random.default_rng(0).random((REFERENCES, records)) < 0.5
    task = ReferenceTask(None, None, None, None, None, inclusion, list(range(REFERENCES)))
    return gather(task, engine or Engine(records=records), ReferenceStore(folder, "key"), lambda done, of: None)


@pytest.fixture
def small(monkeypatch):
    """Let nothing fit into memory."""
    monkeypatch.setattr(spool, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(gathering, "IN_MEMORY_BYTES", 0)


@pytest.mark.parametrize(
    "engine",
    [Engine(), Engine(failing={0, 3}), Engine(lossless={2}), Engine(own={1, 4}), Engine(failing={5}, own={0})],
    ids=["all", "failures", "a loss is missing", "own members", "failure and own members"],
)
@pytest.mark.parametrize("kept", [False, True])
def test_on_disk_and_in_memory_are_the_same(engine, kept, tmp_path, monkeypatch):
    memory = gathered(engine)
    monkeypatch.setattr(spool, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(gathering, "IN_MEMORY_BYTES", 0)
    disk = gathered(engine, tmp_path if kept else None)
    for name in ("margin", "loss", "member"):
        ours, theirs = getattr(memory, name), getattr(disk, name)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert not isinstance(ours, np.memmap)
            assert isinstance(theirs, np.memmap)
            assert ours.dtype == theirs.dtype
            assert not theirs.flags.writeable
            assert (ours == theirs).all()
    assert (memory.used, memory.failures, memory.asked) == (disk.used, disk.failures, disk.asked)


@pytest.mark.usefixtures("small")
def test_if_all_fail_there_is_nothing_on_disk_either():
    found = gathered(Engine(failing=range(REFERENCES)))
    assert found.margin is found.loss is None
    assert found.member.shape == (0, RECORDS)


def test_what_is_small_is_in_memory_and_what_is_large_is_not():
    assert isinstance(rows_of((2, 3), np.float32, None, spool.IN_MEMORY_BYTES), InMemory)
    assert isinstance(rows_of((2, 3), np.float32, None, spool.IN_MEMORY_BYTES + 1), OnDisk)


@linux
@pytest.mark.usefixtures("small")
def test_files_have_no_names_and_end_with_their_arrays(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()

    def ours():
        gc.collect()
        return [name for link in FD.iterdir() if str(tmp_path) in (name := _read(link))]

    for folder in (None, tmp_path / "run"):
        found = gathered(folder=folder)
        assert len(ours()) == 3
        assert all(("run" if folder else "temporary") in name for name in ours())
        assert not [path for path in tmp_path.rglob("*") if path.is_file() and "reference-" not in path.name]
        held = found.margin[0].copy()
        part = found.margin[1:]
        del found
        assert len(ours()) == 1
        assert (part[0] == answers_of(1).margin).all()
        assert (held == answers_of(0).margin).all()
        del part
        assert ours() == []


def _read(link):
    try:
        return str(link.readlink())
    except OSError:
        return ""


def test_a_reference_of_another_length_is_refused_in_memory_and_on_disk():
    for rows in (InMemory((2, 3), np.float32), OnDisk((2, 3), np.float32, None)):
        for wrong in (np.zeros(2), np.zeros(4), np.zeros((1, 3)), np.float32(0)):
            with pytest.raises(ValueError, match="must answer 3 records"):
                rows.put(0, wrong)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_is_full_at_once_is_one_sentence(tmp_path, monkeypatch, number):
    def refuse(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(FolderError, match=f"could not be written in .*: {os.strerror(number)}; "):
        gathered(folder=tmp_path)


@pytest.mark.usefixtures("small")
def test_a_disk_that_fills_up_on_the_way_is_one_sentence_and_what_was_kept_stays(tmp_path, monkeypatch):
    opened, written = tempfile.TemporaryFile, []

    class Filling:
        def __init__(self, **kwargs):
            self.file = opened(**kwargs)

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def write(self, content):
            written.append(len(content))
            if len(written) > 4:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.file.write(content[: max(len(content) // 2, 1)])  # as a disk may

    monkeypatch.setattr(tempfile, "TemporaryFile", Filling)
    with pytest.raises(FolderError, match=r"an array of references could not be written in .*No space left"):
        gathered(folder=tmp_path)
    monkeypatch.undo()
    assert gathered(folder=tmp_path).reused == 1


def test_too_little_room_is_said_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(gathering, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Usage)

    class Never:
        def train(self, task, wanted):
            raise AssertionError

    for folder in (tmp_path, None):
        with pytest.raises(FolderError, match="are needed in"):
            gathered(Never(), folder)


class _Usage:
    free = 100


@pytest.mark.parametrize("bounds", [None, (-0.5, 0.5)])
def test_chosen_columns_are_those_of_the_whole_array(bounds):
    array = np.random.default_rng(0).normal(size=(5, 40)).astype(np.float32)
    array[2, 3] = -np.inf
    disk = OnDisk(array.shape, array.dtype, None)
    for row, values in enumerate(array):
        disk.put(row, values)
    mapped = disk.taken(range(5))
    columns = np.random.default_rng(1).permutation(40)[:17]
    expected = array[:, columns] if bounds is None else np.clip(array[:, columns], *bounds)
    for source in (array, mapped):
        found = columns_of(source, columns, bounds)
        assert (found == expected).all()
        assert found.dtype == array.dtype
        assert isinstance(found, np.memmap) == isinstance(source, np.memmap)
    assert columns_of(mapped[:0], columns).shape == (0, 17)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_references(tmp_path):
    records = 12_000_000 // REFERENCES * 3  # so that one audit's arrays go beyond what is held in memory
    assert REFERENCES * records * 9 > spool.IN_MEMORY_BYTES
    inclusion = np.zeros((REFERENCES, 1), bool).repeat(records, axis=1)
    task = ReferenceTask(None, None, None, None, None, inclusion, list(range(REFERENCES)))
    ones = ReferenceAnswers(np.ones(records, np.float32), np.ones(records, np.float32))

    class Ones:
        def train(self, task, wanted):
            yield from ((k, ones) for k in wanted)

    tracemalloc.start()
    found = gather(task, Ones(), ReferenceStore(None, "key"), lambda done, of: None)
    chosen = columns_of(found.margin, np.arange(1, records), (0.0, 0.5))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert chosen.shape == (REFERENCES, records - 1)
    assert chosen[-1, -1] == 0.5
    assert most < 6 * records * 4  # a few rows, and the columns' numbers; not the arrays
