"""Budgets in PostgreSQL, for several machines; a step is on its disk when it returns, as far as the server promises.

That is `synchronous_commit = on`, which this connection asks for.
"""

import threading
from collections.abc import Mapping, Sequence
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


class PostgresqlStore:
    """One connection, used by one thread at a time; it is opened again after it was lost."""

    def __init__(self, url: str) -> None:
        try:
            import psycopg
        except ImportError:
            raise MissingExtra("store.kind = 'postgresql'", "psycopg", "guard-postgresql") from None
        self._psycopg = psycopg
        self._url = url
        self._lock = threading.Lock()
        try:
            self._base = self._connect()
            with self._base.transaction():
                self._base.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
                self._base.execute(SCHEMA)
        except psycopg.Error as error:
            raise FolderError(f"the budgets' PostgreSQL server cannot be used: {type(error).__name__}.") from None

    def _connect(self) -> Any:
        base = self._psycopg.connect(self._url, autocommit=True, connect_timeout=5, prepare_threshold=2)
        base.execute("SET synchronous_commit = on")
        return base

    def _open(self) -> Any:
        if self._base.closed:
            self._base = self._connect()
        return self._base

    def reserve(self, requests: Sequence[Sequence[Ask]]) -> list[Grant]:
        """Grant each request wholly or not at all, in order, in one transaction; accounts are locked in order."""
        names = sorted({ask.account for request in requests for ask in request})
        with self._lock, self._open().transaction():
            base = self._base
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
        with self._lock, self._open().transaction(), self._base.cursor() as cursor:
            cursor.executemany(
                "UPDATE unseen_budget SET used = greatest(used - %s, 0) WHERE account = %s",
                [(amount, account) for account, amount in rows],
            )

    def used(self, prefix: str) -> dict[str, int]:
        """Return what is used of each account whose name begins so."""
        with self._lock:
            found = self._open().execute(
                "SELECT account, used FROM unseen_budget WHERE left(account, %s) = %s", (len(prefix), prefix)
            )
            return dict(found.fetchall())

    def begin(self, token: bytes, request: bytes, now: float, patience: float) -> str | Kept:
        """See `budget.Store`."""
        with self._lock, self._open().transaction():
            base = self._base
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
        with self._lock:
            base = self._open()
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
        """Let go of the connection."""
        self._base.close()
