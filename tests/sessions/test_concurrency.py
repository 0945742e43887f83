"""Requests of one visitor at once: in one event loop, in several, in several processes."""

from __future__ import annotations

import asyncio
import copy
import json
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from middleware import Session, SQLiteStore
from middleware.sessions import Change, Record, cookie_keeper, keeper, memory, sqlite, store_keeper
from tests.asgi import BODY, START, http_scope

from .servers import RedisServer, Visitor, close, new_store, redis_server

Steps = list[tuple[str, int, str, Any]]  # what to do, with which request, key, value

KEY = "5e" * 32
WRITERS = 100
EVERYTHING = {"base": b"0", **{f"n{number}": b"1" for number in range(WRITERS)}}


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


# A hundred writers

SQLITE_WRITER = """
import sys, anyio
from middleware import SQLiteStore
from middleware.sessions import Change

async def main(path, key, first, last):
    store = SQLiteStore(path)
    await store.load(key)
    print("ready", flush=True)
    sys.stdin.readline()
    async with anyio.create_task_group() as writers:
        for number in range(first, last):
            writers.start_soon(store.save, key, Change({f"n{number}": b"1"}, (), 1_000), 60)

anyio.run(main, sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
"""
ROOT = Path(__file__).parents[2]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def write_all(store: Any, numbers: range) -> None:
    async with anyio.create_task_group() as writers:
        for number in numbers:
            writers.start_soon(store.save, KEY, Change({f"n{number}": b"1"}, (), 1_000), 60)


async def make(store: Any) -> None:
    await store.save(KEY, Change({"base": b"0"}, (), 1_000, created=1_000), 60)


@pytest.mark.parametrize("kind", ["memory", "sqlite", "redis"])
def test_a_hundred_writers_lose_nothing(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    store = new_store(kind, tmp_path, lambda: request.getfixturevalue("redis"))

    async def main() -> None:
        visitor = Visitor(store)
        await visitor.visit(lambda session: session.update(base=0))
        loaded, all_loaded = count(1), anyio.Event()

        async def write(number: int) -> None:
            async def page(session: Session) -> None:
                if next(loaded) == WRITERS:
                    all_loaded.set()
                await all_loaded.wait()
                session[f"n{number}"] = 1

            await Visitor(store, visitor.cookie).visit(page)

        async with anyio.create_task_group() as writers:
            for number in range(WRITERS):
                writers.start_soon(write, number)
        assert await visitor.data() == {"base": 0, **{f"n{number}": 1 for number in range(WRITERS)}}
        await close(store)

    asyncio.run(main())


async def test_redis_is_asked_once_by_each_of_a_hundred_writers(redis: RedisServer, tmp_path: Path) -> None:
    store = new_store("redis", tmp_path, lambda: redis)
    await make(store)
    await anyio.to_thread.run_sync(redis.ask, "CONFIG", "RESETSTAT")
    await write_all(store, range(WRITERS))
    stats = await anyio.to_thread.run_sync(redis.ask, "INFO", "commandstats")
    connecting = ("cmdstat_client|", "cmdstat_hello", "cmdstat_info", "cmdstat_config|")
    calls = {name: stats[name]["calls"] for name in stats if not name.startswith(connecting)}
    assert await store.load(KEY) == Record(EVERYTHING, 1_000, 1_000)
    await close(store)
    # Redis counts what the script does, too.
    inside = {"cmdstat_exists": WRITERS, "cmdstat_hset": 2 * WRITERS, "cmdstat_pexpire": WRITERS}
    assert calls == {"cmdstat_eval": WRITERS, **inside}


def test_a_hundred_writers_in_four_processes_lose_nothing_in_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite3"
    store = SQLiteStore(path)
    asyncio.run(make(store))
    share = WRITERS // 4
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", SQLITE_WRITER, path, KEY, str(first), str(first + share)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for first in range(0, WRITERS, share)
    ]
    for writer in writers:
        assert writer.stdout and writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.communicate("go\n", timeout=30)
    assert [writer.returncode for writer in writers] == [0, 0, 0, 0]
    assert asyncio.run(store.load(KEY)) == Record(EVERYTHING, 1_000, 1_000)
    asyncio.run(close(store))


@pytest.mark.parametrize("kind", ["memory", "sqlite", "redis"])
def test_event_loops_in_two_threads_share_a_store(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    store = new_store(kind, tmp_path, lambda: request.getfixturevalue("redis"))
    together = threading.Barrier(2, timeout=10)
    failures: list[BaseException] = []

    async def main(numbers: range) -> None:
        for number in numbers:
            await store.save(KEY, Change({f"n{number}": b"1"}, (), 1_000), 60)
            await store.load(KEY)
        await write_all(store, numbers)
        if kind == "redis":
            await close(store)

    def run(numbers: range) -> None:
        together.wait()
        try:
            asyncio.run(main(numbers))
        except BaseException as error:
            failures.append(error)

    async def begin() -> None:
        await make(store)
        if kind == "redis":
            await close(store)

    asyncio.run(begin())
    threads = [threading.Thread(target=run, args=[numbers]) for numbers in (range(50), range(50, WRITERS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failures

    async def end() -> None:
        assert await store.load(KEY) == Record(EVERYTHING, 1_000, 1_000)
        await close(store)

    asyncio.run(end())


# Forks

FORKING = """
import asyncio, os, signal, subprocess, sys, threading, time
from middleware import SQLiteStore
from middleware.sessions import Change

path, key, moment, other = sys.argv[1:]
store = SQLiteStore(path)

async def write(name):
    for number in range(10):
        assert await store.save(key, Change({f"{name}{number}": b"1"}, (), 1_000), 60)

asyncio.run(store.save(key, Change({}, (), 1_000, created=1_000), 60))
if moment == "another thread waits":
    lock = subprocess.Popen([sys.executable, "-c", other, path], stdout=subprocess.PIPE)
    lock.stdout.readline()
    threading.Thread(target=lambda: asyncio.run(write("thread"))).start()
    time.sleep(0.3)
parent, children = os.getpid(), []
written, told = os.pipe()
for name in "abcd":
    process = os.fork()
    if process:
        children.append(process)
        continue
    signal.alarm(10)
    asyncio.run(write(name))
    os.write(told, b"1")
    while moment == "the parent ends" and os.getppid() == parent:
        time.sleep(0.01)
    asyncio.run(write(name + "again"))
    os._exit(0)
asyncio.run(write("parent"))
if moment == "the parent ends":
    for process in children:
        os.read(written, 1)
    sys.exit()
for process in children:
    os.waitpid(process, 0)
"""
LOCKING = """
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print(flush=True)
time.sleep(1)
"""


@pytest.mark.parametrize(
    ("moment", "writers"), [("all write", 9), ("another thread waits", 10), ("the parent ends", 9)], ids=lambda one: one
)
def test_a_sqlite_store_survives_a_fork(moment: str, writers: int, tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite3"
    command = [sys.executable, "-W", "ignore", "-c", FORKING, path, KEY, moment, LOCKING]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert printed.stderr == ""
    store = SQLiteStore(path)
    fields = asyncio.run(store.load(KEY)).fields
    asyncio.run(close(store))
    assert len(fields) == 10 * writers


# Against a model


class Flight:
    """A request under way: begun, and held where the application does what it is told."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._steps: asyncio.Queue[Callable[[Any], Awaitable[None]] | None] = asyncio.Queue()
        self._done = asyncio.Event()

    async def begin(self) -> None:
        scope = http_scope(headers=self._visitor.headers())
        self._task = asyncio.create_task(self._visitor.call(self._application, scope))
        await self._done.wait()

    async def do(self, step: Callable[[Any], Awaitable[None]]) -> None:
        """Let the application do something with its ``send``."""
        self._done.clear()
        self._steps.put_nowait(step)
        done = asyncio.create_task(self._done.wait())
        await asyncio.wait([done, self._task], return_when=asyncio.FIRST_COMPLETED)
        assert done.done(), self._task.result().error

    async def end(self) -> None:
        self._steps.put_nowait(None)
        answer = await self._task
        assert answer.error is None, answer.error

    async def _application(self, scope: Any, receive: Any, send: Any) -> None:
        self.session = scope["session"]
        self._done.set()
        while step := await self._steps.get():
            await step(send)
            self._done.set()


@dataclass
class Kept:
    """A session as the store has it, or a cookie."""

    data: dict[str, Any]
    created: int
    seen: int
    ended: bool = False


@dataclass
class Request:
    """A request as the model has it; ``key`` is None if its session is not kept."""

    client: int
    flight: Flight
    has_cookie: bool
    key: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)
    seen: int = 0
    carried: tuple[str, dict[str, Any]] | None = None  # the session whose data goes on in another, as it came
    ended: list[str] = field(default_factory=list)
    accessed: bool = False
    touched: bool = False  # since it was kept
    modified: bool = False
    cleared: bool = False
    shown: list[Any] = field(default_factory=list)  # what can be changed in place, and the same of the model
    started: bool = False
    cookie: list[str | None] = field(default_factory=list)  # what it is to be, if it changes

    @property
    def session(self) -> Session:
        return self.flight.session

    def touch(self, *, modified: bool = False) -> None:
        self.accessed = self.touched = True
        self.modified |= modified

    def read(self, key: str) -> None:
        value, expected = self.session.get(key), self.data.get(key)
        assert value == expected
        self.touch()
        if isinstance(value, list | dict):
            self.shown += [value, expected]

    def write(self, key: str, value: Any) -> None:
        self.session[key] = copy.deepcopy(value)
        self.data[key] = copy.deepcopy(value)
        self.touch(modified=True)

    def write_inside(self) -> None:
        for value in self.shown[-2:]:
            value.append({"n": 1}) if isinstance(value, list) else value.update(n=[*value.get("n", []), 1])

    def delete(self, key: str) -> None:
        self.session.pop(key, None)
        self.touch(modified=key in self.data)
        self.data.pop(key, None)

    def clear(self) -> None:
        self.session.clear()
        self.data.clear()
        self.cleared = True
        self.touch(modified=True)

    def logout(self) -> None:
        self.session.invalidate()
        self.data.clear()
        self.carried, self.cleared = None, True
        self.end()

    def regenerate(self) -> None:
        if self.started:
            with pytest.raises(RuntimeError, match="before the response begins"):
                self.session.regenerate()
            return
        self.session.regenerate()
        if self.key:
            self.carried = self.key, self.before
        self.end()

    def end(self) -> None:
        self.touch(modified=True)
        if self.key:
            self.ended.append(self.key)
            self.cookie.clear()
        self.key, self.before, self.seen = None, {}, 0


class Model:
    """Two browsers, whose requests overlap."""

    def __init__(self, run: Callable[[Any], Any], store: Any, wait: Callable[[int], None], clock: Any) -> None:
        self.run, self.store, self.wait, self.clock = run, store, wait, clock
        settings = {"idle_timeout": IDLE, "absolute_timeout": ABSOLUTE, "secret_key": None if store else "s" * 32}
        self.visitors = [Visitor(store, **settings) for _ in range(2)]
        self.observers = [Visitor(store, **settings) for _ in range(2)]
        self.held: list[str | None] = [None, None]  # the keys of their sessions
        self.kept: dict[str, Kept] = {}
        self.open: list[Request] = []

    def keep(self, request: Request) -> None:
        """Do what a request does to what is kept."""
        raise NotImplementedError

    def check(self) -> None:
        """Compare what is kept with what the browsers have, and the store."""
        raise NotImplementedError

    def alive(self, key: str | None) -> Kept | None:
        kept = self.kept.get(key or "")
        return kept if kept and not kept.ended and self.clock.now < self.expires(kept) else None

    def expires(self, kept: Kept) -> int:
        return min(kept.seen + IDLE, kept.created + ABSOLUTE)

    def begin(self, client: int) -> Request:
        visitor, key = self.visitors[client], self.held[client]
        request = Request(client, Flight(visitor), visitor.cookie is not None)
        self.run(request.flight.begin())
        kept = self.alive(key)
        if kept:
            request.key, request.seen = key, kept.seen
            request.data, request.before = copy.deepcopy(kept.data), copy.deepcopy(kept.data)
        self.open.append(request)
        return request

    def save(self, request: Request) -> None:
        request.read("a")
        self.run(request.session.save())
        self.keep(request)

    def start(self, request: Request) -> None:
        if request.started:
            return
        self.run(request.flight.do(lambda send: send(START)))
        if request.accessed:
            self.keep(request)
            for cookie in request.cookie:
                self.held[request.client] = cookie
        request.started = True

    def finish(self, request: Request) -> None:
        if request.started:
            self.run(request.flight.do(lambda send: send(BODY)))
        self.run(request.flight.end())
        self.open.remove(request)
        if request.started and (request.touched or request.shown):
            self.keep(request)

    def follow(self, steps: Steps) -> None:
        """Do what is told: with one of the requests that are open, with one that begins, or to the clock."""
        first = self.begin(0)
        first.write("a", 0)
        first.write("b", [1])
        self.start(first)
        for action, number, key, value in steps:
            if action == "wait":
                self.wait([100, 350, 400, 1_000][number])
            elif action == "begin" and len(self.open) < 3:
                self.begin(number // 3)
            elif action.startswith("visit"):
                request = self.begin(number // 3)
                self.act(request, action.removeprefix("visit and "), key, value)
                self.start(request)
                self.finish(request)
            elif self.open:
                self.act(self.open[number % len(self.open)], action, key, value)
            if action in ("wait", "start", "finish", "save") or action.startswith("visit"):
                self.check()
        while self.open:
            self.finish(self.open[0])
            self.check()

    def act(self, request: Request, action: str, key: str, value: Any) -> None:
        if action == "write":
            request.write(key, value)
        elif action in ("read", "delete"):
            getattr(request, action)(key)
        elif action in ("start", "finish", "save"):
            getattr(self, action)(request)
        elif action != "begin":
            getattr(request, action)()


class CookieModel(Model):
    """Cookies with all data: the one that came last counts."""

    def expires(self, kept: Kept) -> int:
        return super().expires(kept) + 1  # seconds are whole, and the last one is within

    def begin(self, client: int) -> Request:
        request = super().begin(client)
        request.read("a")  # as late as then the cookie is read, and may have expired
        return request

    def save(self, request: Request) -> None:
        with pytest.raises(RuntimeError, match="only a session in a store"):
            self.run(request.session.save())

    def keep(self, request: Request) -> None:
        now = int(self.clock.now)
        if request.started:
            return
        if request.data and ([*request.data.items()] != [*request.before.items()] or now - request.seen >= IDLE / 10):
            created = self.kept[request.key].created if request.key else now
            request.cookie = [f"cookie {len(self.kept)}"]
            self.kept[f"cookie {len(self.kept)}"] = Kept(copy.deepcopy(request.data), created, now)
        elif not request.data and request.modified and request.has_cookie:
            request.cookie = [None]

    def check(self) -> None:
        for visitor, observer, key in zip(self.visitors, self.observers, self.held, strict=True):
            observer.cookie, kept = visitor.cookie, self.alive(key)
            assert self.run(observer.data()) == (kept.data if kept else {})


class StoreModel(Model):
    """Sessions in a store: each field is what was written last, what has ended stays ended."""

    def keep(self, request: Request) -> None:
        request.touched = False
        if request.cleared and not request.data:
            request.end()
        if request.key:
            self.change(request)
        elif request.data:
            self.make(request)
        elif request.modified and request.has_cookie:
            request.cookie = [None]
        while request.ended:
            self.kept[request.ended.pop()].ended = True

    def change(self, request: Request) -> None:
        now, kept = int(self.clock.now), self.alive(request.key)
        changed = {key: value for key, value in request.data.items() if request.before.get(key, ...) != value}
        gone = request.before.keys() - request.data.keys()
        due = not request.started and now - request.seen >= IDLE / 10
        if kept and (changed or gone or due):
            kept.data = {key: value for key, value in kept.data.items() if key not in gone} | copy.deepcopy(changed)
            request.before = copy.deepcopy(request.data)
            if due:
                kept.seen = request.seen = now
                request.cookie = [request.key]

    def make(self, request: Request) -> None:
        now, made = int(self.clock.now), request.session.visit.key
        carried, before = request.carried or (None, {})
        former = self.alive(carried)
        assert (made is not None) == ((former is not None or not carried) and not request.started)
        if made:
            assert made not in self.kept
            others = former.data if former else {}
            others = {key: value for key, value in others.items() if key not in before.keys() - request.data.keys()}
            mine = {key: value for key, value in request.data.items() if before.get(key, ...) != value}
            self.kept[made] = Kept(others | copy.deepcopy(mine), now, now)
            request.key, request.seen, request.before = made, now, copy.deepcopy(request.data)
            request.carried, request.cookie = None, [made]

    def check(self) -> None:
        for visitor, key in zip(self.visitors, self.held, strict=True):
            assert (visitor.cookie and sha256(visitor.cookie).hexdigest()) == key
        for key, kept in self.kept.items():
            record = self.run(self.store.load(key))
            assert (record is not None) == (self.alive(key) is not None)
            if record is not None:
                assert {name: json.loads(value) for name, value in record.fields.items()} == kept.data
                assert (record.created, record.seen) == (kept.created, kept.seen)


# The clock goes on by a tenth of the idle time at least, so that every request from before is worth a renewal.
IDLE, ABSOLUTE = 1_000, 1_200
ACTIONS = [
    *("begin", "begin", "write", "write", "read", "read", "write_inside", "delete", "clear", "logout", "regenerate"),
    *("save", "start", "start", "finish", "finish", "wait", "wait", "wait"),
    *("visit and write", "visit and read", "visit and delete", "visit and logout", "visit and regenerate"),
]
VALUES: list[Any] = [0, 1, None, "ä", [], [1], {"n": []}]
STEPS = st.tuples(st.sampled_from(ACTIONS), st.integers(0, 3), st.sampled_from("abc"), st.sampled_from(VALUES))


ORDERS = [
    "begin, visit and logout, regenerate, regenerate, start, finish",
    "begin, visit and logout, regenerate, logout, write, start, finish",
    "begin, visit and logout, regenerate, start, read, finish",
    "begin, visit and logout, visit and write, regenerate, start, finish",
    "begin, wait, save, regenerate, visit and logout, visit and write, start, finish",
    "begin, regenerate, save, clear, save, write, start, finish",
    "begin, wait, wait, wait, write, start, finish",
    "begin, visit and write, regenerate, start, finish",
]


@pytest.fixture
def follow(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Steps], None]]:
    """What follows steps, with a model of its own each time, on one store."""
    clock = SimpleNamespace(now=1_000_000_000.0)
    for module in (cookie_keeper, keeper, memory, sqlite, store_keeper):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: clock.now))
    model = CookieModel if kind == "cookie" else StoreModel
    store = None if kind == "cookie" else new_store(kind, tmp_path, lambda: request.getfixturevalue("redis"))

    def wait(seconds: int) -> None:
        clock.now += seconds
        if kind == "redis":
            request.getfixturevalue("redis").wait(seconds)

    with asyncio.Runner() as runner:
        yield lambda steps: model(runner.run, store, wait, clock).follow(steps)
        runner.run(close(store))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", ["memory", "sqlite", "redis"])
def test_a_session_goes_on_in_one_other_or_in_none(order: str, follow: Callable[[Steps], None]) -> None:
    follow([(action, 1, "a", 1) for action in order.split(", ")])


@pytest.mark.parametrize(("kind", "examples"), [("cookie", 75), ("memory", 150), ("sqlite", 20), ("redis", 40)])
def test_no_order_of_events_loses_a_write_or_revives_a_session(
    kind: str, examples: int, follow: Callable[[Steps], None]
) -> None:
    # To shrink what fails takes hundreds of runs: too long where they wait for a disk or a server.
    phases = {Phase.reuse, Phase.generate} | ({Phase.shrink} if kind in ("cookie", "memory") else set())
    checked = [HealthCheck.too_slow]
    settings(max_examples=examples, phases=phases, deadline=None, suppress_health_check=checked)(
        given(st.lists(STEPS, min_size=20, max_size=60))(lambda steps: follow(steps))
    )()
