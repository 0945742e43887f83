"""SQLiteStore: the file, what is swept out of it, and what can be wrong with it."""

from __future__ import annotations

import gc
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from middleware import ConfigurationError, Session, SQLiteStore
from middleware.sessions import Change, Record, SessionStoreError, sqlite

from .servers import Answer, Visitor, close, nothing, read

ROOT = Path(__file__).parents[2]
KEY = "5e" * 32
RECORD = Record({"a": b"1"}, 1_000, 1_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.sqlite3"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(path)
    yield store
    anyio.run(close, store)


def make(store: SQLiteStore, *keys: str, ttl: int = 60) -> None:
    async def save() -> None:
        for key in keys:
            await store.save(key, Change({"a": b"1"}, (), 1_000, created=1_000), ttl)

    anyio.run(save)


def write(**data: Any) -> Callable[[Session], None]:
    return lambda session: session.update(data)


def asked(path: Path, question: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as db:
        return [value for (value,) in db.execute(question)]


def beside(path: Path) -> set[str]:
    return {file.name for file in path.parent.iterdir()}


# The file


def test_the_file_is_made_at_the_first_use(store: SQLiteStore, path: Path) -> None:
    assert beside(path) == set()
    assert anyio.run(store.load, KEY) is None
    make(store, KEY)
    assert beside(path) == {path.name, path.name + "-wal", path.name + "-shm"}
    assert asked(path, "PRAGMA journal_mode") == ["wal"]


def test_sessions_outlive_the_process(store: SQLiteStore, path: Path) -> None:
    make(store, KEY)
    anyio.run(close, store)
    assert beside(path) == {path.name}
    other = SQLiteStore(str(path))
    assert anyio.run(other.load, KEY) == RECORD
    anyio.run(close, other)


def test_a_relative_path_stays_what_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = SQLiteStore("ä b%20?mode=memory#.db")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir("folder")
    make(store, KEY)
    anyio.run(close, store)
    assert beside(tmp_path / "folder") == {"folder", "ä b%20?mode=memory#.db"}


MAKING = """
import sys, anyio
from middleware import SQLiteStore
from middleware.sessions import Change

for path in sys.stdin:
    anyio.run(SQLiteStore(path.strip()).save, sys.argv[1], Change({"a": b"1"}, (), 1_000, created=1_000), 60)
"""


def test_processes_that_start_together_make_the_file_once(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.sqlite3" for number in range(10)]
    command = [sys.executable, "-W", "ignore", "-c", MAKING]
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([*command, f"{number:064}"], cwd=ROOT, **pipes) for number in range(4)]  # type: ignore[call-overload]
    for file in files:
        for process in processes:
            process.stdin.write(f"{file}\n")
            process.stdin.flush()
    assert [process.communicate(timeout=40)[1] for process in processes] == [""] * 4
    assert [asked(file, "SELECT count(*) FROM session") for file in files] == [[4]] * 10


# Sweeping


def test_each_new_session_takes_ten_expired_ones_along(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=1_000_000.0)
    monkeypatch.setattr(sqlite, "time", SimpleNamespace(time=lambda: clock.now))
    make(store, *[f"old {number}" for number in range(25)], ttl=10)
    make(store, "alive", ttl=100)
    clock.now += 10
    anyio.run(store.touch, "alive", 1_000, 100)
    anyio.run(store.save, "alive", Change({"b": b"2"}, (), 1_000), 100)
    assert asked(path, "SELECT count(*) FROM session") == [26]
    for number, left in enumerate([17, 8, 4, 5]):
        make(store, f"new {number}", ttl=100)
        assert asked(path, "SELECT count(*) FROM session") == [left]
        assert asked(path, "SELECT count(*) FROM field") == [left + 1]
    assert anyio.run(store.load, "alive") == Record({"a": b"1", "b": b"2"}, 1_000, 1_000)


# A database in use


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Another one writes to the database."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield db


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> float:
    """For how many seconds the store waits for another writer."""
    monkeypatch.setattr(sqlite, "_WAIT", 0.3)
    return 0.3


def test_a_reader_does_not_wait_for_another_writer(wait: float, store: SQLiteStore, path: Path) -> None:
    make(store, KEY)
    with locked(path):
        assert anyio.run(store.load, KEY) == RECORD


def test_a_writer_waits_for_another_one(store: SQLiteStore, path: Path) -> None:
    make(store, KEY)
    with locked(path) as db:
        threading.Timer(0.2, db.execute, ["ROLLBACK"]).start()
        assert anyio.run(store.save, KEY, Change({"b": b"2"}, (), 1_000), 60)
        assert not db.in_transaction
    assert anyio.run(store.load, KEY) == Record({"a": b"1", "b": b"2"}, 1_000, 1_000)


def test_a_database_that_stays_locked_is_an_error_of_those_who_write(
    wait: float, store: SQLiteStore, path: Path
) -> None:
    visitor = Visitor(store)
    anyio.run(visitor.visit, write(a=1))
    with locked(path):
        for page in (nothing, read):
            assert anyio.run(visitor.visit, page) == Answer(200, [], None)
        answer = anyio.run(visitor.visit, write(a=2))
    assert (answer.status, answer.cookies, type(answer.error)) == (500, [], SessionStoreError)
    assert str(answer.error) == "SQLite: database is locked"
    assert anyio.run(visitor.visit, write(b=3)) == Answer(200, [], None)
    assert anyio.run(visitor.data) == {"a": 1, "b": 3}


def test_those_who_wait_for_a_locked_database_do_not_wait_for_each_other(
    wait: float, store: SQLiteStore, path: Path
) -> None:
    make(store, KEY)
    ended: list[str] = []

    async def save() -> None:
        with pytest.raises(SessionStoreError):
            await store.save(KEY, Change({"b": b"2"}, (), 1_000), 60)
        ended.append("save")

    async def load() -> None:
        await store.load(KEY)
        ended.append("load")

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(save)
            await anyio.sleep(wait / 3)
            tasks.start_soon(load)

    with locked(path):
        began = time.monotonic()
        anyio.run(main)
        assert time.monotonic() - began < 3 * wait
    assert ended == ["load"] + ["save"] * 6


# What can be wrong


@pytest.mark.parametrize(
    "wrong", ["", ":memory:", None, 5, b"sessions.sqlite3", ["a"], "a\0b", Path("a\0b"), Path(), "FOLDER"], ids=repr
)
def test_what_is_no_file_is_refused(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="path=.* is not the path of a file"):
        SQLiteStore(tmp_path if wrong == "FOLDER" else wrong)


def no_folder(path: Path) -> Path:
    return path / "sessions.sqlite3"


def no_database(path: Path) -> Path:
    path.write_bytes(b"no database " * 1_000)
    return path


def half_a_database(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE other AS SELECT zeroblob(100000)")
    path.write_bytes(path.read_bytes()[:5_000])
    return path


def another_table(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE session (id)")
    return path


@pytest.fixture(params=[no_folder, no_database, half_a_database, another_table], ids=lambda make: make.__name__)
def wrong(request: pytest.FixtureRequest, path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(request.param(path))
    yield store
    anyio.run(close, store)


def test_a_file_that_cannot_be_used_is_an_error_of_those_who_need_it(wrong: SQLiteStore) -> None:
    known, new = Visitor(wrong, b"a" * 43), Visitor(wrong)
    for visitor, page in ((known, nothing), (new, nothing), (new, read)):
        assert anyio.run(visitor.visit, page) == Answer(200, [], None)
    for visitor, page in ((known, read), (new, write(a=1))):
        answer = anyio.run(visitor.visit, page)
        assert (answer.status, answer.cookies, type(answer.error)) == (500, [], SessionStoreError)
        assert str(answer.error).startswith("SQLite: ")


def test_a_file_that_is_no_database_stays_what_it_is(path: Path) -> None:
    store = SQLiteStore(no_database(path))
    before = path.read_bytes()
    with pytest.raises(SessionStoreError):
        make(store, KEY)
    assert path.read_bytes() == before
    anyio.run(close, store)


def test_a_file_that_cannot_be_used_leaves_nothing_open(wrong: SQLiteStore) -> None:
    def tried(times: int) -> int:
        for _ in range(times):
            with pytest.raises(SessionStoreError):
                anyio.run(wrong.load, KEY)
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    assert tried(1) >= tried(20)


def test_a_file_that_is_there_again_is_used(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "folder" / "sessions.sqlite3")
    with pytest.raises(SessionStoreError):
        make(store, KEY)
    (tmp_path / "folder").mkdir()
    make(store, KEY)
    assert anyio.run(store.load, KEY) == RECORD
    anyio.run(close, store)


def deleted(path: Path) -> None:
    for file in [*path.parent.iterdir()]:
        file.unlink()


def replaced(path: Path) -> None:
    """Another database is put in its place, as a backup would be that is played back."""
    deleted(path)
    other = SQLiteStore(path.with_name("other"))
    make(other, "other")
    anyio.run(close, other)
    os.replace(path.with_name("other"), path)


@pytest.mark.parametrize(("change", "there"), [(deleted, None), (replaced, RECORD)], ids=["deleted", "replaced"])
def test_a_file_that_was_deleted_or_replaced_is_opened_anew(
    store: SQLiteStore, path: Path, change: Callable[[Path], None], there: Record | None
) -> None:
    make(store, KEY)
    change(path)
    assert anyio.run(store.load, KEY) is None
    assert anyio.run(store.load, "other") == there
    make(store, KEY)
    assert anyio.run(store.load, KEY) == RECORD
    assert asked(path, "SELECT count(*) FROM session") == [1 if there is None else 2]
    assert opened_files(path) <= {path.name, f"{path.name}-wal", f"{path.name}-shm"}


def opened_files(path: Path) -> set[str]:
    """The names of files beside the database that this process has open, as they are now."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            file = Path(os.readlink(f"/proc/self/fd/{number}"))
            if file.parent == path.parent:
                found.add(file.name)
    return found


def test_nothing_stays_open_when_the_store_is_garbage(path: Path) -> None:
    store = SQLiteStore(path)
    make(store, KEY)
    assert opened_files(path) == {path.name, f"{path.name}-wal", f"{path.name}-shm"}
    del store
    deadline = time.monotonic() + 5
    while opened_files(path) and time.monotonic() < deadline:  # the thread that worked last may still refer to it
        gc.collect()
        time.sleep(0.01)
    assert opened_files(path) == set()


def test_nothing_is_open_in_a_fork(store: SQLiteStore, path: Path) -> None:
    make(store, KEY)
    assert opened_files(path)
    inside, outside = os.pipe()
    child = os.fork()
    if not child:
        os.write(outside, b"%d" % len(opened_files(path)))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(inside, 10) == b"0"
    for end in (inside, outside):
        os.close(end)
    assert anyio.run(store.load, KEY) == RECORD


def test_a_file_that_is_damaged_in_use_is_an_error(store: SQLiteStore, path: Path) -> None:
    keys = [f"{number:064}" for number in range(500)]
    make(store, *keys)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path.write_bytes(b"\xff" * path.stat().st_size)
    with pytest.raises(SessionStoreError, match="^SQLite: "):
        for key in keys:
            anyio.run(store.load, key)


def test_a_change_that_fails_is_not_half_made(store: SQLiteStore) -> None:
    make(store, KEY)
    with pytest.raises(SessionStoreError):
        anyio.run(store.save, KEY, Change({"b": b"2", "c": object()}, ["a"], 1_001), 60)  # type: ignore[dict-item]
    assert anyio.run(store.load, KEY) == RECORD
    assert anyio.run(store.touch, KEY, 1_001, 60)


FULL = """
import asyncio, resource, sys
from middleware import SQLiteStore
from middleware.sessions import Change, Record, SessionStoreError

store, key = SQLiteStore(sys.argv[1]), sys.argv[2]

def save(name, value):
    return asyncio.run(store.save(key, Change({name: value}, (), 1_000), 60))

asyncio.run(store.save(key, Change({"a": b"1"}, (), 1_000, created=1_000), 60))
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
for value in (bytes(100), bytes(1_000_000), bytes(1_000_000)):
    try:
        save("b", value)
    except SessionStoreError as error:
        print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert save("c", b"3")
assert asyncio.run(store.load(key)) == Record({"a": b"1", "b": bytes(100), "c": b"3"}, 1_000, 1_000)
"""


def test_a_full_disk_is_an_error_until_there_is_room(path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FULL, path, KEY]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert ran.stderr == ""
    assert [line.partition(" ")[0] for line in ran.stdout.splitlines()] == ["SQLite:"] * 2
