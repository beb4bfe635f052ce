"""A file that this user may not use is not damaged: whose it is, and as whom to run, is said in one sentence."""

import errno
import os
import pwd
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from tests.guard.test_commands import run

import unseen
from unseen.errors import FolderError
from unseen.guard.keys import KeyRing
from unseen.guard.log.reading import chains
from unseen.guard.stores.sqlite import SqliteStore
from unseen.guard.unusable import unusable

OWNER = pwd.getpwuid(os.geteuid()).pw_name
DENIED = PermissionError(errno.EACCES, "Permission denied")
SENTENCE = "{path} is not readable or not writable for user 4242; {whose} belongs to {owner}: run this as {owner}"


def denying(method):
    def denied(self, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    return lambda monkeypatch: monkeypatch.setattr(Path, method, denied)


@pytest.fixture
def nobody(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 4242)


def test_it_says_whose_the_file_is(tmp_path, nobody):
    path = tmp_path / "keys.json"
    said = str(unusable(path, DENIED))
    assert SENTENCE.format(path=path, whose=tmp_path, owner=OWNER) in said
    path.write_text("[]")
    assert SENTENCE.format(path=path, whose="it", owner=OWNER) in str(unusable(path, DENIED))


def test_it_says_what_to_do_where_it_is_your_own(tmp_path):
    assert f"(chmod u+rwX {tmp_path})" in str(unusable(tmp_path, DENIED))
    assert "read-only" in str(unusable(tmp_path, OSError(errno.EROFS, "x")))
    assert "Input/output error" in str(unusable(tmp_path, OSError(errno.EIO, os.strerror(errno.EIO))))


def test_keys_that_may_not_be_read_are_not_damaged(tmp_path, nobody, monkeypatch):
    (tmp_path / "keys.json").write_text("[]")
    denying("read_bytes")(monkeypatch)
    with pytest.raises(FolderError, match="run this as") as raised:
        KeyRing(tmp_path, b"")
    assert "restore" not in str(raised.value)


def test_a_log_that_may_not_be_read_is_not_an_empty_one(tmp_path, nobody, monkeypatch):
    (tmp_path / "log").mkdir()
    denying("iterdir")(monkeypatch)
    with pytest.raises(FolderError, match="run this as"):
        chains(tmp_path / "log")


def test_budgets_that_may_not_be_written_are_not_restored_for_that(tmp_path, nobody, monkeypatch):
    path = tmp_path / "budgets.sqlite"
    SqliteStore(path).close()
    denying("chmod")(monkeypatch)
    with pytest.raises(FolderError, match="run this as") as raised:
        SqliteStore(path)
    assert "restore" not in str(raised.value)
    monkeypatch.undo()
    path.write_bytes(b"no database at all, but some text" * 100)
    with pytest.raises(FolderError, match="restore the file, which renews what was spent"):
        SqliteStore(path)


@pytest.mark.parametrize(
    ("code", "said"),
    [(sqlite3.SQLITE_READONLY, "belongs to"), (sqlite3.SQLITE_BUSY, "need not be restored for that")],
)
def test_a_database_that_cannot_be_opened_says_whether_it_is_damaged(tmp_path, monkeypatch, code, said):
    def refuse(*_, **__):
        error = sqlite3.OperationalError("attempt to do something")
        error.sqlite_errorcode = code
        raise error

    monkeypatch.setattr(sqlite3, "connect", refuse)
    with pytest.raises(FolderError, match=said):
        SqliteStore(tmp_path / "budgets.sqlite")


def test_a_state_that_cannot_be_made_is_one_sentence(tmp_path, capsys, monkeypatch, nobody):
    monkeypatch.chdir(tmp_path)
    run(capsys, "init")
    denying("mkdir")(monkeypatch)
    code, out, err = run(capsys, "keys", "add", "policy.toml", "--tenant", "a")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"guard-state is not readable or not writable for user 4242; {tmp_path} belongs to {OWNER}" in err


def test_a_lock_that_cannot_be_opened_is_named_with_its_owner(tmp_path, nobody, monkeypatch):
    lock, opened = tmp_path / "keys.json.lock", Path.open
    KeyRing(tmp_path, b"").add(tenant="a", tier="b")

    def denied(self, *given, **named):
        if self == lock:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return opened(self, *given, **named)

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(FolderError) as raised:
        KeyRing(tmp_path, b"").add(tenant="a", tier="b")
    assert SENTENCE.format(path=lock, whose="it", owner=OWNER) in str(raised.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, whose files others cannot use")
def test_what_root_makes_in_a_state_belongs_to_whom_the_state_belongs_to(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(capsys, "init")
    state = tmp_path / "guard-state"
    state.mkdir()
    shutil.chown(state, 4242, 4242)
    run(capsys, "keys", "add", "policy.toml", "--tenant", "a")
    (state / "actions.json").write_text('{"x": {"sightings": 1}}')
    assert run(capsys, "release", "policy.toml", "x")[0] == 0
    assert run(capsys, "status", "policy.toml")[0] == 0
    made = {path.name: path.stat().st_uid for path in state.rglob("*")}
    assert {"keys.json", "keys.json.lock", "actions.json", "actions.json.lock"} <= set(made)
    assert set(made.values()) == {4242}


def test_status_makes_no_store(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(capsys, "init")
    run(capsys, "keys", "add", "policy.toml", "--tenant", "a")
    code, out, _ = run(capsys, "status", "policy.toml")
    assert (code, "budgets used today and in all:\n  none\n" in out) == (0, True)
    assert not list((tmp_path / "guard-state").glob("budgets*"))


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root, to be somebody else")
@pytest.mark.parametrize(
    "arguments",
    [
        ["keys", "add", "policy.toml", "--tenant", "b"],
        ["keys", "list", "policy.toml"],
        ["log", "verify", "policy.toml"],
    ],
)
def test_somebody_else_is_told_so(tmp_path, capsys, monkeypatch, arguments):
    home = Path(unseen.__file__).parents[1]
    command = ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-c"]
    if subprocess.run([*command, "import msgspec"], capture_output=True, check=False, cwd="/").returncode:
        pytest.skip("nobody cannot run this Python")
    monkeypatch.chdir(tmp_path)
    run(capsys, "init")
    run(capsys, "keys", "add", "policy.toml", "--tenant", "acme")
    for folder in (tmp_path, tmp_path / "policy.toml", *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    program = f"import sys; sys.path.insert(0, {str(home)!r}); from unseen.guard.commands import main; sys.exit(main())"
    done = subprocess.run([*command, program, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "belongs to root: run this as root" in done.stderr
