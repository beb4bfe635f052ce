"""Budgets in PostgreSQL, for several machines; a step is on its disk when it returns, as far as the server promises.

That is `synchronous_commit = on`, which this connection asks for.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from unseen.errors import FolderError, MissingExtra
from unseen.guard.budget import Ask, Grant, Kept
from unseen.guard.leases import granted

SCHEMA = """
CREATE TABLE IF NOT EXISTS unseen_budget (account TEXT PRIMARY KEY, used BIGINT NOT NULL CHECK (used >= 0));
CREATE TABLE IF NOT EXISTS unseen_idempotent (token BYTEA PRIMARY KEY, request BYTEA NOT NULL,
    begun DOUBLE PRECISION NOT NULL, status INTEGER, content_type TEXT, body BYTEA);
CREATE INDEX IF NOT EXISTS unseen_idempotent_begun ON unseen_idempotent (begun);
"""
SCHEMA_LOCK = 0x756E7365656E  # one guard at a time makes the tables
KEEP_S = 86_400.0
CONNECT_S = 5  # how long a connection may take
STEP_S = 10.0  # how long a step may take, that included; the server gives a statement up a little earlier
QUIET = {"keepalives": 1, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}  # libpq's, in seconds


class PostgresqlStore:
    """One connection, used by one thread at a time; it is opened again after it was lost, or its server was silent."""

    def __init__(self, url: str) -> None:
        try:
            import psycopg
        except ImportError:
            raise MissingExtra("store.kind = 'postgresql'", "psycopg", "guard-postgresql") from None
        self._psycopg = psycopg
        self._url = url
        self._lock = threading.Lock()
        self._base: Any = None
        self._until = 0.0  # when the step that is being taken is given up
        self._closed = False
        try:
            with self._step() as base, base.transaction():
                base.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
                base.execute(SCHEMA)
        except psycopg.Error as error:
            self.close()
            raise FolderError(f"the budgets' PostgreSQL server cannot be used: {type(error).__name__}.") from None

    @contextmanager
    def _step(self) -> Iterator[Any]:
        """Give the connection for one step; it is never used again where the server was silent.

        What the server made of the step is not known then: it may have taken it.
        """
        with self._lock:
            self._until = time.monotonic() + STEP_S
            if self._base is None or self._base.closed:
                self._base = self._connect()
            try:
                yield self._base
            finally:
                if self._late():
                    self._base.close()

    def _late(self) -> bool:
        return self._closed or time.monotonic() > self._until

    def _connect(self) -> Any:
        base = _impatient(self._psycopg, self._late).connect(
            self._url,
            autocommit=True,
            prepare_threshold=2,
            connect_timeout=CONNECT_S,
            tcp_user_timeout=int(STEP_S * 1000),
            **QUIET,
        )
        try:
            base.execute("SET synchronous_commit = on")
            base.execute(f"SET statement_timeout = {int(STEP_S * 800)}")
            # a guard that was cut off holds no lock of the others' for longer
            base.execute(f"SET idle_in_transaction_session_timeout = {int(STEP_S * 1000)}")
        except self._psycopg.Error:
            base.close()
            raise
        return base

    def reserve(self, requests: Sequence[Sequence[Ask]]) -> list[Grant]:
        """Grant each request wholly or not at all, in order, in one transaction; accounts are locked in order."""
        names = sorted({ask.account for request in requests for ask in request})
        with self._step() as base, base.transaction():
            row = "INSERT INTO unseen_budget SELECT unnest(%s::text[]), 0 ON CONFLICT DO NOTHING"
            base.execute(row, (names,))
            read = "SELECT account, used FROM unseen_budget WHERE account = ANY(%s) ORDER BY account FOR UPDATE"
            before = dict(base.execute(read, (names,)).fetchall())
            used = dict(before)
            grants = [granted(request, used) for request in requests]
            changed = [(used[name], name) for name in names if used[name] != before[name]]
            if changed:
                with base.cursor() as cursor:
                    cursor.executemany("UPDATE unseen_budget SET used = %s WHERE account = %s", changed)
        return grants

    def give_back(self, amounts: Mapping[str, int]) -> None:
        """Take back what was granted and not used for any answer; of a renewed account no more than is used."""
        rows = sorted((account, amount) for account, amount in amounts.items())
        with self._step() as base, base.transaction(), base.cursor() as cursor:
            cursor.executemany(
                "UPDATE unseen_budget SET used = greatest(used - %s, 0) WHERE account = %s",
                [(amount, account) for account, amount in rows],
            )

    def used(self, prefix: str) -> dict[str, int]:
        """Return what is used of each account whose name begins so."""
        with self._step() as base:
            found = base.execute(
                "SELECT account, used FROM unseen_budget WHERE left(account, %s) = %s", (len(prefix), prefix)
            )
            return dict(found.fetchall())

    def begin(self, token: bytes, request: bytes, now: float, patience: float) -> str | Kept:
        """See `budget.Store`."""
        with self._step() as base, base.transaction():
            base.execute("DELETE FROM unseen_idempotent WHERE begun < %s", (now - KEEP_S,))
            fresh = base.execute(
                "INSERT INTO unseen_idempotent (token, request, begun) VALUES (%s, %s, %s) "
                "ON CONFLICT DO NOTHING RETURNING 1",
                (token, request, now),
            ).fetchone()
            if fresh:
                return "new"
            found = base.execute(
                "SELECT request, begun, status, content_type, body FROM unseen_idempotent WHERE token = %s FOR UPDATE",
                (token,),
            ).fetchone()
            if bytes(found[0]) != request:
                return "other"
            if found[2] is not None:
                return Kept(found[2], found[3], bytes(found[4]))
            if now - found[1] < patience:
                return "busy"
            base.execute("UPDATE unseen_idempotent SET begun = %s WHERE token = %s", (now, token))
            return "new"

    def finish(self, token: bytes, request: bytes, kept: Kept | None) -> None:
        """Keep the answer for a token; None forgets the token."""
        with self._step() as base:
            if kept is None:
                base.execute(
                    "DELETE FROM unseen_idempotent WHERE token = %s AND request = %s AND status IS NULL",
                    (token, request),
                )
            else:
                base.execute(
                    "UPDATE unseen_idempotent SET status = %s, content_type = %s, body = %s "
                    "WHERE token = %s AND request = %s",
                    (kept.status, kept.content_type, kept.body, token, request),
                )

    def close(self) -> None:
        """Let go of the connection; a step that waits for the server ends at once."""
        self._closed = True
        if self._lock.acquire(timeout=1.0):  # else it is connecting, and then ends
            try:
                if self._base is not None:
                    self._base.close()
            finally:
                self._lock.release()


def _impatient(psycopg: Any, late: Callable[[], bool]) -> Any:
    """Return a kind of connection that no longer waits for its server once it is `late()`, asked ten times a second.

    No setting does that: a proxy or a system that is stopped acknowledges what reaches it, and a server that is never
    reached times nothing. psycopg has no timeout of its own, and says that connections may be derived from.
    """

    def watched(waiting: Generator[int, int, Any]) -> Generator[int, int, Any]:
        try:
            wanted = next(waiting)
            while not late():
                wanted = waiting.send((yield wanted))
        except StopIteration as end:
            return end.value
        raise psycopg.OperationalError("the server is silent")

    class Impatient(psycopg.Connection):  # type: ignore[misc]
        def wait(self, waiting: Generator[int, int, Any], *given: Any, **named: Any) -> Any:
            return super().wait(watched(waiting), *given, **named)

    return Impatient
