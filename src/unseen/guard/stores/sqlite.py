"""Budgets in SQLite: the default, for the workers of one machine."""

import errno
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from unseen.errors import FolderError
from unseen.guard.budget import Ask, Grant, Kept
from unseen.guard.leases import granted
from unseen.guard.unusable import unusable

SCHEMA = """
CREATE TABLE IF NOT EXISTS budget (account TEXT PRIMARY KEY, used INTEGER NOT NULL CHECK (used >= 0)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS idempotent (token BLOB PRIMARY KEY, request BLOB NOT NULL, begun REAL NOT NULL,
    status INTEGER, content_type TEXT, body BLOB) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS idempotent_begun ON idempotent (begun);
"""
CHECKPOINT = 256  # pages; then the log of writes is written over: a flush is dearer while its file grows
PATIENCE_S = 10.0  # how long one worker waits for another's transaction; a request waits longer than that
DENIED = {sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
KEEP_S = 86_400.0  # how long an idempotency key is remembered


def _write_ahead(base: sqlite3.Connection) -> None:
    """Turn a file to write-ahead mode; SQLite itself does not wait where another process does so at this instant."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            base.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return


class SqliteStore:
    """One file in write-ahead mode. With `power`, a step is on the disk when it returns, and survives a power cut.

    Without, it survives a killed process: what the kernel has is not lost with it.
    """

    def __init__(self, path: Path, *, power: bool = True) -> None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)  # the files that SQLite puts beside it are as open as this one
            path.chmod(0o600)
            self._base = sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False)
            _write_ahead(self._base)
            self._base.execute(f"PRAGMA synchronous={'FULL' if power else 'NORMAL'}")
            self._base.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT}")
            self._base.executescript(SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise _not_opened(path, error) from None

    def reserve(self, requests: Sequence[Sequence[Ask]]) -> list[Grant]:
        """Grant each request wholly or not at all, in order, in one durable step."""
        grants = []
        with self._step() as base:
            for asks in requests:
                used = {}
                for ask in asks:
                    found = base.execute("SELECT used FROM budget WHERE account=?", (ask.account,)).fetchone()
                    used[ask.account] = found[0] if found else 0
                grant = granted(asks, used)
                grants.append(grant)
                if grant.refused is None:
                    base.executemany(
                        "INSERT INTO budget VALUES (?, ?) ON CONFLICT (account) DO UPDATE SET used=used+excluded.used",
                        [(ask.account, amount) for ask, amount in zip(asks, grant.amounts, strict=True)],
                    )
        return grants

    def give_back(self, amounts: Mapping[str, int]) -> None:
        """Take back what was granted and not used for any answer; of a renewed account no more than is used."""
        with self._step() as base:
            base.executemany(
                "UPDATE budget SET used=max(used-?, 0) WHERE account=?",
                [(amount, account) for account, amount in amounts.items()],
            )

    def used(self, prefix: str) -> dict[str, int]:
        """Return what is used of each account whose name begins so."""
        rows = self._base.execute(
            "SELECT account, used FROM budget WHERE substr(account, 1, ?)=?", (len(prefix), prefix)
        )
        return dict(rows.fetchall())

    def begin(self, token: bytes, request: bytes, now: float, patience: float) -> str | Kept:
        """See `budget.Store`."""
        with self._step() as base:
            base.execute("DELETE FROM idempotent WHERE begun<?", (now - KEEP_S,))
            row = base.execute(
                "SELECT request, begun, status, content_type, body FROM idempotent WHERE token=?", (token,)
            )
            found = row.fetchone()
            if found is None:
                base.execute("INSERT INTO idempotent (token, request, begun) VALUES (?, ?, ?)", (token, request, now))
                state: str | Kept = "new"
            elif found[0] != request:
                state = "other"
            elif found[2] is not None:
                state = Kept(found[2], found[3], found[4])
            elif now - found[1] < patience:
                state = "busy"
            else:
                base.execute("UPDATE idempotent SET begun=? WHERE token=?", (now, token))
                state = "new"
        return state

    def finish(self, token: bytes, request: bytes, kept: Kept | None) -> None:
        """Keep the answer for a token; None forgets the token, where nothing was charged."""
        if kept is None:
            self._base.execute(
                "DELETE FROM idempotent WHERE token=? AND request=? AND status IS NULL", (token, request)
            )
        else:
            self._base.execute(
                "UPDATE idempotent SET status=?, content_type=?, body=? WHERE token=? AND request=?",
                (kept.status, kept.content_type, kept.body, token, request),
            )

    def close(self) -> None:
        """Let go of the file."""
        self._base.close()

    @contextmanager
    def _step(self) -> Iterator[sqlite3.Connection]:
        """One transaction: on the disk once this is left, and gone without a trace where anything is raised."""
        base = self._base
        base.execute("BEGIN IMMEDIATE")
        try:
            yield base
            base.execute("COMMIT")
        except BaseException:
            if base.in_transaction:
                base.execute("ROLLBACK")
            raise


def _not_opened(path: Path, error: sqlite3.Error | OSError) -> FolderError:
    """Return why the file cannot be opened: only damage is a reason to restore it, for that renews what was spent."""
    if isinstance(error, OSError):
        return unusable(path, error)
    code = (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
    if code in DENIED:
        return unusable(path, PermissionError(errno.EACCES, str(error)))
    if code in DAMAGED:
        repair = "restore the file, which renews what was spent since that copy was made"
        return FolderError(f"the budgets in {path} cannot be opened: {error}; {repair}.")
    return FolderError(f"the budgets in {path} cannot be opened: {error}; the file need not be restored for that.")
