"""Redis that is killed, frozen, emptied, slow: every request is answered in time, and nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.to_thread
import pytest
import uvloop

from middleware import ConfigurationError, RedisStore, Session
from middleware.sessions import Change, Record, SessionStoreError, store_keeper
from middleware.sessions import redis as redis_store
from tests.asgi import BODY, CONNECT, START, http_scope, websocket_scope

from .servers import Answer, RedisServer, Visitor, close, new_store, nothing, read, redis_server

KEY = "5e" * 32
IN_TIME = 1.0  # seconds; the store takes 0.25 of them, a busy machine the rest
MANY = 50  # as many as there can be connections


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path, keeps=True) as server:
        yield server


@pytest.fixture
def opened(redis: RedisServer) -> Any:
    return new_store("redis", Path(), lambda: redis)


@pytest.fixture
async def store(opened: Any) -> AsyncIterator[Any]:
    yield opened
    await close(opened)


async def happen(event: Callable[[], Any]) -> None:
    await anyio.to_thread.run_sync(event)


def write(**data: Any) -> Callable[[Session], None]:
    return lambda session: session.update(data)


def freeze(server: RedisServer) -> None:
    server.freeze()


def kill(server: RedisServer) -> None:
    server.kill()


def recover(server: RedisServer, outage: Callable[[RedisServer], None]) -> None:
    """Let it answer again, with what it had."""
    server.thaw() if outage is freeze else server.start()


outages = pytest.mark.parametrize("outage", [freeze, kill])


# Out of order


@outages
async def test_every_request_is_answered_in_an_outage(
    store: Any, redis: RedisServer, outage: Callable[[RedisServer], None]
) -> None:
    visitor = Visitor(store)
    await visitor.visit(write(a=1))
    await happen(lambda: outage(redis))
    answers: dict[str, Answer] = {}

    async def visit(name: str, page: Any, cookie: bytes | None) -> None:
        answers[name] = await Visitor(store, cookie).visit(page)

    with anyio.fail_after(IN_TIME):
        async with anyio.create_task_group() as visits:
            for number in range(10):
                visits.start_soon(visit, f"untouched {number}", nothing, visitor.cookie)
                visits.start_soon(visit, f"read {number}", read, visitor.cookie)
                visits.start_soon(visit, f"begun {number}", write(a=1), None)
                visits.start_soon(visit, f"unknown {number}", nothing, None)
    for name, answer in answers.items():
        if name.startswith(("read", "begun")):
            assert (answer.status, answer.cookies, type(answer.error)) == (500, [], SessionStoreError)
        else:
            assert answer == Answer(200, [], None)
    assert [*answers][:10] == [f"unknown {number}" for number in range(10)]  # they wait for nobody
    assert len(answers) == 40
    await happen(lambda: recover(redis, outage))


async def test_commands_that_wait_for_a_connection_are_answered_in_time_too(store: Any, redis: RedisServer) -> None:
    await store.load(KEY)
    for _ in range(6):
        await happen(redis.freeze)
        commands = [asyncio.create_task(store.load(KEY)) for _ in range(2 * MANY)]
        _, waiting = await asyncio.wait(commands, timeout=IN_TIME)
        await happen(redis.thaw)
        for command in waiting:
            command.cancel()
        errors = await asyncio.gather(*commands, return_exceptions=True)
        assert {type(error) for error in errors} == {SessionStoreError}


@outages
async def test_what_was_there_before_an_outage_is_there_after_it(
    store: Any, redis: RedisServer, outage: Callable[[RedisServer], None]
) -> None:
    visitor = Visitor(store)
    await visitor.visit(write(a=[1]))
    await happen(lambda: outage(redis))
    answer = await visitor.visit(write(b=2))
    assert (answer.status, type(answer.error)) == (500, SessionStoreError)
    await happen(lambda: recover(redis, outage))
    assert await visitor.data() == {"a": [1]}
    assert await visitor.visit(write(b=3)) == Answer(200, [], None)
    assert await visitor.data() == {"a": [1], "b": 3}


@outages
async def test_all_is_well_within_a_second_after_an_outage(
    store: Any, redis: RedisServer, outage: Callable[[RedisServer], None]
) -> None:
    async def all_succeed() -> bool:
        commands = [store.save(KEY, Change({f"n{number}": b"1"}, (), 1_000), 60) for number in range(MANY)]
        return {True} == {*await asyncio.gather(*commands, return_exceptions=True)}

    await store.save(KEY, Change({}, (), 1_000, created=1_000), 60)
    with anyio.fail_after(5):
        while not await all_succeed():  # a machine under load may need longer than the store waits to connect them all
            pass
    await happen(lambda: outage(redis))
    assert not await all_succeed()
    await happen(lambda: recover(redis, outage))
    recovered = time.monotonic()
    while not await all_succeed():
        assert time.monotonic() - recovered < 1.0
    assert len((await store.load(KEY)).fields) == MANY


@outages
@pytest.mark.parametrize("recovers", [False, True], ids=["goes on", "ends"])
async def test_a_websocket_is_told_in_time_and_saves_at_its_end(
    store: Any, redis: RedisServer, outage: Callable[[RedisServer], None], recovers: bool
) -> None:
    visitor = Visitor(store)
    await visitor.visit(write(a=1))

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await happen(lambda: outage(redis))
        scope["session"]["a"] = 2
        with pytest.raises(SessionStoreError), anyio.fail_after(IN_TIME):
            await scope["session"].save()
        if recovers:
            await happen(lambda: recover(redis, outage))

    answer = await visitor.call(application, websocket_scope(headers=visitor.headers()), CONNECT)
    assert answer.status == 101
    if recovers:
        assert answer.error is None
        assert await visitor.data() == {"a": 2}
    else:
        assert isinstance(answer.error, SessionStoreError)
        await happen(lambda: recover(redis, outage))


# In the middle of a request


@outages
@pytest.mark.parametrize("page", [write(a=2), Session.regenerate, Session.invalidate], ids=lambda page: page.__name__)
async def test_a_failure_to_save_is_no_answer_but_an_error_page(
    store: Any, redis: RedisServer, outage: Callable[[RedisServer], None], page: Callable[[Session], None]
) -> None:
    visitor = Visitor(store)
    await visitor.visit(write(a=1))
    before = visitor.cookie

    async def fails(session: Session) -> None:
        assert session["a"] == 1
        await happen(lambda: outage(redis))
        page(session)

    with anyio.fail_after(IN_TIME):
        answer = await visitor.visit(fails)
    assert (answer.status, answer.cookies, type(answer.error)) == (500, [], SessionStoreError)
    assert visitor.cookie == before
    await happen(lambda: recover(redis, outage))


@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
@pytest.mark.parametrize("puts", [False, True], ids=["writes", "puts another dict"])
async def test_the_error_page_of_the_application_gets_through(
    store: Any, redis: RedisServer, known: bool, puts: bool
) -> None:
    visitor = Visitor(store)
    if known:
        await visitor.visit(write(a=1))
    refused: list[int] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await happen(redis.kill)
        if puts:
            scope["session"] = {"b": 2}
        else:
            scope["session"]["b"] = 2
        for status in (200, 500):
            try:
                await send({**START, "status": status})
            except SessionStoreError:
                refused.append(status)
        await send(BODY)

    answer = await visitor.call(application, http_scope(headers=visitor.headers()))
    assert (answer, refused) == (Answer(500, [], None), [200])
    await happen(redis.start)
    assert await visitor.data() == ({"a": 1} if known else {})


async def test_the_error_page_gets_through_after_a_load_that_failed(store: Any, redis: RedisServer) -> None:
    await happen(redis.kill)
    refused: list[int] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        scope["session"] = {"b": 2}
        for status in (200, 500):
            try:
                await send({**START, "status": status})
            except SessionStoreError:
                refused.append(status)
        await send(BODY)

    visitor = Visitor(store, b"a" * 43)
    answer = await visitor.call(application, http_scope(headers=visitor.headers()))
    assert (answer, refused) == (Answer(500, [], None), [200])
    await happen(redis.start)


async def test_a_renewal_that_fails_is_logged_and_no_error(
    store: Any, redis: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    visitor = Visitor(store)
    await visitor.visit(write(a=1))
    monkeypatch.setattr(store_keeper, "time", SimpleNamespace(time=lambda: time.time() + 5 * 86_400))

    async def page(session: Session) -> None:
        assert session["a"] == 1
        await happen(redis.kill)

    assert await visitor.visit(page) == Answer(200, [], None)
    (logged,) = [record for record in caplog.records if record.name == "middleware.sessions"]
    assert logged.levelno == logging.WARNING
    assert "read, but not renewed" in logged.message
    await happen(redis.start)


async def test_a_redis_that_lost_everything_ends_the_sessions(store: Any, redis: RedisServer) -> None:
    visitor = Visitor(store)
    await visitor.visit(write(a=1))
    before = visitor.cookie

    async def page(session: Session) -> None:
        session["b"] = 2
        await happen(lambda: redis.ask("FLUSHALL"))

    assert await visitor.visit(page) == Answer(200, [], None)
    assert await visitor.data() == {}
    await visitor.visit(write(c=3))
    assert visitor.cookie != before
    assert await visitor.data() == {"c": 3}


# Slow


async def test_an_answer_within_the_budget_is_waited_for(store: Any, redis: RedisServer) -> None:
    await store.save(KEY, Change({"a": b"1"}, (), 1_000, created=1_000), 60)
    await happen(lambda: redis.ask("CLIENT", "PAUSE", 100))
    assert await store.load(KEY) == Record({"a": b"1"}, 1_000, 1_000)


async def test_an_answer_beyond_the_budget_is_an_error(store: Any, redis: RedisServer) -> None:
    await store.save(KEY, Change({"a": b"1"}, (), 1_000, created=1_000), 60)
    await happen(lambda: redis.ask("CLIENT", "PAUSE", 2_000))
    commands = [
        lambda: store.load(KEY),
        lambda: store.save(KEY, Change({}, (), 1_000), 60),
        lambda: store.touch(KEY, 1_000, 60),
        lambda: store.delete(KEY),
    ]
    for command in commands:
        began = time.monotonic()
        with pytest.raises(SessionStoreError, match="^Redis did not answer within 0.25 seconds$"):
            await command()
        assert 0.2 < time.monotonic() - began < IN_TIME


async def test_nobody_is_given_the_answer_to_a_cancelled_command(
    store: Any, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_store, "_BUDGET", 5.0)  # the machine may be busy
    keys = [f"{number:02}" * 32 for number in range(10)]
    for key in keys:
        await store.save(key, Change({"key": key.encode()}, (), 1_000, created=1_000), 60)
    for _ in range(3):
        await happen(redis.freeze)
        with anyio.move_on_after(0.05):
            async with anyio.create_task_group() as tasks:
                for key in keys:
                    tasks.start_soon(store.load, key)
        await happen(redis.thaw)
        records = await asyncio.gather(*map(store.load, keys))
        assert [record.fields["key"].decode() for record in records] == keys


async def test_cancelled_commands_leave_no_connection_taken(store: Any, redis: RedisServer) -> None:
    await store.save(KEY, Change({}, (), 1_000, created=1_000), 60)
    for number in range(4 * MANY):
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(store.load, KEY)
                for _ in range(number % 12):
                    await anyio.lowlevel.checkpoint()
                scope.cancel()
    await happen(lambda: redis.ask("CLIENT", "PAUSE", 60))
    records = await asyncio.gather(*[store.load(KEY) for _ in range(MANY)])
    assert records == [Record({}, 1_000, 1_000)] * MANY


@outages
async def test_an_outage_leaves_no_task_and_no_connection(
    store: Any, redis: RedisServer, outage: Callable[[RedisServer], None]
) -> None:
    tasks = asyncio.all_tasks()
    visitor = Visitor(store)
    await visitor.visit(write(a=1))
    await happen(lambda: outage(redis))
    answers = await asyncio.gather(*[Visitor(store, visitor.cookie).visit(read) for _ in range(MANY)])
    assert {type(answer.error) for answer in answers} == {SessionStoreError}
    assert asyncio.all_tasks() == tasks
    await happen(lambda: recover(redis, outage))
    assert await visitor.data() == {"a": 1}
    deadline = time.monotonic() + IN_TIME
    while (await anyio.to_thread.run_sync(redis.ask, "INFO", "clients"))["connected_clients"] > 2:
        assert time.monotonic() < deadline
        await anyio.sleep(0.01)


# What else goes wrong


@pytest.mark.parametrize(
    "limit", [("maxmemory", "1"), ("min-replicas-to-write", "1")], ids=["no memory left", "no replica"]
)
async def test_a_redis_that_refuses_to_write_is_an_error(
    store: Any, redis: RedisServer, limit: tuple[str, str]
) -> None:
    await store.save(KEY, Change({"a": b"1"}, (), 1_000, created=1_000), 60)
    await happen(lambda: redis.ask("CONFIG", "SET", *limit))
    with pytest.raises(SessionStoreError, match="^Redis: "):
        await store.save(KEY, Change({"b": b"2"}, (), 1_000), 60)
    assert await store.load(KEY) == Record({"a": b"1"}, 1_000, 1_000)


async def test_a_redis_that_wants_another_password_is_an_error(redis: RedisServer, opened: RedisStore) -> None:
    await happen(lambda: redis.ask("CONFIG", "SET", "requirepass", "right"))
    for url in (redis.url, redis.url.replace("//", "//:wrong@")):
        store = RedisStore(url)
        with pytest.raises(SessionStoreError) as caught:
            await store.load(KEY)
        assert "wrong" not in str(caught.value)
        await close(store)


FOREIGN: dict[str, list[Any]] = {
    "another type": ["SET", "x"],
    "no times": ["HSET", "d:a", "1"],
    "one time": ["HSET", "created", "1000", "d:a", "1"],
    "times that are none": ["HSET", "created", "now", "seen", "then"],
    "a name that is not UTF-8": ["HSET", "created", "1000", "seen", "1000", b"d:\xff", "1"],
    "a value that is not JSON": ["HSET", "created", str(int(time.time())), "seen", str(int(time.time())), "d:a", "{"],
}


@pytest.mark.parametrize("written", FOREIGN)
async def test_what_something_else_wrote_is_no_session_or_an_error_of_the_store(
    redis: RedisServer, store: Any, written: str, caplog: pytest.LogCaptureFixture
) -> None:
    command, *arguments = FOREIGN[written]
    visitor = Visitor(store)
    await visitor.visit(write(a=1))
    (key,) = await anyio.to_thread.run_sync(redis.ask, "KEYS", "*")
    await happen(lambda: [redis.ask("DEL", key), redis.ask(command, key, *arguments)])
    assert await visitor.visit(nothing) == Answer(200, [], None)
    answer = await visitor.visit(read)
    expected = (500, SessionStoreError) if written == "another type" else (200, type(None))
    assert (answer.status, type(answer.error)) == expected
    if written not in ("another type", "no times"):
        assert {record.levelno for record in caplog.records} == {logging.WARNING}
        told = "not one of ours" if written != "a value that is not JSON" else "is not JSON; it is left out"
        assert {told in record.getMessage() for record in caplog.records} == {True}


async def test_a_record_is_one_hash_that_expires(redis: RedisServer, opened: Any) -> None:
    store = RedisStore(redis.url, prefix="here:")
    await store.save(KEY, Change({"a": b"1"}, (), 1_001, created=1_000), 60)
    await close(store)
    assert await anyio.to_thread.run_sync(redis.ask, "KEYS", "*") == [b"here:" + KEY.encode()]
    fields = await anyio.to_thread.run_sync(redis.ask, "HGETALL", "here:" + KEY)
    assert fields == {b"created": b"1000", b"seen": b"1001", b"d:a": b"1"}
    assert 50_000 < await anyio.to_thread.run_sync(redis.ask, "PTTL", "here:" + KEY) <= 60_000


# Event loops


@pytest.mark.parametrize("outage", [False, True], ids=["well", "killed"])
def test_event_loops_after_each_other_leave_nothing_behind(redis: RedisServer, opened: Any, outage: bool) -> None:
    loops: list[weakref.ref[Any]] = []

    async def main() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await opened.save(KEY, Change({"a": b"1"}, (), 1_000, created=1_000), 60)
        assert await opened.load(KEY) == Record({"a": b"1"}, 1_000, 1_000)
        if outage:
            await asyncio.to_thread(lambda: [redis.kill(), redis.start()])  # the threads of anyio 4.11 keep the loop

    for _ in range(4):
        asyncio.run(main())
    asyncio.run(close(opened))
    gc.collect()
    assert [loop() for loop in loops[:-1]] == [None] * 3
    assert redis.ask("INFO", "clients")["connected_clients"] <= 2


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_the_connections_are_closed_with_their_event_loop(
    redis: RedisServer, opened: Any, loop_factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(opened.load(KEY))
        assert len(opened._loops) == 1
        assert redis.ask("INFO", "clients")["connected_clients"] == 2
    assert opened._loops == {}
    deadline = time.monotonic() + IN_TIME
    while redis.ask("INFO", "clients")["connected_clients"] > 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_loop_that_was_closed_without_its_generators_is_dropped(redis: RedisServer, opened: Any) -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(opened.load(KEY))
    loop.run_until_complete(opened._loops[loop][0].connection_pool.disconnect())
    loop.close()
    assert [*opened._loops] == [loop]
    forgotten = weakref.ref(loop)
    del loop
    with asyncio.Runner() as runner:
        runner.run(opened.load(KEY))
        gc.collect()
        assert [*opened._loops] == [runner.get_loop()]
        assert forgotten() is None


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_trio_is_told_that_it_cannot_be() -> None:
    visitor = Visitor(RedisStore("redis://127.0.0.1:1"), b"a" * 43)
    assert await visitor.visit(nothing) == Answer(200, [], None)
    answer = await visitor.visit(read)
    assert answer.status == 500
    assert isinstance(answer.error, SessionStoreError)
    assert str(answer.error) == "RedisStore needs asyncio: on trio, use another store"


# Configuration

WRONG = [
    *("", "localhost", "localhost:6379", "http://localhost", "redis//localhost", "redis://localhost:port", 6379, None),
    *(b"redis://localhost", ["redis://localhost"], "redis://:secret@localhost:99999"),
    *("redis://localhost?bogus=1", "redis://:secret@localhost/0?db=x", "redis://localhost?socket_timeout=soon"),
    *("rediss://:secret@localhost?ssl_cert_reqs=bogus", "rediss://localhost?bogus=1", "unix:///a.sock?bogus=1"),
]


@pytest.mark.parametrize("url", WRONG, ids=repr)
def test_what_is_no_address_is_refused(url: Any) -> None:
    with pytest.raises(ConfigurationError, match="is not the address of a Redis") as caught:
        RedisStore(url)
    assert "secret" not in str(caught.value)
    assert [problem.parameter for problem in caught.value.problems] == ["url"]


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        RedisStore("localhost", prefix=5)  # type: ignore[arg-type]
    assert [problem.parameter for problem in caught.value.problems] == ["url", "prefix"]


def test_the_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'asgi-middleware\[redis\]'") as caught:
        RedisStore("redis://:secret@localhost")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("option", ["decode_responses=true", "encoding=latin-1", "protocol=3", "max_connections=1"])
async def test_no_option_in_the_address_changes_what_is_kept(redis: RedisServer, opened: Any, option: str) -> None:
    store = RedisStore(f"{redis.url}?{option}")
    await store.save(KEY, Change({"ä": b"\xff"}, (), 1_000, created=1_000), 60)
    assert await store.load(KEY) == Record({"ä": b"\xff"}, 1_000, 1_000)
    await close(store)
