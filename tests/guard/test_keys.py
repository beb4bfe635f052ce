"""Keys: kept as keyed hashes, found in one way, closed at once."""

import multiprocessing
import time

import pytest

from unseen.disk import alone
from unseen.errors import FolderError, PolicyError
from unseen.guard.keys import KeyRing
from unseen.guard.secrets import read_secret, strong

PEPPER = b"p" * 32


def ring(folder):
    return KeyRing(folder, PEPPER)


def test_a_key_opens_what_it_was_made_for(tmp_path):
    keys = ring(tmp_path)
    key, token = keys.add(tenant="acme", tier="basic", scopes=["mlflow"])
    client = ring(tmp_path).find(token, time.time())
    assert (client.id, client.tenant, client.tier) == (key.id, "acme", "basic")
    assert client.may_use("mlflow")
    assert not client.may_use("openai")
    assert len(token) >= 60


def test_nothing_of_a_key_is_kept_but_its_keyed_hash(tmp_path):
    _, token = ring(tmp_path).add(tenant="acme", tier="basic")
    kept = (tmp_path / "keys.json").read_text()
    assert token not in kept
    assert token.split("_", 2)[2][:10] not in kept
    assert (tmp_path / "keys.json").stat().st_mode & 0o077 == 0
    assert KeyRing(tmp_path, b"q" * 32).find(token, time.time()) is None
    assert token not in repr(ring(tmp_path))


def test_a_wrong_key_opens_nothing(tmp_path):
    keys = ring(tmp_path)
    _, token = keys.add(tenant="acme", tier="basic")
    _, other = keys.add(tenant="acme", tier="basic")
    head, body = token.rsplit("_", 1) if token.count("_") == 2 else (token[:16], token[17:])
    for wrong in (
        "",
        "x",
        token[:-1],
        token + "0",
        token.upper(),
        other[:17] + token[17:],
        f"{head}_{body[::-1]}",
        "\udcff",
    ):
        assert keys.find(wrong, time.time()) is None


def test_an_expired_or_revoked_key_opens_nothing(tmp_path):
    keys = ring(tmp_path)
    now = time.time()
    short, token = keys.add(tenant="a", tier="b", expires=now + 10)
    assert keys.find(token, now) is not None
    assert keys.find(token, now + 11) is None
    keys.revoke(short.id)
    assert keys.find(token, now) is None


def test_another_process_sees_a_revoked_key_within_a_second(tmp_path):
    guard, admin = ring(tmp_path), ring(tmp_path)
    key, token = admin.add(tenant="a", tier="b")
    now = time.time()
    assert guard.find(token, now) is not None
    admin.revoke(key.id)
    assert guard.find(token, now + 1.1) is None


def test_a_rotated_key_is_the_same_client_and_the_old_one_opens_for_a_while(tmp_path):
    keys = ring(tmp_path)
    old, token = keys.add(tenant="a", tier="b", scopes=["r"])
    new, fresh = keys.successor(old.id)
    keys.retire(old.id, 3600)
    again, last = keys.successor(new.id)
    keys.retire(new.id, 3600)
    now = time.time()
    assert {keys.find(one, now).id for one in (token, fresh, last)} == {old.id}
    assert keys.find(token, now + 3601) is None
    assert keys.find(last, now + 3601).scopes == {"r"}
    assert again.replaces == old.id
    keys.revoke(old.id)
    with pytest.raises(PolicyError, match="expired or was revoked"):
        keys.successor(old.id)


def test_a_damaged_file_stops_a_start_and_not_a_running_guard(tmp_path):
    keys = ring(tmp_path)
    _, token = keys.add(tenant="a", tier="b")
    for content in (b"[{]", (tmp_path / "keys.json").read_bytes().replace(b'"a"', b'"\xff"')):
        (tmp_path / "keys.json").write_bytes(content)
        assert keys.find(token, time.time() + 5) is not None
        with pytest.raises(FolderError, match="does not hold keys"):
            ring(tmp_path)


def test_a_key_is_not_made_while_another_process_holds_the_keys_for_long(tmp_path, monkeypatch):
    monkeypatch.setattr("unseen.guard.keys.PATIENCE_S", 0.1)
    with alone(tmp_path / "keys.json"), pytest.raises(FolderError, match=r"keys\.json\.lock is held by another"):
        ring(tmp_path).add(tenant="a", tier="b")
    assert ring(tmp_path).all() == []


def test_a_successor_leaves_the_old_key_as_it_was_until_that_is_retired(tmp_path):
    keys = ring(tmp_path)
    old, token = keys.add(tenant="a", tier="b")
    new, fresh = keys.successor(old.id)
    assert new.replaces == old.id
    assert keys.get(old.id) == old
    keys.retire(old.id, 10)
    now = time.time()
    assert keys.find(token, now) is not None
    assert keys.find(token, now + 11) is None
    assert keys.find(fresh, now + 11).id == old.id


@pytest.mark.parametrize("tenant", ["", "a:b", "a\nb", "x" * 101])
def test_a_tenant_is_a_plain_name(tmp_path, tenant):
    with pytest.raises(PolicyError, match="a tenant is"):
        ring(tmp_path).add(tenant=tenant, tier="b")


def test_secrets_come_from_the_environment_or_from_files_of_their_owner(tmp_path, monkeypatch):
    monkeypatch.setenv("A_SECRET", "x" * 5)
    assert read_secret("env:A_SECRET", "s") == b"x" * 5
    path = tmp_path / "secret"
    path.write_bytes(b"from a file\n")
    path.chmod(0o600)
    assert read_secret(f"file:{path}", "s") == b"from a file"
    path.chmod(0o644)
    with pytest.raises(PolicyError, match="chmod 600"):
        read_secret(f"file:{path}", "s")
    for where, said in (("env:NOT_THERE", "not set"), ("file:/nowhere", "No such file"), ("hunter2", "never stands")):
        with pytest.raises(PolicyError, match=said) as raised:
            read_secret(where, "s")
        assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("weak", [b"", b"short", b"a" * 64, b"changeme" * 8])
def test_a_weak_secret_is_refused(weak):
    with pytest.raises(PolicyError, match="too weak"):
        strong(weak, "guard.secret")


def test_of_keys_made_at_once_by_many_processes_none_is_lost(tmp_path):
    processes = [multiprocessing.get_context("fork").Process(target=make, args=(tmp_path, n)) for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert len(ring(tmp_path).all()) == 40


def make(folder, number):
    for _ in range(10):
        ring(folder).add(tenant=f"t{number}", tier="b")
