"""Sessions in a file: for all workers on one machine, with nothing to install."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import anyio.to_thread
from anyio.lowlevel import RunVar

from .._errors import Problem, refuse
from .store import Change, Record, SessionStoreError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA foreign_keys = ON;
CREATE TABLE IF NOT EXISTS session (
    key TEXT PRIMARY KEY, created INTEGER NOT NULL, seen INTEGER NOT NULL, expires REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS session_expires ON session (expires);
CREATE TABLE IF NOT EXISTS field (
    key TEXT NOT NULL REFERENCES session ON DELETE CASCADE, name TEXT NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (key, name)
) WITHOUT ROWID;
"""
_WAIT = 5.0  # seconds for another process to finish its change
_SWEPT = 10  # expired sessions that each new one takes along

_limiters: RunVar[anyio.CapacityLimiter] = RunVar("middleware.sessions.sqlite")


class SQLiteStore:
    """Keep sessions in an SQLite database, which the workers of one machine share.

    The file must be on a disk of this machine: not on a network drive.

    Args:
        path: The file; it is made if it is not there.

    Raises:
        ConfigurationError: If ``path`` is not the path of a file.
    """

    __slots__ = ("_connections", "_lock", "_path")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not isinstance(path, str | os.PathLike) or not str(path) or str(path) == ":memory:" or Path(path).is_dir():
            remedy = "write SQLiteStore('sessions.sqlite3')"
            refuse("SQLiteStore", [Problem("path", str(path), "is not the path of a file", remedy)])
        self._path = os.path.abspath(path)
        self._connections: dict[int, sqlite3.Connection] = {}  # by process: none survives a fork
        self._lock = threading.Lock()

    async def load(self, key: str) -> Record | None:
        def load(db: sqlite3.Connection) -> Record | None:
            row = db.execute("SELECT created, seen FROM session WHERE key = ? AND expires > ?", (key, time.time()))
            times = row.fetchone()
            if times is None:
                return None
            return Record(dict(db.execute("SELECT name, value FROM field WHERE key = ?", (key,))), *times)

        return await self._run("BEGIN", load)

    async def save(self, key: str, change: Change, ttl: int) -> bool:
        def save(db: sqlite3.Connection) -> bool:
            now = time.time()
            if change.created is not None:
                db.execute(
                    "DELETE FROM session WHERE key IN (SELECT key FROM session WHERE expires <= ? LIMIT ?)",
                    (now, _SWEPT),
                )
                db.execute(
                    "INSERT OR REPLACE INTO session VALUES (?, ?, ?, ?)",
                    (key, change.created, change.seen, now + ttl),
                )
            elif not self._touch(db, key, change.seen, now, ttl):
                return False
            db.executemany("DELETE FROM field WHERE key = ? AND name = ?", [(key, name) for name in change.delete])
            db.executemany(
                "INSERT OR REPLACE INTO field VALUES (?, ?, ?)",
                [(key, name, value) for name, value in change.set.items()],
            )
            return True

        return await self._run("BEGIN IMMEDIATE", save)

    async def delete(self, key: str) -> None:
        await self._run("BEGIN IMMEDIATE", lambda db: db.execute("DELETE FROM session WHERE key = ?", (key,)))

    async def touch(self, key: str, seen: int, ttl: int) -> bool:
        return await self._run("BEGIN IMMEDIATE", lambda db: self._touch(db, key, seen, time.time(), ttl))

    def _touch(self, db: sqlite3.Connection, key: str, seen: int, now: float, ttl: int) -> bool:
        changed = db.execute(
            "UPDATE session SET seen = ?, expires = ? WHERE key = ? AND expires > ?", (seen, now + ttl, key, now)
        )
        return changed.rowcount == 1

    async def _run(self, begin: str, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do ``work`` in one transaction, in a thread."""

        def run() -> T:
            with self._lock:
                try:
                    db = self._connection()
                    db.execute(begin)
                    try:
                        result = work(db)
                    except BaseException:
                        db.rollback()
                        raise
                    db.commit()
                    return result
                except sqlite3.Error as error:
                    raise SessionStoreError(f"SQLite: {error}") from error

        return await anyio.to_thread.run_sync(run, limiter=_limiter())

    def _connection(self) -> sqlite3.Connection:
        process = os.getpid()
        if process not in self._connections:
            db = sqlite3.connect(self._path, timeout=_WAIT, isolation_level=None, check_same_thread=False)
            db.executescript(_SCHEMA)
            self._connections[process] = db
        return self._connections[process]


def _limiter() -> anyio.CapacityLimiter:
    """There is one connection, so more than one thread would only wait."""
    try:
        return _limiters.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(1)
        _limiters.set(limiter)
        return limiter
