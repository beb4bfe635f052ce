"""Another secret than the one that keys and log were made with: nothing is written with it, and the reason is said."""

from types import SimpleNamespace

import pytest
from tests.guard.guards import SECRET
from tests.guard.test_commands import run

from unseen.errors import PolicyError
from unseen.guard import wrap
from unseen.guard.same_secret import FILE, require_same
from unseen.guard.serving import serve

OTHER = SECRET[::-1]
SAID = "guard.secret is another secret than the one that the 1 key and the log in guard-state were made with"


@pytest.fixture
def state(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run(capsys, "init")
    run(capsys, "keys", "add", "policy.toml", "--tenant", "acme")
    return tmp_path / "guard-state"


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_kept_tells_nothing_of_the_secret_and_its_owner_alone_reads_it(tmp_path):
    require_same(tmp_path / "state", SECRET.encode())
    kept = tmp_path / "state" / FILE
    assert kept.stat().st_mode & 0o077 == 0
    assert SECRET not in kept.read_text()
    require_same(tmp_path / "state", SECRET.encode())
    with pytest.raises(PolicyError, match="the 0 keys"):
        require_same(tmp_path / "state", OTHER.encode())


@pytest.mark.parametrize(
    "arguments",
    [
        ["serve", "policy.toml"],
        ["keys", "add", "policy.toml", "--tenant", "b"],
        ["keys", "rotate", "policy.toml", "ID"],
        ["keys", "revoke", "policy.toml", "ID"],
        ["release", "policy.toml", "c"],
    ],
)
def test_nothing_is_written_with_another_secret(state, capsys, monkeypatch, arguments):
    name = run(capsys, "keys", "list", "policy.toml")[1].split()[0]
    before = contents(state)
    monkeypatch.setenv("UNSEEN_GUARD_SECRET", OTHER)
    code, out, err = run(capsys, *[name if word == "ID" else word for word in arguments])
    assert (code, out) == (2, "")
    assert SAID in err
    assert err.count("\n") == 1
    assert contents(state) == before
    code, out, _ = run(capsys, "check", "policy.toml")
    assert code == 0
    assert f"note: guard.secret: no guard starts on this machine: {SAID}" in out


def test_who_empties_the_named_file_starts_anew(state, capsys, monkeypatch):
    monkeypatch.setenv("UNSEEN_GUARD_SECRET", OTHER)
    err = run(capsys, "keys", "add", "policy.toml", "--tenant", "b")[2]
    assert f"make guard-state/{FILE} an empty file and make all keys again" in err
    (state / FILE).write_bytes(b"")
    assert run(capsys, "keys", "add", "policy.toml", "--tenant", "b")[0] == 0
    assert (state / FILE).read_bytes()
    monkeypatch.setenv("UNSEEN_GUARD_SECRET", SECRET)
    assert run(capsys, "keys", "add", "policy.toml", "--tenant", "b")[0] == 2


def test_an_old_folder_gets_a_check_value(state, capsys):
    (state / FILE).unlink()
    assert run(capsys, "keys", "add", "policy.toml", "--tenant", "b")[0] == 0
    assert (state / FILE).exists()


@pytest.mark.parametrize("arguments", [["serve", "policy.toml"], ["keys", "add", "policy.toml", "--tenant", "b"]])
def test_an_old_folder_takes_no_secret_but_the_one_that_signed_its_log(state, capsys, monkeypatch, arguments):
    (state / FILE).unlink()
    before = contents(state)
    monkeypatch.setenv("UNSEEN_GUARD_SECRET", OTHER)
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert SAID in err
    assert contents(state) == before
    assert SAID in run(capsys, "check", "policy.toml")[1]
    monkeypatch.setenv("UNSEEN_GUARD_SECRET", SECRET)
    assert run(capsys, "keys", "add", "policy.toml", "--tenant", "b")[0] == 0


def test_of_an_old_folder_whose_secret_was_rotated_the_newest_start_counts(state, capsys, monkeypatch):
    monkeypatch.setenv("UNSEEN_GUARD_SECRET", OTHER)
    (state / FILE).write_bytes(b"")
    run(capsys, "keys", "add", "policy.toml", "--tenant", "b")
    (state / FILE).unlink()
    monkeypatch.setenv("UNSEEN_GUARD_SECRET", SECRET)
    assert "another secret" in run(capsys, "keys", "add", "policy.toml", "--tenant", "c")[2]
    monkeypatch.setenv("UNSEEN_GUARD_SECRET", OTHER)
    assert run(capsys, "keys", "add", "policy.toml", "--tenant", "c")[0] == 0


def test_a_log_that_cannot_be_read_says_nothing_of_the_secret(state):
    (state / FILE).unlink()
    for path in (state / "log").glob("worker-*/*.jsonl"):
        path.write_bytes(b"damaged")
    require_same(state, OTHER.encode())


def test_a_log_of_another_secret_is_told_from_a_broken_one(state, capsys, monkeypatch):
    old = run(capsys, "log", "verify", "policy.toml")[1]
    assert "worker-1000: as it was written; 3 records, 1 signature by this guard's key, 0 records after" in old
    monkeypatch.setenv("UNSEEN_GUARD_SECRET", OTHER)
    code, out, _ = run(capsys, "log", "verify", "policy.toml")
    assert code == 1
    assert "BROKEN" not in out
    assert "worker-1000: NOT PROVEN: it was signed with another secret" in out
    given = out.split("if you know the old one: ")[1].split(". If neither")[0]
    (state / FILE).write_bytes(b"")
    run(capsys, "keys", "add", "policy.toml", "--tenant", "b")
    assert run(capsys, "log", "verify", "policy.toml")[0] == 1
    code, out, _ = run(capsys, "log", "verify", "policy.toml", *given.split())
    assert (code, out.split(";")[0]) == (0, "worker-1000: as it was written")


def test_a_model_is_not_wrapped_with_another_secret(state, monkeypatch):
    before = contents(state)
    monkeypatch.setenv("UNSEEN_GUARD_SECRET", OTHER)
    with pytest.raises(PolicyError, match="another secret"):
        wrap(SimpleNamespace(predict=None, predict_proba=None), "policy.toml")
    assert contents(state) == before


def test_serving_refuses_before_it_listens(state, monkeypatch):
    monkeypatch.setenv("UNSEEN_GUARD_SECRET", OTHER)
    said = []
    with pytest.raises(PolicyError, match="another secret"):
        serve(state.parent / "policy.toml", said.append)
    assert said == []
