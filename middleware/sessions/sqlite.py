"""Sessions in a file: for all workers on one machine, with nothing to install."""

from __future__ import annotations

import os
import sqlite3
import time
import weakref
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, NamedTuple, TypeVar

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
    key TEXT NOT NULL REFERENCES session ON DELETE CASCADE, name BLOB NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (key, name)
) WITHOUT ROWID;
"""
_WAIT = 5.0  # seconds for another process to finish its change
_ATTEMPTS = 500  # within that time
_THREADS = 4  # of an event loop, each with a connection
_SWEPT = 10  # expired sessions that each new one takes along

_stores: weakref.WeakSet[SQLiteStore] = weakref.WeakSet()
_limiters: RunVar[dict[str, anyio.CapacityLimiter]] = RunVar("middleware.sessions.sqlite")


class SQLiteStore:
    """Keep sessions in an SQLite database, which the workers of one machine share.

    The file must be on a disk of this machine: not on a network drive.

    Args:
        path: The file; it is made if it is not there.

    Raises:
        ConfigurationError: If ``path`` is not the path of a file.
    """

    __slots__ = ("__weakref__", "_idle", "_path")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not isinstance(path, str | os.PathLike) or str(path) in ("", ":memory:") or not _is_file(path):
            remedy = "write SQLiteStore('sessions.sqlite3')"
            refuse("SQLiteStore", [Problem("path", path, "is not the path of a file", remedy)])
        self._path = os.path.abspath(path)
        self._idle: list[_Connection] = []
        _stores.add(self)

    def __del__(self) -> None:
        if hasattr(self, "_idle"):  # not if the path was refused
            self._close()

    async def load(self, key: str) -> Record | None:
        def load(db: sqlite3.Connection) -> Record | None:
            row = db.execute("SELECT created, seen FROM session WHERE key = ? AND expires > ?", (key, time.time()))
            times = row.fetchone()
            if times is None:
                return None
            fields = db.execute("SELECT name, value FROM field WHERE key = ?", (key,))
            return Record({name.decode("utf-8", "surrogatepass"): value for name, value in fields}, *times)

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
            elif change.seen is not None:
                if not self._touch(db, key, change.seen, now, ttl):
                    return False
            elif not db.execute("SELECT 1 FROM session WHERE key = ? AND expires > ?", (key, now)).fetchone():
                return False
            db.executemany(
                "DELETE FROM field WHERE key = ? AND name = ?", [(key, _name(name)) for name in change.delete]
            )
            db.executemany(
                "INSERT OR REPLACE INTO field VALUES (?, ?, ?)",
                [(key, _name(name), value) for name, value in change.set.items()],
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
            try:
                connection = self._current() or self._connect()
                db = connection.db
                try:
                    db.execute(begin)
                    result = work(db)
                    db.commit()
                except BaseException:
                    db.rollback()
                    raise
                finally:
                    self._idle.append(connection)
                return result
            except sqlite3.Error as error:
                raise SessionStoreError(f"SQLite: {error}") from error

        return await anyio.to_thread.run_sync(run, limiter=_limiter(begin))

    def _current(self) -> _Connection | None:
        """An idle connection to the file that is there now: another may have been put in its place."""
        while connection := self._taken():
            if connection.file == _identity(self._path):
                return connection
            connection.db.close()
        return None

    def _taken(self) -> _Connection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _close(self) -> None:
        while connection := self._taken():
            connection.db.close()

    def _connect(self) -> _Connection:
        db = sqlite3.connect(self._path, timeout=_WAIT, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(db)
        except BaseException:
            db.close()
            raise
        return _Connection(db, _identity(self._path))

    def _prepare(self, db: sqlite3.Connection) -> None:
        """Make the tables. For one who changes the journal mode of a new file SQLite does not wait by itself."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                db.executescript(_SCHEMA)
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or attempt == _ATTEMPTS:
                    raise
                sleep(_WAIT / _ATTEMPTS)


class _Connection(NamedTuple):
    db: sqlite3.Connection
    file: tuple[int, int] | None


def _identity(path: str) -> tuple[int, int] | None:
    """Which file stands at a path, if any."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file is there, or can be."""
    return "\0" not in str(path) and not Path(path).is_dir()


def _name(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def _limiter(kind: str) -> anyio.CapacityLimiter:
    """What bounds the threads of an event loop; those that read do not wait for those that write."""
    try:
        limiters = _limiters.get()
    except LookupError:
        limiters = {}
        _limiters.set(limiters)
    return limiters.setdefault(kind, anyio.CapacityLimiter(_THREADS))


def _close_all() -> None:
    for store in [*_stores]:
        store._close()


if hasattr(os, "register_at_fork"):
    # The child of a fork would use the locks of its parent, which are not its own.
    os.register_at_fork(before=_close_all)
