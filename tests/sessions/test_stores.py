"""What every store promises, and what SessionMiddleware makes of it: in memory, in SQLite, in a real Redis."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from middleware import Session
from middleware.sessions import Change, Record, SessionStoreError, cookie_keeper, keeper, memory, sqlite, store_keeper
from tests.asgi import BODY, CONNECT, START, http_scope, websocket_scope

from .servers import (
    Answer,
    Counting,
    Page,
    RedisServer,
    Visitor,
    close,
    new_store,
    nothing,
    read,
    redis_server,
)

STORES = ["memory", "sqlite", "redis"]
LOOPS: dict[str, tuple[str, dict[str, Any]]] = {
    "asyncio": ("asyncio", {}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}
ONCE = [(store, "asyncio") for store in STORES]

KEY = sha256(b"one").hexdigest()
OTHER = sha256(b"other").hexdigest()


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(
    params=[(store, loop) for store in STORES for loop in LOOPS if (store, loop) != ("redis", "trio")], ids="-".join
)
def place(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A store and an event loop."""
    return request.param


@pytest.fixture
def anyio_backend(place: tuple[str, str]) -> tuple[str, dict[str, Any]]:
    return LOOPS[place[1]]


@pytest.fixture
def opened(place: tuple[str, str], tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    return new_store(place[0], tmp_path, lambda: request.getfixturevalue("redis"))


@pytest.fixture
async def store(opened: Any) -> AsyncIterator[Any]:
    yield opened
    await close(opened)


@pytest.fixture
def counting(store: Any) -> Counting:
    return Counting(store)


def created(**fields: bytes) -> Change:
    return Change(fields, (), 1_000, created=1_000)


# The protocol


async def test_a_record_that_is_not_there_is_no_error(store: Any) -> None:
    assert await store.load(KEY) is None
    assert await store.touch(KEY, 1_000, 60) is False
    assert await store.save(KEY, Change({"a": b"1"}, (), 1_000), 60) is False
    await store.delete(KEY)
    assert await store.load(KEY) is None


async def test_a_record_is_what_was_saved(store: Any) -> None:
    assert await store.save(KEY, Change({"a": b"1", "b": b"[2]"}, (), 1_005, created=1_000), 60) is True
    assert await store.load(KEY) == Record({"a": b"1", "b": b"[2]"}, 1_000, 1_005)
    assert await store.load(OTHER) is None


async def test_a_change_leaves_alone_what_it_does_not_name(store: Any) -> None:
    await store.save(KEY, created(a=b"1", b=b"2", c=b"3"), 60)
    assert await store.save(KEY, Change({"b": b"20", "d": b"4"}, ["c", "not there"], 1_001), 60) is True
    assert await store.load(KEY) == Record({"a": b"1", "b": b"20", "d": b"4"}, 1_000, 1_001)
    assert await store.save(KEY, Change({}, {"a", "b", "d"}, 1_002), 60) is True
    assert await store.load(KEY) == Record({}, 1_000, 1_002)


async def test_a_touch_changes_nothing_but_when_it_was_seen(store: Any) -> None:
    await store.save(KEY, created(a=b"1"), 60)
    assert await store.touch(KEY, 1_007, 60) is True
    assert await store.load(KEY) == Record({"a": b"1"}, 1_000, 1_007)


async def test_a_record_made_again_has_nothing_of_the_former(store: Any) -> None:
    await store.save(KEY, created(a=b"1"), 60)
    await store.save(KEY, Change({"b": b"2"}, (), 2_000, created=2_000), 60)
    assert await store.load(KEY) == Record({"b": b"2"}, 2_000, 2_000)


async def test_a_record_that_was_deleted_does_not_come_back(store: Any) -> None:
    await store.save(KEY, created(a=b"1"), 60)
    await store.save(OTHER, created(a=b"other"), 60)
    await store.delete(KEY)
    assert await store.save(KEY, Change({"b": b"2"}, (), 1_001), 60) is False
    assert await store.touch(KEY, 1_001, 60) is False
    assert await store.load(KEY) is None
    assert await store.load(OTHER) == Record({"a": b"other"}, 1_000, 1_000)
    await store.save(KEY, created(c=b"3"), 60)
    assert await store.load(KEY) == Record({"c": b"3"}, 1_000, 1_000)


async def test_a_change_that_renews_nothing_leaves_the_times(store: Any) -> None:
    await store.save(KEY, created(a=b"1", b=b"2"), 60)
    assert await store.touch(KEY, 1_007, 60) is True
    assert await store.save(KEY, Change({"c": b"3"}, ["a"], None), 0) is True
    assert await store.load(KEY) == Record({"b": b"2", "c": b"3"}, 1_000, 1_007)
    assert await store.save(KEY, Change({}, ["b", "c"], None), 0) is True
    assert await store.load(KEY) == Record({}, 1_000, 1_007)
    assert await store.save(OTHER, Change({"a": b"1"}, (), None), 60) is False
    assert await store.load(OTHER) is None


@pytest.mark.parametrize("place", ONCE, indirect=True, ids="-".join)
async def test_a_record_expires(store: Any) -> None:
    for name in ("read", "written", "touched", "made again"):
        await store.save(name, created(a=b"1"), 1)
    for name in ("kept by a write", "kept by a touch", "not renewed", "gone"):
        await store.save(name, created(a=b"1"), 1)
    for name in ("shortened", "not shortened"):
        await store.save(name, created(a=b"1"), 60)
    await store.save("not renewed", Change({"b": b"2"}, (), None), 60)
    await store.save("not shortened", Change({"b": b"2"}, (), None), 1)
    await store.save("kept by a write", Change({"b": b"2"}, (), 1_001), 60)
    await store.touch("kept by a touch", 1_001, 60)
    await store.touch("shortened", 1_001, 1)
    await anyio.sleep(1.1)
    assert await store.load("read") is None
    assert await store.load("shortened") is None
    assert await store.load("not renewed") is None
    assert await store.load("not shortened") == Record({"a": b"1", "b": b"2"}, 1_000, 1_000)
    assert await store.save("gone", Change({"b": b"2"}, (), None), 60) is False
    assert await store.load("gone") is None
    assert await store.save("written", Change({"b": b"2"}, (), 1_001), 60) is False
    assert await store.touch("touched", 1_001, 60) is False
    assert await store.save("made again", created(b=b"2"), 60) is True
    assert await store.load("made again") == Record({"b": b"2"}, 1_000, 1_000)
    assert await store.load("kept by a write") == Record({"a": b"1", "b": b"2"}, 1_000, 1_001)
    assert await store.load("kept by a touch") == Record({"a": b"1"}, 1_000, 1_001)


NAMES = [
    *("", " ", "a", "A", "ä", "a\u0308", "€", "😀", "\x00", "a\x00", "a\x00b", "\n", "\ud800", "n" * 10_000),
    *("created", "seen", "d:", "d:a", "key", "%s", "?", "'", "');--", "*", "[a]", "{a}", "0", "1", "-1"),
]


async def test_any_key_is_that_of_one_value(store: Any) -> None:
    fields = {name: json.dumps(name).encode() for name in NAMES}
    await store.save(KEY, Change(fields, (), 1_000, created=1_000), 60)
    assert await store.load(KEY) == Record(fields, 1_000, 1_000)
    for name in NAMES:
        assert await store.save(KEY, Change({}, [name], 1_000), 60)
        del fields[name]
        assert await store.load(KEY) == Record(fields, 1_000, 1_000)


VALUES = [b"", b"\x00", bytes(range(256)), b"\r\n", b"$-1\r\n", b"\xff\xfe", b"0", b"'", b"v" * 1_000_000]


async def test_any_bytes_are_a_value(store: Any) -> None:
    fields = {str(number): value for number, value in enumerate(VALUES)}
    await store.save(KEY, Change(fields, (), 1_000, created=1_000), 60)
    assert await store.load(KEY) == Record(fields, 1_000, 1_000)


async def test_thousands_of_fields_change_at_once(store: Any) -> None:
    fields = {f"n{number}": b"%d" % number for number in range(5_000)}
    await store.save(KEY, Change(fields, (), 1_000, created=1_000), 60)
    assert await store.load(KEY) == Record(fields, 1_000, 1_000)
    names = [*fields]
    changed = dict.fromkeys(names[:2000], b"changed")
    assert await store.save(KEY, Change(changed, names[3_000:], 1_000), 60)
    assert await store.load(KEY) == Record({**fields, **changed}, 1_000, 1_000)._replace(
        fields={name: changed.get(name, fields[name]) for name in names[:3_000]}
    )


async def test_what_was_handed_over_is_a_copy(store: Any) -> None:
    given = {"a": b"1"}
    await store.save(KEY, Change(given, (), 1_000, created=1_000), 60)
    given["a"] = b"9"
    loaded = await store.load(KEY)
    await store.save(KEY, Change({"b": b"2"}, ["a"], 1_001), 60)
    assert loaded == Record({"a": b"1"}, 1_000, 1_000)


async def test_changes_at_once_are_all_kept(store: Any) -> None:
    await store.save(KEY, created(base=b"0"), 60)
    async with anyio.create_task_group() as writers:
        for number in range(30):
            writers.start_soon(store.save, KEY, Change({f"n{number}": b"1"}, (), 1_000), 60)
    record = await store.load(KEY)
    assert record.fields == {"base": b"0", **{f"n{number}": b"1" for number in range(30)}}


async def test_a_value_that_is_not_json_is_left_out_and_left_alone(
    store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    visitor = Visitor(store)
    await visitor.visit(write(a=1))
    key = sha256(visitor.cookie or b"").hexdigest()
    broken = {"b": b"{", "c": b"", "d": b"\xff", "e": b"[" * 60_000}
    await store.save(key, Change(broken, (), None), 60)
    assert await visitor.data() == {"a": 1}
    told = {(record.levelno, record.getMessage()) for record in caplog.records}
    assert told == {(logging.WARNING, f"session[{name!r}] in the store is not JSON; it is left out") for name in broken}
    await visitor.visit(lambda session: [session.pop("b", None), session.update(a=2, c=3)])
    assert (await store.load(key)).fields == {**broken, "a": b"2", "c": b"3"}
    del broken["c"]
    await visitor.visit(Session.regenerate)
    moved = sha256(visitor.cookie or b"").hexdigest()
    assert (await store.load(moved)).fields == {**broken, "a": b"2", "c": b"3"}


# SessionMiddleware: what it asks of a store


def write(**data: Any) -> Page:
    return lambda session: session.update(data)


async def test_nothing_is_asked_without_a_cookie(counting: Counting) -> None:
    visitor = Visitor(counting)
    for page in (nothing, read):
        assert await visitor.visit(page) == Answer(200, [], None)
    assert counting.asked == []


async def test_a_session_that_is_not_touched_costs_one_load(counting: Counting) -> None:
    visitor = Visitor(counting)
    assert len((await visitor.visit(write(a=1))).cookies) == 1
    assert counting.asked == ["save"]
    for page in (nothing, read, write(a=1), lambda session: session.setdefault("a", 2)):
        counting.asked.clear()
        assert await visitor.visit(page) == Answer(200, [], None)
        assert counting.asked == ["load"]


MALFORMED = [
    *(b"", b"x", b"a" * 42, b"a" * 44, b"a" * 86, b"a" * 42 + b"=", b"a" * 42 + b"+", b"a" * 42 + b"/"),
    *(b"a" * 42 + b"\xe4", b"a" * 42 + b"%", b"a" * 42 + b".", b"a" * 21 + b" " + b"a" * 21, b"a" * 42 + b"\n"),
    *(b"a" * 43 + b"\n", b"a" * 42 + b"\x00", b"session:" + b"a" * 35, b"../" * 14 + b"a", b"a" * 3_000, b"null"),
]


@pytest.mark.parametrize("place", ONCE, indirect=True, ids="-".join)
@pytest.mark.parametrize("sent", MALFORMED, ids=lambda value: repr(value)[:30])
async def test_a_malformed_id_is_never_looked_up_and_never_adopted(counting: Counting, sent: bytes) -> None:
    visitor = Visitor(counting, sent)
    for page in (nothing, read):
        assert await visitor.visit(page) == Answer(200, [], None)
    assert counting.asked == []
    await visitor.visit(write(a=1))
    assert counting.asked == ["save"]
    assert visitor.cookie not in (None, sent)
    assert await visitor.data() == {"a": 1}


async def test_an_unknown_id_is_looked_up_once_and_never_adopted(counting: Counting) -> None:
    unknown = b"Aa0_-" * 8 + b"abc"
    visitor = Visitor(counting, unknown)
    for page in (nothing, read):
        counting.asked.clear()
        assert await visitor.visit(page) == Answer(200, [], None)
        assert counting.asked == ["load"]
    counting.asked.clear()
    await visitor.visit(write(a=1))
    assert counting.asked == ["load", "save"]
    assert visitor.cookie not in (None, unknown)
    assert await Visitor(counting, unknown).data() == {}


async def test_a_store_knows_hashes_and_not_the_cookies(counting: Counting) -> None:
    visitor = Visitor(counting)
    ids = []
    for page in (write(a=1), write(b=2), read, Session.regenerate, Session.invalidate):
        if visitor.cookie:
            ids.append(sha256(visitor.cookie).hexdigest())
        await visitor.visit(page)
    assert len(set(ids)) == 2
    assert set(counting.keys) == set(ids)


async def test_the_id_of_a_session_is_its_key_in_the_store(counting: Counting) -> None:
    visitor, ids = Visitor(counting), []
    await visitor.visit(lambda session: [ids.append(session.id), session.update(a=1)])
    await visitor.visit(lambda session: ids.append(session.id))
    assert ids == [None, counting.keys[0]]


async def test_only_what_changed_is_saved(counting: Counting) -> None:
    visitor = Visitor(counting)
    await visitor.visit(write(cart=[{"n": 1}], name="ada", old=1))

    def change(session: Session) -> None:
        session["cart"][0]["n"] += 1
        session["name"] = "ada"
        session["new"] = {"ä": None}
        del session["old"]

    assert await visitor.visit(change) == Answer(200, [], None)
    (_, saved) = counting.changes
    assert (saved.set, [*saved.delete]) == ({"cart": b'[{"n":2}]', "new": '{"ä":null}'.encode()}, ["old"])
    assert await visitor.data() == {"cart": [{"n": 2}], "name": "ada", "new": {"ä": None}}


async def test_two_requests_that_overlap_both_keep_what_they_wrote(store: Any) -> None:
    visitor = Visitor(store)
    await visitor.visit(write(base=[0], gone=1, both=0))

    async def page(session: Session) -> None:
        session["base"].append(1)
        await visitor.visit(lambda inner: [inner.update(inner=1, both=1), inner.pop("gone")])
        session.update(outer=1, both=2)

    await visitor.visit(page)
    assert await visitor.data() == {"base": [0, 1], "inner": 1, "outer": 1, "both": 2}


async def test_a_request_that_only_reads_erases_nothing(store: Any) -> None:
    visitor = Visitor(store)
    await visitor.visit(write(a=[1]))

    async def page(session: Session) -> None:
        assert session["a"] == [1]
        await visitor.visit(write(a=[2], b=3))

    await visitor.visit(page)
    assert await visitor.data() == {"a": [2], "b": 3}


async def test_a_session_emptied_key_by_key_goes_on(store: Any) -> None:
    visitor = Visitor(store)
    await visitor.visit(write(a=1, b=2))
    before = visitor.cookie

    async def page(session: Session) -> None:
        for key in [*session]:
            del session[key]
        await visitor.visit(write(c=3))

    assert await visitor.visit(page) == Answer(200, [], None)
    assert await visitor.data() == {"c": 3}
    assert await visitor.visit(lambda session: session.popitem()) == Answer(200, [], None)
    await visitor.visit(write(d=4))
    assert (visitor.cookie, await visitor.data()) == (before, {"d": 4})


NO_CONTENT: dict[str, Any] = {"None": None, "an empty dict": {}, "something else": type("Empty", (), {})}


@pytest.mark.parametrize("put", NO_CONTENT)
async def test_nothing_in_place_of_a_session_ends_it(store: Any, put: str) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        scope["session"] = NO_CONTENT[put]
        await send(START)
        await send(BODY)

    visitor = Visitor(store)
    await visitor.visit(write(user="ada"))
    copied = Visitor(store, visitor.cookie)
    (line,) = (await visitor.call(application, http_scope(headers=visitor.headers()))).cookies
    assert line.startswith(b"session=null;")
    assert await copied.data() == {}


async def test_a_session_emptied_by_two_requests_is_not_ended_by_one_that_reads(store: Any) -> None:
    visitor = Visitor(store)
    await visitor.visit(write(a=1, b=2))

    async def page(session: Session) -> None:
        session.pop("a")
        await visitor.visit(lambda inner: inner.pop("b"))

    await visitor.visit(page)

    async def reads(session: Session) -> None:
        assert session == {}
        await visitor.visit(write(c=3))

    await visitor.visit(reads)
    assert await visitor.data() == {"c": 3}


async def test_regenerate_moves_the_data_to_an_id_that_is_new(store: Any) -> None:
    visitor = Visitor(store)
    await visitor.visit(write(a=[1]))
    before = visitor.cookie
    answer = await visitor.visit(lambda session: [session.regenerate(), session.update(user="ada")])
    assert len(answer.cookies) == 1
    assert visitor.cookie not in (None, before)
    assert await visitor.data() == {"a": [1], "user": "ada"}
    assert await Visitor(store, before).data() == {}


@pytest.mark.parametrize("times", [1, 2])
async def test_what_others_wrote_meanwhile_goes_on_in_the_new_session(store: Any, times: int) -> None:
    visitor = Visitor(store)
    await visitor.visit(write(cart=[1], gone=1, both=0))
    before = visitor.cookie

    async def page(session: Session) -> None:
        session["both"] = 2
        await visitor.visit(lambda inner: [inner.update(cart=[1, 2], new=1, both=1), inner.pop("gone")])
        for _ in range(times):
            session.regenerate()
        session["user"] = "ada"

    assert len((await visitor.visit(page)).cookies) == 1
    assert visitor.cookie != before
    assert await visitor.data() == {"cart": [1, 2], "new": 1, "both": 2, "user": "ada"}
    assert await Visitor(store, before).data() == {}


async def test_regenerate_twice_is_the_same_as_once(counting: Counting) -> None:
    visitor = Visitor(counting)
    await visitor.visit(write(a=1))
    counting.asked.clear()
    await visitor.visit(lambda session: [session.regenerate(), session.regenerate()])
    assert counting.asked == ["load", "load", "save", "delete"]
    assert await visitor.data() == {"a": 1}


async def test_an_ended_session_does_not_go_on_in_another(counting: Counting, caplog: pytest.LogCaptureFixture) -> None:
    visitor, flying = Visitor(counting.store), Visitor(counting)
    await visitor.visit(write(user="ada"))
    before = flying.cookie = visitor.cookie

    async def page(session: Session) -> None:
        assert session["user"] == "ada"
        await visitor.visit(Session.invalidate)
        session.regenerate()
        session["rights"] = "all"

    assert await flying.visit(page) == Answer(200, [], None)
    assert flying.cookie == before
    assert counting.changes == []
    (logged,) = caplog.records
    assert logged.levelno == logging.WARNING
    assert "had ended before a request that was under way changed it" in logged.message


async def test_what_is_written_after_an_end_is_in_another_session(counting: Counting) -> None:
    visitor = Visitor(counting)
    await visitor.visit(write(user="ada"))
    before = visitor.cookie
    answer = await visitor.visit(lambda session: [session.invalidate(), session.update(bye=1)])
    assert len(answer.cookies) == 1
    assert await visitor.data() == {"bye": 1}
    assert await Visitor(counting, before).data() == {}


ENDS: dict[str, Page] = {
    "clear": lambda session: session.clear(),
    "invalidate": lambda session: session.invalidate(),
}
IN_FLIGHT: dict[str, Callable[[Session], Any]] = {
    "write": lambda session: session.update(late=1),
    "write inside": lambda session: session["cart"].append(1),
    "read": read,
    "clear": lambda session: session.clear(),
    "save": lambda session: [session.update(late=1), session.save()][1],
    "regenerate": lambda session: session.regenerate(),
}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time of the package, which goes on by hand."""
    clock = SimpleNamespace(now=float(int(time.time())))
    for module in (cookie_keeper, keeper, memory, sqlite, store_keeper):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: clock.now))
    return clock


@pytest.mark.parametrize("place", ONCE, indirect=True, ids="-".join)
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("late", IN_FLIGHT)
async def test_a_logout_is_not_undone_by_a_request_under_way(
    store: Any, end: str, late: str, clock: SimpleNamespace
) -> None:
    visitor, flying = Visitor(store), Visitor(store)
    await visitor.visit(write(user="ada", cart=[]))
    before = flying.cookie = visitor.cookie
    clock.now += 5 * 86_400  # renewal is due

    async def page(session: Session) -> None:
        assert session["user"] == "ada"
        answer = await visitor.visit(ENDS[end])
        assert answer.cookies[0].startswith(b"session=null;")
        result = IN_FLIGHT[late](session)
        if isinstance(result, Awaitable):
            await result

    answer = await flying.visit(page)
    assert answer.error is None
    assert await Visitor(store, before).data() == {}
    assert (await flying.data()).get("user") is None


async def test_two_logins_at_once_leave_the_visitor_with_the_session_of_one(store: Any) -> None:
    visitor = Visitor(store)
    await visitor.visit(write(cart=[1]))

    def login(session: Session) -> None:
        session.regenerate()
        session["user"] = "ada"

    async def page(session: Session) -> None:
        login(session)
        await visitor.visit(login)

    await visitor.visit(page)
    assert await visitor.data() == {"cart": [1], "user": "ada"}


async def test_a_session_that_cannot_go_on_can_be_touched(store: Any) -> None:
    visitor, flying = Visitor(store), Visitor(store)
    await visitor.visit(write(a=1))
    flying.cookie = visitor.cookie

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await visitor.visit(Session.invalidate)
        scope["session"].regenerate()
        await send(START)
        scope["session"]["late"] = 1
        await send(BODY)

    assert await flying.call(application, http_scope(headers=flying.headers())) == Answer(200, [], None)
    assert await flying.data() == {}


async def test_a_write_after_logout_is_refused_and_logged(counting: Counting, caplog: pytest.LogCaptureFixture) -> None:
    visitor, flying = Visitor(counting.store), Visitor(counting)
    await visitor.visit(write(user="ada"))
    flying.cookie = visitor.cookie

    async def page(session: Session) -> None:
        session["a"] = 1
        await visitor.visit(Session.invalidate)

    assert await flying.visit(page) == Answer(200, [], None)
    assert counting.asked == ["load", "save"]
    (logged,) = caplog.records
    assert (logged.levelno, logged.name) == (logging.WARNING, "middleware.sessions")
    assert "had ended before a request that was under way changed it" in logged.message


async def test_the_end_of_no_session_costs_nothing(counting: Counting) -> None:
    for end in (Session.clear, Session.invalidate, Session.regenerate):
        assert await Visitor(counting).visit(end) == Answer(200, [], None)
    assert counting.asked == []


async def test_a_cookie_that_is_of_no_use_is_deleted_at_logout(counting: Counting) -> None:
    visitor = Visitor(counting, b"a" * 43)
    await visitor.visit(Session.invalidate)
    assert visitor.cookie is None
    assert counting.asked == ["load"]


# When it ends


@pytest.mark.parametrize("place", ONCE[:2], indirect=True, ids="-".join)
@pytest.mark.parametrize("page", [read, lambda session: session.update(n=session["n"] + 1)], ids=["reads", "writes"])
async def test_who_comes_every_minute_stays(store: Any, clock: SimpleNamespace, page: Page) -> None:
    visitor = Visitor(store, idle_timeout=900)
    (line,) = (await visitor.visit(write(n=0))).cookies
    forgotten = clock.now + _max_age(line)
    for _ in range(60):
        clock.now += 60
        assert clock.now < forgotten
        for line in (await visitor.visit(page)).cookies:
            forgotten = clock.now + _max_age(line)
    assert "n" in await visitor.data()


@pytest.mark.parametrize("place", ONCE[:2], indirect=True, ids="-".join)
async def test_a_session_that_is_only_read_is_renewed_once_in_a_tenth_of_its_time(
    store: Any, clock: SimpleNamespace
) -> None:
    counting = Counting(store)
    visitor = Visitor(counting, idle_timeout=1_000)
    await visitor.visit(write(a=1))
    renewals = []
    for _ in range(50):
        clock.now += 20
        counting.asked.clear()
        renewals.append(len((await visitor.visit(read)).cookies))
        assert counting.asked == ["load", "touch"][: 1 + renewals[-1]]
    assert renewals == [0, 0, 0, 0, 1] * 10


@pytest.mark.parametrize("place", ONCE[:2], indirect=True, ids="-".join)
async def test_nobody_stays_beyond_the_absolute_timeout(store: Any, clock: SimpleNamespace) -> None:
    visitor = Visitor(store, idle_timeout=1_000, absolute_timeout=3_600)
    await visitor.visit(write(n=0))
    start = clock.now
    while await visitor.data():
        clock.now += 50
        await visitor.visit(lambda session: session and session.update(n=session["n"] + 1))
    assert 3_600 <= clock.now - start <= 3_650


@pytest.mark.parametrize("place", ONCE[:2], indirect=True, ids="-".join)
@pytest.mark.parametrize("after", [99, 100])
@pytest.mark.parametrize("late", [False, True], ids=["in time", "too late"])
async def test_a_write_renews_what_is_due_before_the_response_begins(
    store: Any, clock: SimpleNamespace, after: int, late: bool
) -> None:
    counting = Counting(store)
    visitor = Visitor(counting, idle_timeout=1_000)
    await visitor.visit(write(a=1))
    began = clock.now
    clock.now += after

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if not late:
            scope["session"]["a"] = 2
        await send(START)
        if late:
            scope["session"]["a"] = 2
            await scope["session"].save()
            scope["session"]["b"] = 3
        await send(BODY)

    renews = after == 100 and not late
    answer = await visitor.call(application, http_scope(headers=visitor.headers()))
    assert len(answer.cookies) == renews
    assert [change.seen for change in counting.changes[1:]] == [clock.now if renews else None] * (1 + late)
    clock.now = began + 1_001  # it was to end here
    assert await visitor.data() == ({"a": 2} if renews else {})


def _max_age(line: bytes) -> int:
    return int(line.lower().partition(b"max-age=")[2].partition(b";")[0])


# Websockets and streams

ACCEPT: dict[str, Any] = {"type": "websocket.accept"}
DENIAL: dict[str, Any] = {"type": "websocket.http.response.start", "status": 403, "headers": []}
DENIED: dict[str, Any] = {"type": "websocket.http.response.body", "body": b"no"}
Steps = Callable[[Session, Any], Awaitable[None]]


def socket(steps: Steps) -> Any:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await steps(scope["session"], send)

    return application


@pytest.mark.parametrize("messages", [[ACCEPT], [DENIAL, DENIED]], ids=["accepted", "denied"])
async def test_the_answer_to_a_websocket_brings_the_cookie(store: Any, messages: list[Any]) -> None:
    async def steps(session: Session, send: Any) -> None:
        session["a"] = 1
        for message in messages:
            await send(message)

    visitor = Visitor(store)
    answer = await visitor.call(socket(steps), websocket_scope(headers=visitor.headers()), CONNECT)
    assert (answer.status, len(answer.cookies)) == (messages[0].get("status", 101), 1)
    assert await visitor.data() == {"a": 1}


async def test_a_websocket_saves_what_it_changed_when_it_ends(store: Any) -> None:
    visitor = Visitor(store)
    await visitor.visit(write(a=[1], b=2))

    async def steps(session: Session, send: Any) -> None:
        await send(ACCEPT)
        session["a"].append(2)
        await visitor.visit(write(other=1))
        del session["b"]
        assert await visitor.data() == {"a": [1], "b": 2, "other": 1}

    await visitor.call(socket(steps), websocket_scope(headers=visitor.headers()), CONNECT)
    assert await visitor.data() == {"a": [1, 2], "other": 1}


async def test_a_websocket_saves_what_it_changed_when_it_fails(store: Any) -> None:
    visitor = Visitor(store)
    await visitor.visit(write(a=1))

    async def steps(session: Session, send: Any) -> None:
        await send(ACCEPT)
        session["a"] = 2
        raise ArithmeticError

    answer = await visitor.call(socket(steps), websocket_scope(headers=visitor.headers()), CONNECT)
    assert isinstance(answer.error, ArithmeticError)
    assert await visitor.data() == {"a": 2}


async def test_a_websocket_saves_by_hand_at_any_time(store: Any) -> None:
    visitor = Visitor(store)
    await visitor.visit(write(a=[]))
    seen = []

    async def steps(session: Session, send: Any) -> None:
        for number in range(3):
            session["a"].append(number)
            await session.save()
            seen.append(await visitor.data())
            if number == 0:
                await send(ACCEPT)

    await visitor.call(socket(steps), websocket_scope(headers=visitor.headers()), CONNECT)
    assert seen == [{"a": [0]}, {"a": [0, 1]}, {"a": [0, 1, 2]}]


class Failing(Counting):
    """A store that cannot be read."""

    async def load(self, key: str) -> Record | None:
        raise SessionStoreError("out of order")


async def test_to_save_by_hand_raises_the_error_of_a_store_that_could_not_be_read(store: Any) -> None:
    raised: list[str] = []

    async def steps(session: Session, send: Any) -> None:
        for message in (ACCEPT, None):
            with pytest.raises(SessionStoreError) as caught:
                await session.save()
            raised.append(str(caught.value))
            if message:
                await send(message)

    failing = Failing(store)
    visitor = Visitor(failing, b"a" * 43)
    await visitor.call(socket(steps), websocket_scope(headers=visitor.headers()), CONNECT)
    assert raised == ["out of order"] * 2
    assert failing.asked == []


def stream(steps: Steps) -> Any:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await steps(scope["session"], send)
        await send(BODY)

    return application


async def test_a_stream_saves_by_hand_and_at_its_end(store: Any) -> None:
    visitor = Visitor(store)
    await visitor.visit(write(a=1))

    async def steps(session: Session, send: Any) -> None:
        session["a"] = 2
        await session.save()
        assert await visitor.data() == {"a": 2}
        session["a"] = 3

    await visitor.call(stream(steps), http_scope(headers=visitor.headers()))
    assert await visitor.data() == {"a": 3}


async def test_a_session_that_begins_too_late_is_lost_with_a_warning(
    counting: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    async def steps(session: Session, send: Any) -> None:
        session["a"] = 1

    assert await Visitor(counting).call(stream(steps), http_scope()) == Answer(200, [], None)
    assert counting.asked == []
    (logged,) = caplog.records
    assert logged.levelno == logging.WARNING
    assert "begun after the response had" in logged.message


async def test_a_logout_in_a_stream_ends_the_session(store: Any) -> None:
    visitor = Visitor(store)
    await visitor.visit(write(user="ada"))

    async def steps(session: Session, send: Any) -> None:
        session.invalidate()

    assert await visitor.call(stream(steps), http_scope(headers=visitor.headers())) == Answer(200, [], None)
    assert await visitor.data() == {}


async def test_what_was_begun_and_ended_in_one_request_leaves_no_cookie(counting: Counting) -> None:
    async def page(session: Session) -> None:
        session["a"] = 1
        await session.save()
        session.invalidate()

    assert await Visitor(counting).visit(page) == Answer(200, [], None)
    assert counting.asked == ["save", "delete"]


async def test_a_save_while_the_response_begins_makes_one_session(counting: Counting) -> None:
    visitor = Visitor(counting)

    async def page(session: Session) -> None:
        session["a"] = 1
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(session.save)

    await visitor.visit(page)
    assert await visitor.data() == {"a": 1}
    assert len({key for key, verb in zip(counting.keys, counting.asked, strict=True) if verb == "save"}) == 1
