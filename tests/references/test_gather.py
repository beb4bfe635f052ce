"""Finished references are kept and used again, damaged ones trained again, failed ones counted by name."""

import errno
import tempfile
from dataclasses import replace

import numpy as np
import pytest

from unseen.errors import FolderError
from unseen.reference import ReferenceAnswers, ReferenceFailure, ReferenceTask
from unseen.references.gather import gather
from unseen.references.store import ReferenceStore

RECORDS = 30


def answers_of(k):
    rng = np.random.default_rng(k)
    return ReferenceAnswers(rng.normal(size=RECORDS).astype(np.float32), rng.random(RECORDS).astype(np.float32))


class Engine:
    """Gives the answers above, last first, and remembers what it was asked for."""

    def __init__(self, failing=(), stop_after=None):
        self.failing, self.stop_after, self.trained = failing, stop_after, []

    def train(self, task, wanted):
        for k in reversed(wanted):
            if self.stop_after is not None and len(self.trained) == self.stop_after:
                raise KeyboardInterrupt
            self.trained.append(k)
            yield k, ReferenceFailure("fit", "ValueError") if k in self.failing else answers_of(k)


def task(references=4):
    inclusion = np.random.default_rng(0).random((references, RECORDS)) < 0.5
    return ReferenceTask(None, None, None, None, None, inclusion, list(range(references)))


def quiet(done, of):
    pass


def run(engine, folder=None, key="key", references=4, progress=quiet):
    return gather(task(references), engine, ReferenceStore(folder, key), progress)


def test_references_stand_in_order_whatever_order_they_finish_in():
    gathered = run(Engine())
    assert (gathered.margin == np.stack([answers_of(k).margin for k in range(4)])).all()
    assert (gathered.loss == np.stack([answers_of(k).loss for k in range(4)])).all()
    assert (gathered.member == task().inclusion).all()
    assert (gathered.asked, gathered.finished, gathered.reused, gathered.damaged) == (4, 4, 0, 0)


def test_a_second_run_trains_nothing_and_gives_the_same(tmp_path):
    first, engine = run(Engine(), tmp_path), Engine()
    second = run(engine, tmp_path)
    assert engine.trained == []
    assert second.reused == 4
    assert (first.margin == second.margin).all()
    assert (first.loss == second.loss).all()


def test_more_references_train_only_those_that_are_new(tmp_path):
    run(Engine(), tmp_path)
    engine = Engine()
    assert run(engine, tmp_path, references=6).reused == 4
    assert sorted(engine.trained) == [4, 5]


def test_another_key_shares_nothing(tmp_path):
    run(Engine(), tmp_path, key="one")
    engine = Engine()
    assert run(engine, tmp_path, key="two").reused == 0
    assert len(engine.trained) == 4


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(Engine())
    assert list(tmp_path.iterdir()) == []


def test_failures_are_counted_by_name_and_their_coins_left_out():
    gathered = run(Engine(failing={1, 3}))
    assert gathered.failures == {"fit: ValueError": 2}
    assert (gathered.asked, gathered.finished) == (4, 2)
    assert (gathered.member == task().inclusion[[0, 2]]).all()
    assert (gathered.margin[1] == answers_of(2).margin).all()


def test_a_failure_is_not_kept_and_is_tried_again(tmp_path):
    run(Engine(failing={1}), tmp_path)
    engine = Engine()
    assert run(engine, tmp_path).failures == {}
    assert engine.trained == [1]


def test_if_all_fail_there_is_nothing_and_they_are_counted():
    gathered = run(Engine(failing=range(4)))
    assert gathered.finished == 0
    assert gathered.margin is gathered.loss is None
    assert gathered.failures == {"fit: ValueError": 4}


def test_an_interrupt_keeps_what_is_finished_and_the_next_run_uses_it(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(Engine(stop_after=2), tmp_path)
    engine = Engine()
    gathered = run(engine, tmp_path)
    assert gathered.reused == 2
    assert sorted(engine.trained) == [0, 1]
    assert (gathered.margin == run(Engine()).margin).all()


def files(folder):
    return sorted(folder.rglob("reference-*"))


@pytest.mark.parametrize(
    "harm",
    [
        lambda content: b"",
        lambda content: content[:20],
        lambda content: content[:-1],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: bytes([content[0] ^ 1]) + content[1:],
        lambda content: content + b"\0",
    ],
)
def test_a_damaged_file_is_counted_and_trained_again(tmp_path, harm):
    run(Engine(), tmp_path)
    victim = files(tmp_path)[2]
    victim.write_bytes(harm(victim.read_bytes()))
    engine = Engine()
    gathered = run(engine, tmp_path)
    assert engine.trained == [2]
    assert (gathered.damaged, gathered.reused, gathered.finished) == (1, 3, 4)
    assert gathered.damaged_files == (victim.name,)
    assert (gathered.margin == run(Engine()).margin).all()
    again = Engine()
    assert run(again, tmp_path).damaged == 0
    assert again.trained == []


def test_a_reference_over_another_number_of_records_is_damaged(tmp_path):
    store = ReferenceStore(tmp_path, "key")
    store.save(0, ReferenceAnswers(np.zeros(RECORDS + 1, np.float32), None))
    assert store.load(0, RECORDS) is None
    assert store.damaged == 1


def test_references_with_fewer_answers_are_kept_as_they_are(tmp_path):
    store = ReferenceStore(tmp_path, "key")
    store.save(0, ReferenceAnswers(np.ones(RECORDS, np.float32), None))
    store.save(1, ReferenceAnswers(None, None))
    assert store.load(0, RECORDS).loss is None
    assert store.load(1, RECORDS) == ReferenceAnswers(None, None)
    assert store.load(2, RECORDS) is None
    assert store.damaged == 0


def test_kept_files_are_for_their_owners_eyes_only(tmp_path):
    run(Engine(), tmp_path)
    assert {path.stat().st_mode & 0o777 for path in files(tmp_path)} == {0o600}


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_trained(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    run(Engine(), tmp_path, references=2)
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    engine = Engine()
    with pytest.raises(FolderError, match=r"could not be written in .*: Read-only file system; name a folder"):
        run(engine, tmp_path)
    assert engine.trained == []
    assert run(engine, tmp_path, references=2).reused == 2  # to read what is there, nothing need be written


def test_references_keep_their_own_lists_of_members(tmp_path):
    own = np.arange(RECORDS) % 3 == 0

    class Knowing(Engine):
        def train(self, task, wanted):
            for k, answers in super().train(task, wanted):
                yield k, replace(answers, member=own) if k == 1 else answers

    for gathered in (run(Knowing()), run(Knowing(), tmp_path), run(Engine(), tmp_path)):
        assert (gathered.member[1] == own).all()
        assert (gathered.member[[0, 2, 3]] == task().inclusion[[0, 2, 3]]).all()
    assert not (task().inclusion[1] == own).all()


def test_progress_counts_up_to_all():
    seen = []
    run(Engine(failing={0}), progress=lambda done, of: seen.append((done, of)))
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
