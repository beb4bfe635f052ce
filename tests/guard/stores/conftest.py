"""Each kind of store, opened anew by `open_store()`: as many times as a test needs processes."""

from functools import partial

import psycopg
import pytest
import redis
from tests.guard.stores.servers import Postgresql, Redis

from unseen.guard.stores.postgresql import PostgresqlStore
from unseen.guard.stores.redis import RedisStore
from unseen.guard.stores.sqlite import SqliteStore


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    server = Redis(tmp_path_factory.mktemp("redis"), always=False)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory):
    server = Postgresql(tmp_path_factory.mktemp("postgresql"))
    yield server
    server.stop()


class Opening:
    """Opens the store of one test as often as it is called, in this process or another; `close` closes them all."""

    def __init__(self, make, attempts):
        self._make = make
        self.attempts = attempts  # that a race of eight processes makes in a second or two
        self._opened = []

    def __call__(self):
        self._opened.append(self._make())
        return self._opened[-1]

    def close(self):
        for store in self._opened:
            store.close()


@pytest.fixture(params=["sqlite", "redis", "postgresql"])
def open_store(request, tmp_path):
    """What opens the store of this test."""
    opening = Opening(maker(request, tmp_path), 1000 if request.param == "postgresql" else 4000)
    yield opening
    opening.close()


def maker(request, folder):
    if request.param == "sqlite":
        return partial(SqliteStore, folder / "budgets.sqlite", power=False)
    server = request.getfixturevalue(f"{request.param}_server")
    if request.param == "redis":
        with redis.Redis.from_url(server.url) as client:
            client.flushall()
        return partial(RedisStore, server.url, power=False)
    with psycopg.connect(server.url) as base:
        base.execute("DROP TABLE IF EXISTS unseen_budget, unseen_idempotent")
    return partial(PostgresqlStore, server.url)
