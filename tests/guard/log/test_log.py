"""The log: nothing acknowledged is lost or out of order, whatever kills the writer; any changed byte is found."""

import asyncio
import errno
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.errors import FolderError
from unseen.guard.log.chain import public_of
from unseen.guard.log.entries import Asked, Done, Head, Start
from unseen.guard.log.reading import entries, segments
from unseen.guard.log.tips import tips_path
from unseen.guard.log.verifying import verify, verify_chain
from unseen.guard.log.writer import Writer
from unseen.guard.policy import Log

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
KILLS = int(os.environ.get("UNSEEN_KILLS", "6"))  # in full: 1000


def writer(folder, **settings_):
    return Writer(folder, KEY, Log(**{"sign_every": 10, **settings_}), policy="p" * 16, version="0")


def written(folder, count=25, **settings_):
    log = writer(folder, **settings_)
    for number in range(count):
        log.append(Done, what="note", detail=f"entry {number}", count=number)
    log.close()
    return folder


def killed(log):
    """Let go of a writer as `kill -9` does: nothing is signed, nothing is kept."""
    log._thread.shutdown()
    if log._file >= 0:
        os.close(log._file)
    log._file = -1


def verdict(folder, keys=None):
    return verify_chain(folder, [public_of(KEY)] if keys is None else keys)


def test_what_is_written_is_read_and_verified(tmp_path):
    folder = written(tmp_path / "worker-0")
    found = verdict(folder)
    assert found.bad == ""
    assert found.unsigned == 0
    assert found.signed == 3
    told = list(entries(tmp_path))
    assert [entry.n for entry in told] == list(range(1, len(told) + 1)) == list(range(1, found.records + 1))
    assert [entry.count for entry in told if isinstance(entry, Done)] == list(range(25))


def test_a_restart_goes_on_with_the_chain_in_a_new_segment(tmp_path):
    for _ in range(3):
        written(tmp_path / "worker-0", 5)
    found = verdict(tmp_path / "worker-0")
    assert found.bad == ""
    assert len(segments(tmp_path / "worker-0")) == 3
    assert len({entry.chain for entry in entries(tmp_path) if isinstance(entry, Start)}) == 1


def test_segments_end_when_they_are_full(tmp_path):
    written(tmp_path / "worker-0", 300, segment_bytes=10_000)
    assert len(segments(tmp_path / "worker-0")) > 2
    assert verdict(tmp_path / "worker-0").bad == ""


def test_any_changed_byte_is_found_and_named(tmp_path):
    """Every byte of a log of two segments, changed: none passes, and the record named is the first bad one."""
    folder = tmp_path / "worker-0"
    written(folder, 4)
    written(folder, 4)
    chance = random.Random(0)
    for path in segments(folder):
        content = path.read_bytes()
        before = 0 if path.name.startswith("000001") else verdict_of_first(folder)
        for place in range(len(content)):
            changed = bytearray(content)
            changed[place] = (changed[place] + chance.randrange(1, 256)) % 256
            path.write_bytes(changed)
            found = verdict(folder)
            assert found.bad, f"byte {place} of {path.name}"
            line = content[:place].count(b"\n") + 1 + before
            named = int(found.bad.split()[1])
            assert named in {line, line + 1}, f"byte {place} of {path.name}: {found.bad}"
        path.write_bytes(content)
    assert verdict(folder).bad == ""


def verdict_of_first(folder):
    return segments(folder)[0].read_bytes().count(b"\n")


@pytest.mark.parametrize("hurt", ["line", "swap", "segment", "last segment", "stranger", "forged"])
def test_what_is_taken_out_put_in_or_moved_is_found(tmp_path, hurt):
    folder = tmp_path / "worker-0"
    for _ in range(3):
        written(folder, 6)
    first, second, third = segments(folder)
    lines = second.read_bytes().splitlines(keepends=True)
    if hurt == "line":
        second.write_bytes(b"".join(lines[:3] + lines[4:]))
    elif hurt == "swap":
        lines[2], lines[3] = lines[3], lines[2]
        second.write_bytes(b"".join(lines))
    elif hurt == "segment":
        second.unlink()
    elif hurt == "last segment":
        third.write_bytes(b"")
    elif hurt == "stranger":
        second.write_bytes(b"".join([*lines[:4], lines[3].replace(b"entry", b"ENTRY"), *lines[4:]]))
    else:
        rewritten = Writer(tmp_path / "forged", OTHER, Log(sign_every=10), policy="p" * 16, version="0")
        rewritten.append(Done, what="note", detail="nothing happened")
        rewritten.close()
        for path in (first, second, third):
            path.unlink()
        (tmp_path / "forged" / "000001.jsonl").rename(first)
    assert verdict(folder).bad


def test_records_after_the_last_signature_are_counted(tmp_path):
    log = writer(tmp_path / "worker-0", sign_every=1000)
    for _ in range(7):
        log.append(Done, what="note")
    found = verdict(tmp_path / "worker-0")
    assert (found.bad, found.signed, found.unsigned) == ("", 0, 8)
    log.close()
    assert verdict(tmp_path / "worker-0").unsigned == 0


def test_a_torn_tail_is_left_counted_and_survived(tmp_path):
    folder = tmp_path / "worker-0"
    written(folder, 5)
    path = segments(folder)[-1]
    path.write_bytes(path.read_bytes() + b'{"kind":"done","n":99,"t":1')
    assert verdict(folder).bad  # it follows an orderly end
    tips_path(folder).unlink()  # a killed writer would not have kept the tip of its end
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:4]) + b'{"kind":"done"')
    found = verdict(folder)
    assert (found.bad, found.torn_bytes, found.records) == ("", 14, 4)
    written(folder, 2)
    found = verdict(folder)
    assert (found.bad, found.torn_bytes) == ("", 14)
    assert [entry.count for entry in entries(tmp_path) if isinstance(entry, Done) and entry.what == "torn"] == [14]
    path.write_bytes(path.read_bytes() + b"x")
    assert "torn bytes" in verdict(folder).bad


WRITE = """
import sys
from pathlib import Path
from tests.guard.log.test_log import writer
from unseen.guard.log.entries import Done
log = writer(Path(sys.argv[1]), segment_bytes=20_000)
number = int(sys.argv[2])
while True:
    log.append(Done, what="note", count=number)
    sys.stdout.write(f"{number}\\n")  # acknowledged
    sys.stdout.flush()
    number += 1
"""


def test_no_acknowledged_record_is_lost_over_kills(tmp_path):
    """A writer is killed without warning again and again; what it acknowledged is there, in order, and verified."""
    chance = random.Random(1)
    folder, acknowledged = tmp_path / "worker-0", -1
    for _ in range(KILLS):
        command = [sys.executable, "-c", WRITE, str(folder), str(acknowledged + 1)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]) as process:
            for _ in range(chance.randrange(1, 400)):
                acknowledged = int(process.stdout.readline())
            process.kill()
            rest = process.stdout.read().splitlines()
            acknowledged = int(rest[-1]) if rest and rest[-1].isdigit() else acknowledged
        told = [entry.count for entry in entries(tmp_path) if isinstance(entry, Done) and entry.what == "note"]
        assert told[: acknowledged + 1] == list(range(acknowledged + 1))
        assert len(told) <= acknowledged + 3  # at most what was written and not yet said
        acknowledged = told[-1]
        assert [one.bad for one in verify(tmp_path, [public_of(KEY)])] == [""]


def test_a_full_disk_refuses_and_the_log_goes_on_when_there_is_room(tmp_path, monkeypatch):
    folder = tmp_path / "worker-0"
    log = writer(folder)
    log.append(Done, what="note", count=1)
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, line: write(file, line[:20]))
    with pytest.raises(FolderError, match="audit log could not be written"):
        log.append(Done, what="note", count=2)
    with pytest.raises(FolderError):
        log.append(Done, what="note", count=3)
    monkeypatch.undo()
    log.append(Done, what="note", count=4)
    log.close()
    assert verdict(folder).bad == ""
    told = [entry.count for entry in entries(tmp_path) if isinstance(entry, Done) and entry.what == "note"]
    assert told == [1, 4]


@pytest.mark.parametrize("ends", [False, True], ids=["at a roll", "at the end"])
def test_a_disk_that_does_not_keep_a_segment_leaves_a_log_that_verifies(tmp_path, monkeypatch, ends):
    """The segment has its orderly end by then: nothing follows in it."""

    def failing(_):
        raise OSError(errno.EIO, "an error of input or output")

    folder = tmp_path / "worker-0"
    log = writer(folder, segment_bytes=10_000_000 if ends else 2_000)
    monkeypatch.setattr(os, "fdatasync", failing)
    refused = 0
    for number in range(30):
        try:
            log.append(Done, what="note", count=number)
        except FolderError:
            refused += 1
            monkeypatch.undo()
    log.close()
    assert refused == (not ends)
    monkeypatch.undo()
    writer(folder).close()
    assert verdict(folder).bad == ""
    assert sum(isinstance(entry, Done) and entry.what == "note" for entry in entries(tmp_path)) == 30 - refused


def test_a_file_beside_the_segments_that_is_none_is_left_alone(tmp_path):
    folder = written(tmp_path / "worker-0")
    (folder / "000001.old.jsonl").write_bytes((folder / "000001.jsonl").read_bytes())
    writer(folder).close()
    assert verdict(folder).bad == ""


def test_a_log_whose_last_segment_lost_its_start_is_not_gone_on_with(tmp_path):
    folder = written(tmp_path / "worker-0", 3)
    segments(folder)[-1].write_bytes(b"")
    with pytest.raises(FolderError, match="damaged"):
        writer(folder)


def test_many_wait_for_one_write_of_the_disk(tmp_path, monkeypatch):
    calls = []
    sync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda file: calls.append(file) or sync(file))

    async def run():
        log = writer(tmp_path / "worker-0")

        async def one(number):
            log.append(Done, what="note", count=number)
            await log.kept()

        await asyncio.gather(*(one(number) for number in range(100)))
        log.close()

    asyncio.run(run())
    assert 1 <= len(calls) <= 5


def test_two_chains_are_judged_apart(tmp_path):
    written(tmp_path / "worker-0")
    written(tmp_path / "worker-1")
    path = segments(tmp_path / "worker-1")[0]
    path.write_bytes(path.read_bytes().replace(b"entry 3", b"entry 4"))
    first, second = verify(tmp_path, [public_of(KEY)])
    assert first.bad == ""
    assert "record 5" in second.bad


def test_only_its_owner_can_read_the_log(tmp_path):
    folder = written(tmp_path / "worker-0")
    assert folder.stat().st_mode & 0o077 == 0
    assert segments(folder)[0].stat().st_mode & 0o077 == 0


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_whatever_stands_in_a_segment_is_read_or_named(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("chain") / "worker-0"
    folder.mkdir()
    (folder / "000001.jsonl").write_bytes(content)
    found = verdict(folder)
    assert found.bad or found.torn_bytes == len(content)
    assert not list(entries(folder.parent))


def test_entries_hold_no_place_for_inputs_or_answers():
    names = {name for noun in (Asked, Done, Head, Start) for name in noun.__struct_fields__}
    assert not names & {"body", "inputs", "answer", "answers", "query", "prompt", "headers", "token"}
