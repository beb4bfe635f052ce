"""Shredding: the key of a tenant's fingerprints is gone for guards that run too, and the log says so."""

import asyncio
import os

import pytest
from tests.guard.guards import FakeModel, asked, opened, policy
from tests.guard.test_gateway import ROW, conversation, log

from unseen.errors import FolderError
from unseen.guard import gateway as gateways
from unseen.guard.commands import main
from unseen.guard.log.entries import Done
from unseen.guard.log.verifying import verify
from unseen.guard.tenant_keys import read_tenant_key, tenant_key_path

POLICY = """
[guard]
state = "state"
[upstream]
url = "http://127.0.0.1:9"
[[routes]]
protocol = "mlflow"
[tiers.basic]
budget = { lifetime = 1000 }
"""


def prints(folder):
    return [one for entry in log(folder) for one in entry.fingerprints[:1]]


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(gateways, "LOOK_S", 0.0)


def test_a_running_guard_uses_a_shredded_key_no_longer_and_the_log_has_it(tmp_path, monkeypatch, capsys, at_once):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.toml").write_text(POLICY)

    async def talk(gateway, key):
        await asked(gateway, ROW, key=key)
        await asked(gateway, ROW, key=key)
        assert await asyncio.to_thread(main, ["log", "shred", "policy.toml", "--tenant", "acme"]) == 0
        await asked(gateway, ROW, key=key)
        await asked(gateway, ROW, key=key)

    conversation(tmp_path, talk)
    assert "within a second" in capsys.readouterr().out
    first, second, third, fourth = prints(tmp_path)
    assert first == second != third == fourth
    (entry,) = [entry for entry in log(tmp_path, Done) if entry.what == "shredded"]
    assert entry.detail == tenant_key_path(tmp_path / "state", "acme").name
    assert "acme" not in entry.detail
    assert not [verdict for verdict in verify(tmp_path / "state" / "log") if verdict.bad]


def test_the_file_is_looked_at_once_a_second(tmp_path, monkeypatch):
    looks, clock = [], [100.0]
    look = gateways.look_at_tenant_key
    monkeypatch.setattr(gateways, "look_at_tenant_key", lambda path, known: looks.append(path) or look(path, known))
    monkeypatch.setattr(gateways.time, "monotonic", lambda: clock[0])

    async def run():
        async with opened(policy(tmp_path), FakeModel()) as gateway:
            keys = []
            for moment in (100.0, 100.9, 101.1, 102.0, 102.2):
                clock[0] = moment
                keys.append(gateway.state.tenant_key("acme"))
            return keys

    assert len(set(asyncio.run(run()))) == 1
    assert len(looks) == 3


def test_a_key_that_was_replaced_in_its_place_is_read_again(tmp_path, at_once):
    async def talk(gateway, key):
        await asked(gateway, ROW, key=key)
        path = tenant_key_path(tmp_path / "state", "acme")
        path.write_bytes(b"n" * 32)
        os.utime(path, (1, 1))
        await asked(gateway, ROW, key=key)
        path.write_bytes(b"short")
        return (await asked(gateway, ROW, key=key))[0]

    assert conversation(tmp_path, talk) == 503
    first, second = prints(tmp_path)
    assert first != second


def test_two_that_make_a_key_at_once_have_one(tmp_path, monkeypatch):
    path = tenant_key_path(tmp_path, "acme")
    link = os.link

    def slower(made, there):
        path.write_bytes(b"o" * 32)  # the other was first
        link(made, there)

    monkeypatch.setattr(os, "link", slower)
    assert read_tenant_key(path).key == b"o" * 32
    assert "ooo" not in repr(read_tenant_key(path))
    path.write_bytes(b"short")
    with pytest.raises(FolderError, match="does not hold a fingerprint key"):
        read_tenant_key(path)
