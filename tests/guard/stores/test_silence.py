"""A server that falls silent is neither there nor gone: nothing waits for it for long, and no step is taken twice."""

import asyncio
import json
import threading
import time
from functools import partial

import psycopg
import pytest
import redis
from tests.guard import test_serving
from tests.guard.guards import FakeModel, asked, opened, policy
from tests.guard.stores.servers import Between
from tests.guard.test_serving import Process, model

from unseen.guard.budget import Ask
from unseen.guard.log.entries import Done
from unseen.guard.log.reading import entries
from unseen.guard.stores.postgresql import PostgresqlStore
from unseen.guard.stores.redis import RedisStore

__all__ = ["model"]  # a fixture
ROW = json.dumps({"instances": [[1.0, 2.0]]}).encode()
SHORT = "import unseen.guard.leases as leases; leases.PATIENCE_S, leases.END_S = 1.0, 1.0; "


@pytest.fixture
def between(request):
    """Stands before the server that the test names, or PostgreSQL."""
    kind = getattr(request, "param", "postgresql")
    server = request.getfixturevalue(f"{kind}_server")
    if kind == "postgresql":
        with psycopg.connect(server.url) as base:
            base.execute("DROP TABLE IF EXISTS unseen_budget, unseen_idempotent")
    standing = Between(server.port)
    standing.url = server.url.replace(str(server.port), str(standing.port))
    standing.open_behind = partial(PostgresqlStore, server.url)
    yield standing
    standing.close()


@pytest.fixture
def store(between, monkeypatch, request):
    """A store whose server may fall silent, and which has little patience."""
    monkeypatch.setattr("unseen.guard.stores.postgresql.STEP_S", 0.5)
    monkeypatch.setattr("unseen.guard.stores.redis.SILENT_S", 0.5)
    if between.url.startswith("redis"):
        found = RedisStore(between.url, power=False)
        found._server.flushall()
    else:
        found = PostgresqlStore(between.url)
    yield found
    found.close()


BOTH = pytest.mark.parametrize("between", ["redis", "postgresql"], indirect=True)


def one(want=1):
    return [[Ask("a", 1, want, 100)]]


def seconds(step, *given):
    """How long it takes until a step is given up."""
    since = time.monotonic()
    with pytest.raises((psycopg.OperationalError, redis.TimeoutError)):
        step(*given)
    return time.monotonic() - since


@BOTH
def test_a_silent_server_is_given_up_in_time_and_asked_again_once_it_speaks(between, store):
    store.reserve(one())
    between.fall_silent()
    assert seconds(store.reserve, one()) < 3
    between.wake()
    store.reserve(one())
    assert store.used("a")["a"] in {2, 3}


@BOTH
def test_what_is_given_back_to_a_server_whose_answer_is_lost_is_given_back_once_at_most(between, store):
    store.reserve(one(10))
    between.speaks.clear()
    assert seconds(store.give_back, {"a": 4}) < 3
    between.wake()
    time.sleep(0.2)
    assert store.used("a")["a"] in {6, 10}


def test_a_store_is_closed_while_its_server_is_silent_and_the_step_that_waits_ends(between):
    store = PostgresqlStore(between.url)
    between.fall_silent()
    waiting = threading.Thread(target=seconds, args=(store.reserve, one()))
    waiting.start()
    time.sleep(0.1)
    since = time.monotonic()
    store.close()
    waiting.join()
    assert time.monotonic() - since < 2


def test_a_guard_that_is_cut_off_holds_no_lock_of_the_others_for_long(between, monkeypatch):
    """Its server does not hear of its end, and waits in the middle of a step."""
    monkeypatch.setattr("unseen.guard.stores.postgresql.STEP_S", 1.0)
    cut_off, other = PostgresqlStore(between.url), between.open_behind()
    cut_off.reserve(one())
    since = time.monotonic()

    def cut_off_within():
        with cut_off._step() as base, base.transaction():
            base.execute("UPDATE unseen_budget SET used = used + 1")
            between.fall_silent()
            base.execute("SELECT 1")

    assert seconds(cut_off_within) < 3
    monkeypatch.setattr("unseen.guard.stores.postgresql.STEP_S", 10.0)
    other.reserve(one())
    assert time.monotonic() - since < 4
    assert other.used("a") == {"a": 2}
    for store in (cut_off, other):
        store.close()


def test_a_guard_whose_store_falls_silent_refuses_in_time_and_ends_in_time_and_tells_what_is_stranded(
    between, tmp_path, monkeypatch, caplog
):
    """Whatever the store does: PostgreSQL's own limit is left as long as it is."""
    monkeypatch.setenv("STORE_URL", between.url)
    for name in ("PATIENCE_S", "END_S"):
        monkeypatch.setattr(f"unseen.guard.leases.{name}", 0.5)
    read = policy(tmp_path, store={"kind": "postgresql", "url": "env:STORE_URL"})

    async def run():
        found = []
        async with opened(read, FakeModel()) as gateway:
            _, key = gateway.state.keys.add(tenant="acme", tier="basic")
            for silent in [*[False] * 2, *[True] * 10]:
                if silent:
                    between.fall_silent()
                since = time.monotonic()
                words = {"idempotency_key": "word"} if len(found) == 11 else {}
                status, _, body = await asked(gateway, ROW, key=key, **words)
                found.append((status, json.loads(body).get("error", {}).get("code")))
                assert time.monotonic() - since < 1.5
            since = time.monotonic()
        return found, time.monotonic() - since

    found, took = asyncio.run(run())
    assert found == [(200, None)] * 10 + [(503, "store")] * 2  # ten are held, and are charged
    assert took < 3
    told = [entry for entry in entries(tmp_path / "state" / "log") if isinstance(entry, Done)]
    assert [(entry.what, entry.count) for entry in told] == [("charges-stranded", 10)]  # that it may have been granted
    (said,) = (record.getMessage() for record in caplog.records if record.name == "unseen.guard")
    assert "TimeoutError" in said
    between.wake()
    behind = between.open_behind()
    assert set(behind.used("key:").values()) <= {10, 20}
    behind.close()


def test_a_guard_whose_store_is_silent_ends_when_it_is_told_to(between, tmp_path, model, monkeypatch):
    monkeypatch.setenv("STORE_URL", between.url)
    monkeypatch.setattr(test_serving, "COMMAND", SHORT + test_serving.COMMAND)

    class Elsewhere(Process):
        def write(self, **changes):
            super().write(**changes)
            text = self.path.read_text()
            here = 'kind = "postgresql"\n url = "env:STORE_URL"'
            self.path.write_text(text.replace('durability = "process"', here))

    process = Elsewhere(tmp_path, model, lease=1)
    process.start()
    between.fall_silent()
    since = time.monotonic()
    statuses = [process.ask()[0] for _ in range(3)]
    assert statuses[-1] == 503
    code, said = process.end()
    assert time.monotonic() - since < 12
    assert code == 0
    assert "TimeoutError" in said
