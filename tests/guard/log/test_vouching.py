"""What is gone from the end of a chain, or with a whole chain, is missed; a log that nobody touched never is.

Each test cuts at every record, deletes every segment and every chain, or dies at every write, one after another.
"""

import importlib
import os
import random
import shutil

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.guard.crash_points import dying_at
from tests.guard.log.test_log import KEY, OTHER, killed, writer, written
from tests.guard.test_commands import run

from unseen.guard.log import writer as writing
from unseen.guard.log.chain import linked, public_of
from unseen.guard.log.entries import Done, Head, Start
from unseen.guard.log.reading import chains, entries_of, entry_of, hash_at, newest_start, segments
from unseen.guard.log.tips import opened_tips, tips_folder, tips_path
from unseen.guard.log.verifying import verify
from unseen.guard.log.writer import Writer
from unseen.guard.policy import Log

KEYS = [public_of(KEY)]


@pytest.fixture
def log(tmp_path):
    return tmp_path / "state" / "log"


def bad(log, keys=None):
    """Return what is wrong, by chain; an unharmed chain is not named."""
    return {one.chain: one.bad for one in verify(log, KEYS if keys is None else keys) if one.bad}


def three_chains(log):
    """Two workers and a command line, each with a few segments, all ended in order but for nothing."""
    first, second = writer(log / "worker-0"), writer(log / "worker-1")
    for number in range(13):
        first.append(Done, what="note", count=number)
        second.append(Done, what="note", count=number)
    written(log / "worker-1000", 1)
    first.roll()
    written(log / "worker-1000", 1)
    first.append(Done, what="note")
    second.append(Done, what="note")
    first.close()
    second.close()
    written(log / "worker-0", 2)


def cuts(chain):
    """Yield the number of records that are left of a chain, and its files then, for every place to cut it at."""
    number, before = 0, {}
    for path in segments(chain):
        lines = path.read_bytes().splitlines(keepends=True)
        for place in range(len(lines)):
            yield number + place, before | ({path: b"".join(lines[:place])} if place else {})
        number += len(lines)
        before = before | {path: path.read_bytes()}


def leave(chain, files):
    shutil.rmtree(chain)
    if files:
        chain.mkdir()
    for path, content in files.items():
        path.write_bytes(content)


@pytest.fixture
def restored(log, tmp_path):
    """Return what brings the state back as it was first asked for."""
    copy = tmp_path / "copy"

    def restore():
        if copy.exists():
            shutil.rmtree(log.parent)
            shutil.copytree(copy, log.parent)
        else:
            shutil.copytree(log.parent, copy)

    return restore


@pytest.mark.parametrize("make", [lambda log: written(log / "worker-0", 25), three_chains], ids=["one", "three"])
def test_after_an_orderly_end_every_cut_is_found_and_named(log, make, restored):
    make(log)
    restored()
    assert bad(log) == {}
    tried = 0
    for chain in chains(log):
        for left, files in list(cuts(chain)):
            leave(chain, files)
            found = bad(log)
            assert found[chain.name].startswith(f"record {left + 1}: "), (left, found)
            assert set(found) == {chain.name}
            assert "missing" in found[chain.name]
            tried += 1
            restored()
    assert tried >= 25


def test_a_whole_log_that_is_gone_is_missed(log):
    three_chains(log)
    shutil.rmtree(log)
    assert set(bad(log)) == {"worker-0", "worker-1", "worker-1000"}


@pytest.mark.parametrize("chain", ["worker-0", "worker-1", "worker-1000"])
def test_without_its_own_tip_others_vouch_for_what_they_saw(log, chain, restored):
    """Cut anywhere: found below the highest tip of it that stands in any other chain, and only there."""
    three_chains(log)
    seen = max(
        tip.n
        for other in chains(log)
        for entry in entries_of(other)
        for tip in getattr(entry, "others", ())
        if tip.folder == chain and other.name != chain
    )
    assert seen > 3
    tips_path(log / chain).unlink()
    restored()
    shutil.copytree(log.parent, log.parent.with_name("copy"), dirs_exist_ok=True)
    assert bad(log) == {}
    for left, files in list(cuts(log / chain)):
        leave(log / chain, files)
        found = bad(log)
        assert (chain in found) == (left < seen), (left, seen, found)
        assert set(found) <= {chain}
        if found:
            assert found[chain].startswith(f"record {left + 1}: ")
        restored()


def test_a_chain_that_went_on_after_a_cut_stays_found(log, restored):
    """Cut anywhere, and then written by a guard until it is longer than it was: with its tip there and without."""
    three_chains(log)
    restored()
    for left, files in list(cuts(log / "worker-1")):
        for own in (True, False):
            leave(log / "worker-1", files)
            if not own:
                tips_path(log / "worker-1").unlink()
            if not files:
                (log / "worker-1").mkdir()
            written(log / "worker-1", 30)
            before = bad(log)
            assert "worker-1" in before or (not own and left >= 16), (left, own)
            if own and files:
                assert before["worker-1"].startswith(f"record {left + 1} (")
                assert "others stood in its place, up to record" in before["worker-1"]
            written(log / "worker-0", 3)
            written(log / "worker-1", 3)
            assert set(bad(log)) >= set(before)
            restored()


def test_records_put_in_the_place_of_cut_ones_are_found_though_nothing_is_missing(log):
    """Hashes can be made by anybody: the number is reached, and another record stands there."""
    written(log / "worker-0", 12)
    path = segments(log / "worker-0")[0]
    lines = path.read_bytes().splitlines(keepends=True)
    value, left = bytes.fromhex(lines[4][-67:-3].decode()), lines[:5]
    for n in range(6, len(lines) + 3):
        value, line = linked(value, Done(n=n, t=1.0, what="forged"))
        left.append(line)
    path.write_bytes(b"".join(left))
    said = "is not the one that log-heads/worker-0.json vouches for"
    assert said in bad(log)["worker-0"]
    written(log / "worker-0", 50)
    assert "is not the one that" in bad(log)["worker-0"]
    tips_path(log / "worker-0").unlink()
    assert "is not the one that" in bad(log)["worker-0"]


def test_a_chain_begun_anew_in_the_place_of_another_does_not_hide_it(log):
    written(log / "worker-0", 5)
    shutil.rmtree(log / "worker-0")
    written(log / "worker-0", 50)
    first, second = verify(log, KEYS)
    assert (first.bad, second.records) == ("", 0)
    assert second.bad.startswith("record 1: all of chain")
    tips_path(log / "worker-0").unlink()  # what the new one's start copied is left
    assert "is missing: record 1 of worker-0 vouches for it up to record 7" in bad(log)["worker-0"]


def test_a_chain_under_another_name_is_not_missed(log):
    written(log / "worker-0", 5)
    written(log / "worker-1", 5)
    (log / "worker-0").rename(log / "worker-0-moved")
    written(log / "worker-0", 5)
    assert bad(log) == {}


def test_a_chain_that_stands_in_two_folders_is_named_in_both(log):
    written(log / "worker-0", 5)
    written(log / "worker-1", 5)
    shutil.copytree(log / "worker-0", log / "worker-7")
    said = "record 1: the same chain stands in {}: one of them is a copy, and all in it would count twice"
    assert bad(log) == {"worker-0": said.format("worker-7"), "worker-7": said.format("worker-0")}
    written(log / "worker-7", 5)  # a copy that is gone on with
    assert set(bad(log)) == {"worker-0", "worker-7"}
    shutil.rmtree(log / "worker-7")
    tips_path(log / "worker-7").unlink()
    assert bad(log) == {}


def test_segments_that_were_moved_away_are_named_as_before(log):
    for _ in range(3):
        written(log / "worker-0", 5)
    written(log / "worker-1", 5)
    path = segments(log / "worker-0")[0]
    moved = path.rename(log.parent / path.name)
    written(log / "worker-0", 5)
    written(log / "worker-1", 5)
    assert bad(log) == {"worker-0": "segment 1 is missing: 000002.jsonl stands in its place"}
    moved.rename(path)
    assert bad(log) == {}


def test_after_a_kill_all_up_to_the_last_tip_is_found_and_nothing_later(log, restored, monkeypatch):
    monkeypatch.setattr(writing, "TIP_S", 0.0)
    log_ = writer(log / "worker-0")
    for number in range(27):
        log_.append(Done, what="note", count=number)
    killed(log_)
    restored()
    (tip,) = opened_tips(tips_path(log / "worker-0").read_bytes(), KEYS)
    assert tip.n == 22  # the second signature
    for left, files in list(cuts(log / "worker-0")):
        leave(log / "worker-0", files)
        assert bool(bad(log)) == (left < tip.n)
        restored()


def test_a_tip_says_only_what_the_disk_has(log, monkeypatch):
    """Whatever a power cut takes, of files that nobody asked the disk to keep, no tip speaks of it."""
    sizes, said = {}, []
    sync, write = os.fsync, importlib.import_module("unseen.guard.log.tips").write_whole

    def kept(file):
        sync(file)
        sizes[os.fstat(file).st_ino] = os.fstat(file).st_size

    def told(path, content):
        for tip in opened_tips(content, KEYS):
            on_disk = {entry.n for segment in segments(log / tip.folder) for entry in whole(segment)}
            said.append(tip)
            assert on_disk >= set(range(1, tip.n + 1)), tip
        write(path, content)

    def whole(segment):
        content = segment.read_bytes()[: sizes.get(segment.stat().st_ino, 0)]
        return [entry for line in content.splitlines(keepends=True) if (entry := entry_of(line))]

    monkeypatch.setattr(os, "fsync", kept)
    monkeypatch.setattr("unseen.guard.log.tips.write_whole", told)
    monkeypatch.setattr(writing, "TIP_S", 0.0)
    for stop in (killed, Writer.close, killed, killed):
        log_ = writer(log / "worker-0")
        for _ in range(25):
            log_.append(Done, what="note")
        log_.roll()
        log_._thread.submit(int).result()  # its tip is kept before the next record
        log_.append(Done, what="note")
        stop(log_)
    assert len(said) >= 12
    assert bad(log) == {}


POINTS = [
    ("unseen.guard.log.writer", "Writer", "_write"),
    ("unseen.guard.log.writer", "Writer", "sign"),
    ("unseen.guard.log.tips", None, "write_whole"),
    ("unseen.guard.log.tips", None, "on_disk"),
    ("os", None, "link"),
    ("os", None, "fdatasync"),
    ("os", None, "replace"),
]


def story(log):
    """Two workers and a command line begin, write, roll, end and begin again."""
    writing.TIP_S = 0.0
    first = writer(log / "worker-0", sign_every=3)
    first.append(Done, what="note")
    second = writer(log / "worker-1", sign_every=3)
    for _ in range(4):
        second.append(Done, what="note")
    first.roll()
    written(log / "worker-1000", 1)
    first.append(Done, what="note")
    first.close()
    first = writer(log / "worker-0", sign_every=3)
    second.close()
    first.append(Done, what="note")
    first.close()


def die_at(point, log):
    """In a child: end without warning at one write."""
    dying_at(point, POINTS)
    code = 1
    try:
        story(log)
        code = 0
    finally:
        os._exit(code)


@pytest.mark.slow
def test_a_log_is_never_called_cut_wherever_its_guard_dies(tmp_path):
    point = 0
    while True:
        log = tmp_path / str(point) / "log"
        pid = os.fork()
        if pid == 0:
            die_at(point, log)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert code in {0, 9}
        assert bad(log) == {}, point
        for name in ("worker-1", "worker-0", "worker-1000"):  # and all go on
            written(log / name, 1)
        assert bad(log) == {}, point
        assert not list(tips_folder(log).glob(".part-*"))
        if code == 0:
            break
        point += 1
    assert point >= 100


STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["write", "sign", "roll", "close", "kill", "kill", "open"])),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(0, 2**32))
def test_whatever_happens_to_writers_the_log_is_whole_and_a_cut_below_a_tip_is_not(tmp_path_factory, steps, seed):
    log = tmp_path_factory.mktemp("state") / "log"
    open_ = {}
    for place, step in steps:
        one = open_.pop(place, None) or writer(log / f"worker-{place}")
        if step == "write":
            one.append(Done, what="note")
        elif step in {"sign", "roll"}:
            getattr(one, step)()
        if step in {"close", "kill"}:
            one.close() if step == "close" else killed(one)
        else:
            open_[place] = one
    assert bad(log) == {}  # while they run, too
    for one in open_.values():
        killed(one)
    assert bad(log) == {}
    chance = random.Random(seed)
    for chain in chains(log)[:1]:
        (tip, *_) = opened_tips(tips_path(chain).read_bytes(), KEYS)
        left, files = chance.choice(list(cuts(chain)))
        leave(chain, files)
        assert (chain.name in bad(log)) >= (left < tip.n)


def test_an_old_log_without_tips_is_whole_and_is_gone_on_with(log, monkeypatch):
    """Lines as an older version wrote them, and no tips beside them."""

    def older(value, record):
        fields = msgspec.to_builtins(record)
        fields.pop("others", None)
        return linked(value, fields)

    with monkeypatch.context() as patched:
        patched.setattr(writing, "linked", older)
        for _ in range(2):
            written(log / "worker-0", 5)
            written(log / "worker-1", 5)
        shutil.rmtree(tips_folder(log))
    assert b"others" not in b"".join(path.read_bytes() for path in log.glob("*/*.jsonl"))
    assert bad(log) == {}
    written(log / "worker-0", 5)
    assert bad(log) == {}
    segments(log / "worker-0")[-1].unlink()
    assert "record 15: it is missing" in bad(log)["worker-0"]


def test_a_file_of_tips_that_was_changed_is_named_and_stops_no_writer(log):
    written(log / "worker-0", 5)
    path = tips_path(log / "worker-0")
    whole = path.read_bytes()
    for content in (b"", b"{}", whole.replace(b'"n":7', b'"n":1'), whole[:-2]):
        path.write_bytes(content)
        assert "log-heads/worker-0.json: it was changed" in bad(log)["worker-0"]
    assert list(bad(log, [])) == ["worker-0"]
    written(log / "worker-0", 1)
    assert bad(log) == {}


def test_a_rotated_key_is_no_cut(log):
    written(log / "worker-0", 5)
    written(log / "worker-1", 5)
    rotated = Writer(log / "worker-0", OTHER, Log(), policy="p" * 16, version="0")
    rotated.close()
    assert bad(log, [*KEYS, public_of(OTHER)]) == {}
    assert newest_start(log).public_key == public_of(OTHER).hex()


def test_what_a_running_guard_writes_while_it_is_verified_is_no_damage(log, monkeypatch):
    """Chain 0 is read, then goes on and is vouched for by chain 1, which is read then."""
    from unseen.guard.log import verifying

    written(log / "worker-0", 1)
    written(log / "worker-1", 1)
    read, did = verifying._read, []

    def reading(folder, keys):
        found = read(folder, keys)
        if not did:
            did.append(folder.name)
            written(log / "worker-0", 3)
            written(log / "worker-1", 3)
            written(log / "worker-2", 3)
            written(log / "worker-1", 3)
        return found

    monkeypatch.setattr(verifying, "_read", reading)
    assert bad(log) == {}
    assert did == ["worker-0"]


def test_a_hash_is_found_by_its_number(log):
    for _ in range(3):
        written(log / "worker-0", 4)
    known = [
        line[-67:-3].decode()
        for path in segments(log / "worker-0")
        for line in path.read_bytes().splitlines(keepends=True)
    ]
    assert [hash_at(log / "worker-0", number + 1) for number in range(len(known))] == known
    assert hash_at(log / "worker-0", len(known) + 1) == hash_at(log / "nowhere", 1) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make files for another user")
def test_what_root_keeps_belongs_to_whose_the_state_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run(capsys, "init")
    state = tmp_path / "guard-state"
    state.mkdir()
    os.chown(state, 65534, 65534)
    assert run(capsys, "keys", "add", "policy.toml", "--tenant", "acme")[0] == 0
    made = [tips_folder(state / "log"), *tips_folder(state / "log").iterdir(), *(state / "log").rglob("*")]
    assert len(made) >= 5
    assert {path.stat().st_uid for path in made} == {65534}


def test_starts_and_last_heads_name_the_others(log):
    written(log / "worker-0", 1)
    written(log / "worker-1", 1)
    told = {type(entry): entry.others for entry in entries_of(log / "worker-1") if isinstance(entry, Start | Head)}
    assert (
        [(tip.folder, tip.n) for tip in told[Start]] == [(tip.folder, tip.n) for tip in told[Head]] == [("worker-0", 3)]
    )
