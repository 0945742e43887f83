"""The page about sessions: each exchange on the wire and each row of its tables is tried, and its examples run."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import anyio
import litestar
import msgspec
import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from litestar.middleware import DefineMiddleware
from litestar.types import Empty
from starlette.middleware.sessions import SessionMiddleware as Starlettes

from middleware import ConfigurationError, MemoryStore, RedisStore, Session, SessionMiddleware, SQLiteStore
from middleware.sessions import Change, SessionStoreError, SessionTooLargeError
from middleware.sessions.tokens import SignedTokens, Token
from tests.asgi import CONNECT, call, http_scope, websocket_scope
from tests.pages import ROOT, TEXTS, blocks, flat, quoted, quotes, rows
from tests.sessions.servers import RedisServer, close, redis_server

PAGE, HELP = "docs/sessions.md", "docs/troubleshooting.md"
SECRET = "0123456789abcdef0123456789abcdef"
DISCONNECT = {"type": "websocket.disconnect", "code": 1000}
UNITS = {"minutes": 60, "minute": 60, "days": 86_400, "day": 86_400}


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", SECRET)


def code_with(text: str) -> str:
    (code,) = (code for code in blocks(PAGE, "python") if text in code)
    return code


async def origin(scope: Any, receive: Any, send: Any) -> None:
    """The application of the exchanges."""
    session, headers, status, body = scope["session"], [], 200, b""
    if scope["type"] == "websocket":
        session["page"] = "ws"
        return await send({"type": "websocket.accept"})
    match scope["path"]:
        case "/login":
            session.regenerate()
            session["user"], status = "Ada", 204
        case "/logout":
            session.invalidate()
            status = 204
        case "/name":
            body = session["user"].encode()
        case "/about":
            headers, body = [(b"cache-control", b"public, max-age=60")], b"about us"
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def page(work: Any, *headers: tuple[bytes, bytes]) -> Any:
    """An application that does something with the session, then answers."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        work(scope["session"])
        await send({"type": "http.response.start", "status": 200, "headers": [*headers]})
        await send({"type": "http.response.body"})

    return app


def write(session: Any) -> None:
    session["user"] = "Ada"


async def headers_of(app: Any, cookie: bytes = b"", **changes: Any) -> list[str]:
    headers = [(b"cookie", b"session=" + cookie)] * bool(cookie)
    start, *_ = await call(app, http_scope(headers=headers, **changes))
    return [f"{name.decode()}: {value.decode()}" for name, value in start["headers"]]


def cookie_in(headers: list[str]) -> bytes:
    (line,) = (line for line in headers if line.startswith("set-cookie: "))
    return line.removeprefix("set-cookie: ").partition("=")[2].partition(";")[0].encode()


# On the wire


def exchanges() -> list[str]:
    return [block for block in blocks(PAGE, "text") if re.match(r"(GET|POST) ", block)]


async def exchange(app: Any, block: str, cookie: bytes) -> bytes:
    """Send the request of an exchange, with ``cookie``, and compare the response; return the new cookie."""
    request, described, *body = block.strip().split("\n\n")
    (method, path, _), *lines = request.splitlines()[0].split(), *request.splitlines()[1:]
    pairs = [line.replace("…", cookie.decode()).split(": ", 1) for line in lines]
    headers = [(name.lower().encode(), value.encode()) for name, value in pairs]
    if "Upgrade: websocket" in lines:
        (start,) = await call(app, websocket_scope(path, scheme="wss", headers=headers), CONNECT)
        status, text = 101, b""
    else:
        start, sent = await call(app, http_scope(path, method=method, scheme="https", headers=headers))
        status, text = start["status"], sent["body"]
    first, *expected = described.splitlines()
    assert first == f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"
    found = [f"{name.decode()}: {value.decode()}" for name, value in start.get("headers", ())]
    given = cookie_in(found) if any("set-cookie" in line for line in found) else cookie
    assert sorted(expected) == sorted(line.replace(given.decode(), "…") if given != b"null" else line for line in found)
    assert [text] == [line.encode() for line in body or [""]]
    return given


async def test_the_requests_on_the_wire_get_the_responses_on_the_wire() -> None:
    names: dict[str, Any] = {"application": origin}
    exec(blocks(PAGE, "python")[0], names)
    cookies = [b""]
    for block in exchanges():
        given = await exchange(names["application"], block, cookies[-1])
        cookies.append(cookies[-1] if given == b"null" else given)  # the websocket's is that of another visitor
    assert len(exchanges()) == 5


def test_the_visits_are_counted_in_fastapi_and_litestar() -> None:
    names: dict[str, Any] = {"__name__": __name__}
    exec(blocks(PAGE, "python")[0], names | {"application": origin}, names)
    for code, name in (("@app.get", "app"), ("@litestar.get", "application")):
        block = next(block for block in blocks(PAGE, "python") if code in block)
        exec(compile(block, PAGE, "exec", dont_inherit=True), names)  # annotations are objects, as they are there
        with TestClient(names[name], base_url="https://example.com") as client:
            assert [client.get("/visits").json() for _ in range(3)] == [1, 2, 3]


async def test_with_a_store_it_looks_the_same_and_the_cookie_is_an_id() -> None:
    app = SessionMiddleware(origin, store=MemoryStore())
    login, name, about, logout, _ = exchanges()
    cookie = await exchange(app, login, b"")
    assert re.fullmatch(rb"[\w-]{43}", cookie)
    for block in (name, about):
        assert await exchange(app, block, cookie) == cookie
    assert await exchange(app, logout, cookie) == b"null"


@pytest.mark.parametrize(("options", "scheme", "attributes"), rows(PAGE, "The cookie"))
async def test_the_cookie_has_the_attributes_of_its_row(options: str, scheme: str, attributes: str) -> None:
    given = eval(f"dict({', '.join(quoted(options))})")
    found = await headers_of(SessionMiddleware(page(write), SECRET, **given), scheme=quoted(scheme)[0])
    (line,) = (line for line in found if line.startswith("set-cookie: "))
    name = given.get("session_cookie", "session")
    assert line.startswith(f"set-cookie: {name}=")
    assert [line.partition("; ")[2]] == quoted(attributes)


async def test_up_to_four_cookies_are_tried_and_what_was_changed_is_no_session() -> None:
    app = SessionMiddleware(page(write), SECRET)
    value = cookie_in(await headers_of(app))
    for before, is_new in ((0, False), (3, False), (4, True)):
        found: list[bool] = []
        layer = SessionMiddleware(page(lambda session, found=found: found.append(session.is_new)), SECRET)
        await headers_of(layer, b"x; session=" * before + value)
        assert found == [is_new]
    found = []
    layer = SessionMiddleware(page(lambda session: found.append(session.is_new)), SECRET)
    for wrong in (value[:-1], value[1:], value.swapcase()):
        await headers_of(layer, wrong)
    assert found == [True] * 3


async def test_the_cookie_is_found_where_browsers_write_it() -> None:
    value = cookie_in(await headers_of(SessionMiddleware(page(write), SECRET)))
    found: dict[bytes, bool] = {}
    for before in (b"", b"a=1;", b"a=1; ", b"a=1;  ", b"a=1, ", b"a=1,"):
        work = page(lambda session, before=before: found.update({before: "user" in session}))
        scope = http_scope(headers=[(b"cookie", before + b"session=" + value)])
        await call(SessionMiddleware(work, SECRET), scope)
    assert [*found.values()] == [True] * 3 + [False] * 3


# The session


def test_the_session_has_what_the_table_says() -> None:
    names = [name for first, _ in rows(PAGE, "The session")[1:] for name in quoted(first)]
    public = {name for name in vars(Session) if not name.startswith("_")} - {*vars(dict)}
    inside = {"visit", "shown", "touched", "unread", "drop_changes"}
    assert {re.sub(r"\(\)|await ", "", name) for name in names} == public - inside


async def test_what_the_attributes_say_in_a_new_session_and_in_one_that_came() -> None:
    seen: list[tuple[Any, ...]] = []

    def look(session: Any) -> None:
        seen.append((session.is_new, session.id, session.created, session.expires_at))

    def work(session: Any) -> None:
        look(session)
        session["a"] = 1

    def end(session: Any) -> None:
        session.regenerate()
        look(session)

    for options, has_id in (({"secret_key": SECRET}, False), ({"store": MemoryStore()}, True)):
        value = cookie_in(await headers_of(SessionMiddleware(page(work), **options)))  # type: ignore[arg-type]
        for job in (look, end):
            await headers_of(SessionMiddleware(page(job), **options), value)  # type: ignore[arg-type]
        new, came, ended = seen
        assert new == ended == (True, None, None, None)
        assert not came[0]
        assert came[1] == (hashlib.sha256(value).hexdigest() if has_id else None)
        assert (came[3] - came[2]).days == 14
        assert came[2].utcoffset().total_seconds() == 0
        seen.clear()


async def test_changes_are_noticed_and_the_same_data_is_none() -> None:
    def append(session: Any) -> None:
        session["cart"].append(7)

    def same(session: Any) -> None:
        session["cart"] = session["cart"]

    def empty(session: Any) -> None:
        del session["cart"]

    value = cookie_in(await headers_of(SessionMiddleware(page(lambda session: session.update(cart=(1,))), SECRET)))
    for work, told in ((append, True), (same, False), (empty, True)):
        headers = await headers_of(SessionMiddleware(page(work), SECRET), value)
        assert any("set-cookie" in line for line in headers) is told
        assert "vary: Cookie" in headers
    assert cookie_in(headers) == b"null"
    seen: list[Any] = []
    await headers_of(SessionMiddleware(page(lambda session: seen.append(session["cart"])), SECRET), value)
    assert seen == [[1]]  # a tuple came back as a list


async def test_a_fast_encoder_raises_and_a_copy_can_be_written() -> None:
    value = cookie_in(await headers_of(SessionMiddleware(page(write), SECRET)))
    found: list[bytes] = []

    def work(session: Any) -> None:
        with pytest.raises(TypeError):
            msgspec.json.encode(session)
        found.append(msgspec.json.encode(dict(session)))

    await headers_of(SessionMiddleware(page(work), SECRET), value)
    assert found == [b'{"user":"Ada"}']


# Which store

STORES = ["none: the cookie", "`MemoryStore()`", "`SQLiteStore(path)`", "`RedisStore(url)`"]


def described(what: str) -> dict[str, str]:
    (cells,) = (cells for first, *cells in rows(PAGE, "Which store") if first == what)
    return dict(zip(STORES, cells, strict=True))


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture(params=STORES)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, Any]]:
    """The name of a column, and the options of an instance with that store."""
    match STORES.index(request.param):
        case 0:
            return request.param, {"secret_key": SECRET}
        case 1:
            return request.param, {"store": MemoryStore()}
        case 2:
            return request.param, {"store": SQLiteStore(tmp_path / "sessions.sqlite3")}
    return request.param, {"store": RedisStore(request.getfixturevalue("redis").url)}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_the_table_says_of_requests_at_once_and_of_logouts(kept: Any) -> None:
    name, options = kept
    value = cookie_in(await headers_of(SessionMiddleware(page(lambda session: session.update(a=0)), **options)))
    sent: list[bytes] = []

    async def at_once(cookie: bytes, *jobs: Any) -> None:
        """Call an application for each job; all have read the session before the first of them answers."""
        begun, turns = anyio.Event(), [anyio.Event() for _ in jobs]
        read: list[None] = []

        async def one(number: int) -> None:
            async def app(scope: Any, receive: Any, send: Any) -> None:
                scope["session"].get("a")
                read.append(None)
                if len(read) == len(jobs):
                    begun.set()
                await begun.wait()
                if number:
                    await turns[number - 1].wait()
                await page(jobs[number])(scope, receive, send)

            headers = await headers_of(SessionMiddleware(app, **options), cookie)
            sent.extend(cookie_in([line]) for line in headers if "set-cookie" in line)
            turns[number].set()

        async with anyio.create_task_group() as group:
            for number in range(len(jobs)):
                group.start_soon(one, number)

    async def data(cookie: bytes) -> dict[str, Any]:
        found: dict[str, Any] = {}
        await headers_of(SessionMiddleware(page(found.update), **options), cookie)
        return found

    await at_once(value, lambda session: session.update(b=1), lambda session: session.update(c=2))
    latest = sent[-1] if sent else value
    both = {"a": 0, "b": 1, "c": 2}
    assert described("two requests write different keys at once")[name] == (
        "both are kept" if await data(latest) == both else "one is lost"
    )
    sent.clear()
    await at_once(latest, lambda session: session.invalidate(), lambda session: session.update(d=3))
    alive = [cookie for cookie in (latest, sent[-1]) if await data(cookie)]
    assert described("a request under way writes after a logout")[name] == (
        "undoes the logout" if len(alive) == 2 else "is refused"
    )
    assert described("who can end a session")[name].startswith("nobody for sure" if alive else "the application")
    if "store" in options:
        await close(options["store"])


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_the_table_says_of_an_outage_of_redis(redis: RedisServer) -> None:
    assert described("an outage")["`RedisStore(url)`"] == "`SessionStoreError`, within 250 ms"
    store = RedisStore(redis.url)
    assert await store.save("a", Change({}, (), 1, 1), 60)
    redis.freeze()
    start = time.monotonic()
    with pytest.raises(SessionStoreError) as caught:
        await store.load("a")
    assert 0.2 < time.monotonic() - start < 2
    redis.thaw()
    await close(store)
    assert quotes(HELP, f"middleware.sessions.store.SessionStoreError: {caught.value}")


async def test_a_page_without_the_session_goes_on_without_the_store_and_the_other_gets_its_503() -> None:
    class Down(MemoryStore):
        async def load(self, key: str) -> Any:
            raise SessionStoreError("down")

    async def touch(scope: Any, receive: Any, send: Any) -> None:
        scope["session"].get("user")

    app = FastAPI()
    exec(code_with("async def unavailable"), {"app": app})
    app.mount("/session", touch)
    app.add_middleware(SessionMiddleware, store=Down())
    for path, status in (("/session/", 503), ("/openapi.json", 200)):
        cookie = (b"cookie", b"session=" + b"a" * 43)
        start, *_ = await call(app, http_scope(path, headers=[cookie]))
        assert start["status"] == status


async def test_what_cannot_be_saved_is_raised_before_the_response_begins() -> None:
    class Down(MemoryStore):
        async def save(self, key: str, change: Change, ttl: int) -> bool:
            raise SessionStoreError("down")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    with pytest.raises(SessionStoreError):
        await SessionMiddleware(page(write), store=Down())(http_scope(), anyio.sleep_forever, send)
    assert sent == []


# Timeouts


@pytest.mark.parametrize("where", ["cookie", "store"])
@pytest.mark.parametrize(("options", "began", "renewed", "outcome"), rows(PAGE, "Timeouts"))
async def test_the_session_goes_on_or_ends_as_its_row_says(
    where: str, options: str, began: str, renewed: str, outcome: str
) -> None:
    now = int(time.time())
    created, seen = (now - int(count) * UNITS[unit] for count, unit, _ in (began.split(), renewed.split()))
    given: dict[str, Any] = eval(f"dict({', '.join(quoted(options))})")
    if where == "cookie":
        value = SignedTokens([SECRET], "session").write(Token(b'{"user":"Ada"}', created, seen))
        given["secret_key"] = SECRET
    else:
        value, given["store"] = b"a" * 43, MemoryStore()
        change = Change({"user": b'"Ada"'}, (), seen, created)
        await given["store"].save(hashlib.sha256(value).hexdigest(), change, 1_000_000_000)
    found: list[dict[str, Any]] = []
    headers = await headers_of(
        SessionMiddleware(page(lambda session: found.append(dict(session))), **given), value, scheme="https"
    )
    told = any("set-cookie" in line for line in headers)
    expected = {"goes on, no cookie is sent": (True, False), "goes on, and is renewed": (True, True)}
    assert (found == [{"user": "Ada"}], told) == expected.get(outcome, (False, False))
    assert outcome in {*expected, "has ended"}


async def test_who_does_not_touch_the_session_does_not_renew_it() -> None:
    value = SignedTokens([SECRET], "session").write(Token(b'{"user":"Ada"}', 1, int(time.time()) - 10 * 86_400))
    for work, times in ((lambda session: None, 0), (len, 1)):
        headers = await headers_of(SessionMiddleware(page(work), SECRET), value)
        assert sum("set-cookie" in line for line in headers) == times


# Login, secrets, encryption


async def test_regenerate_goes_on_in_another_session_and_the_old_one_is_dead_in_a_store() -> None:
    store = MemoryStore()
    old = cookie_in(await headers_of(SessionMiddleware(page(write), store=store)))
    new = cookie_in(await headers_of(SessionMiddleware(page(Session.regenerate), store=store), old))
    found: list[dict[str, Any]] = []
    for value in (old, new):
        await headers_of(SessionMiddleware(page(lambda session: found.append(dict(session))), store=store), value)
    assert found == [{}, {"user": "Ada"}]


def test_the_login_and_logout_of_the_page_begin_and_end_a_session() -> None:
    app = FastAPI()
    code = code_with('@app.post("/login")\nasync def login(request: Request) -> None')
    exec(compile(code, PAGE, "exec", dont_inherit=True), {"app": app, "Request": Request})
    app.add_middleware(SessionMiddleware, store=MemoryStore())
    with TestClient(app, base_url="https://example.com") as client:
        values = [client.post("/login").cookies["session"] for _ in range(2)]
        assert values[0] != values[1]
        client.post("/logout")
        assert not client.cookies


async def test_a_former_secret_is_read_and_what_changes_is_signed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORMER_SECRET_KEY", SECRET[::-1])
    value = cookie_in(await headers_of(SessionMiddleware(page(write), SECRET[::-1])))
    application = page(lambda session: session.update(seen=session["user"]))
    names: dict[str, Any] = {"os": os, "SessionMiddleware": SessionMiddleware, "application": application}
    exec(code_with("secret_key_fallbacks="), names)
    new = cookie_in(await headers_of(names["application"], value))
    found: list[dict[str, Any]] = []
    await headers_of(SessionMiddleware(page(found.append), SECRET), new)
    assert found == [{"user": "Ada", "seen": "Ada"}]


async def test_encrypting_or_not_logs_everybody_out_and_hides_the_data() -> None:
    found: list[bool] = []
    for encrypt in (False, True):
        value = cookie_in(await headers_of(SessionMiddleware(page(write), SECRET, encrypt=encrypt)))
        assert (b"Ada" in urlsafe_b64decode(value.partition(b".")[0] + b"==")) is not encrypt
        for reads in (False, True):
            layer = SessionMiddleware(page(lambda session: found.append(session.is_new)), SECRET, encrypt=reads)
            await headers_of(layer, value)
    assert found == [False, True, True, False]


# What is logged and raised, quoted here and in the troubleshooting


def only(caplog: pytest.LogCaptureFixture) -> str:
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("middleware.sessions", "WARNING")
    message = record.getMessage()
    caplog.clear()
    return message


async def late(scope: Any, receive: Any, send: Any) -> None:
    """An application that writes after the response has begun."""
    scope["session"].get("user")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    scope["session"]["late"] = True
    await send({"type": "http.response.body"})


async def test_the_lines_about_late_writes_are_quoted(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    for options, lines in (({"secret_key": SECRET}, (True, True)), ({"store": store}, (True, False))):
        value = cookie_in(await headers_of(SessionMiddleware(page(write), **options)))  # type: ignore[arg-type]
        for cookie, told in zip((b"", value), lines, strict=True):
            await headers_of(SessionMiddleware(late, **options), cookie)  # type: ignore[arg-type]
            assert bool(caplog.records) is told
            if told:
                message = only(caplog)
                assert quotes(PAGE, message)
                assert quotes(HELP, message)
    found: list[dict[str, Any]] = []
    await headers_of(SessionMiddleware(page(lambda session: found.append(dict(session))), store=store), value)
    assert found == [{"user": "Ada", "late": True}]


async def test_the_error_about_a_late_login_is_quoted() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        scope["session"].regenerate()

    for options in ({"secret_key": SECRET}, {"store": MemoryStore()}):
        with pytest.raises(RuntimeError) as caught:
            await headers_of(SessionMiddleware(app, **options))  # type: ignore[arg-type]
        assert quotes(HELP, f"RuntimeError: {caught.value}")


async def test_the_line_about_a_write_after_a_logout_is_quoted(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    value = cookie_in(await headers_of(SessionMiddleware(page(write), store=store)))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await store.delete(hashlib.sha256(value).hexdigest())
        await page(lambda session: session.update(a=1))(scope, receive, send)

    assert not any("set-cookie" in line for line in await headers_of(SessionMiddleware(app, store=store), value))
    message = only(caplog)
    assert quotes(PAGE, message)
    assert quotes(HELP, message)


async def test_the_error_about_a_large_cookie_is_quoted() -> None:
    text = "".join(hashlib.sha256(b"%d" % number).hexdigest() for number in range(120))[: 2 * 3700]
    with pytest.raises(SessionTooLargeError) as caught:
        await headers_of(SessionMiddleware(page(lambda session: session.update(a=text)), SECRET))
    for name in (PAGE, HELP):
        texts = [re.sub(r"have \d+", "have N", flat(text)) for text in (caught.value, *blocks(name, "text"))]
        assert texts[0] in texts[1:]


async def test_the_lines_about_the_secret_and_starlettes_cookies_are_quoted(caplog: pytest.LogCaptureFixture) -> None:
    layer = SessionMiddleware(page(len), "short")
    assert quotes(HELP, only(caplog))
    await headers_of(layer, cookie_in(await headers_of(Starlettes(page(write), "short"))))
    assert quotes(HELP, only(caplog))


async def test_the_error_about_what_is_not_json_is_quoted() -> None:
    with pytest.raises(TypeError) as caught:
        await headers_of(SessionMiddleware(page(lambda session: session.update(at=datetime.now(UTC))), SECRET))
    assert quotes(HELP, f"TypeError: {caught.value}")


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_the_error_on_trio_is_quoted() -> None:
    with pytest.raises(SessionStoreError) as caught:
        await RedisStore("redis://127.0.0.1:1").load("0" * 64)
    assert quotes(HELP, f"middleware.sessions.store.SessionStoreError: {caught.value}")


def test_each_line_of_the_log_has_a_heading() -> None:
    headings = re.findall("^### (.*)$", TEXTS[HELP].partition("\n## Sessions\n")[2].partition("\n## ")[0], re.MULTILINE)
    texts = [flat(block) for block in blocks(HELP, "text")]
    told = [heading for heading in headings if heading[0].islower() or heading.startswith("Redis")]
    assert len(told) == 10
    assert all(any(heading in text for text in texts) for heading in told)


# Websockets


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_the_chat_of_the_page_saves_while_it_is_open() -> None:
    names: dict[str, Any] = {}
    exec(code_with("async def chat"), names)
    store = MemoryStore()
    value = cookie_in(await headers_of(SessionMiddleware(page(write), store=store)))
    key = hashlib.sha256(value).hexdigest()
    seen: list[Any] = []
    texts = iter([CONNECT, {"type": "websocket.receive", "text": "hello"}])

    async def receive() -> Any:
        for message in texts:
            return message
        record = await store.load(key)
        seen.append(record and record.fields["last"])
        return DISCONNECT

    async def send(message: Any) -> None: ...

    scope = websocket_scope(headers=[(b"cookie", b"session=" + value)])
    await SessionMiddleware(names["chat"], store=store)(scope, receive, send)
    assert seen == [b'"hello"']


async def test_a_cookie_session_cannot_be_saved_by_hand() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await scope["session"].save()

    with pytest.raises(RuntimeError, match="only a session in a store"):
        await call(SessionMiddleware(app, SECRET), websocket_scope(), CONNECT)


# Caches


@pytest.mark.parametrize(("says", "is_sent"), rows(PAGE, "Caches"))
async def test_the_caches_are_told_what_the_row_says(says: str, is_sent: str) -> None:
    pairs = [line.split(": ", 1) for line in quoted(says)]
    own = [(name.encode(), value.encode()) for name, value in pairs]
    for work, changes in ((write, True), (len, False)):
        found = await headers_of(SessionMiddleware(page(work, *own), SECRET))
        assert "vary: Cookie" in found
        expected = quoted(is_sent) if changes else quoted(says)
        assert sorted(line for line in found if not line.startswith(("vary", "set-cookie"))) == sorted(expected)


# Several sessions, an own store


async def test_the_two_sessions_of_the_page_are_two() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["user"] = "Ada"
        scope["admin"]["rights"] = "all"
        await page(len)(scope, receive, send)

    names: dict[str, Any] = {"application": app, "SessionMiddleware": SessionMiddleware, "os": os}
    exec(code_with('scope_key="admin"'), names | {"SQLiteStore": lambda path: MemoryStore()}, names)
    found = await headers_of(names["application"])
    cookies = sorted(line.partition("=")[0] for line in found if "set-cookie" in line)
    assert cookies == ["set-cookie: admin", "set-cookie: session"]


async def test_a_dict_in_the_scope_is_the_new_content_and_what_is_none_ends_the_session() -> None:
    value = cookie_in(await headers_of(SessionMiddleware(page(write), SECRET)))

    async def put(content: Any) -> bytes:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            scope["session"] = content
            await page(len)(scope | {"session": {}}, receive, send)

        return cookie_in(await headers_of(SessionMiddleware(app, SECRET), value))

    found: list[dict[str, Any]] = []
    await headers_of(SessionMiddleware(page(found.append), SECRET), await put({"user": "Bob"}))
    assert found == [{"user": "Bob"}]
    assert [await put(content) for content in ({}, None, Empty)] == [b"null"] * 3


@pytest.mark.parametrize("inside", [False, True])
def test_litestars_own_calls_set_and_clear_the_session(inside: bool) -> None:
    @litestar.get("/{name:str}")
    async def called(request: litestar.Request[Any, Any, Any]) -> Any:
        if (name := request.path_params["name"]) == "name":
            return dict(request.session)
        return request.set_session({"user": "Ada"}) if name == "set" else request.clear_session()

    layers = [DefineMiddleware(SessionMiddleware, secret_key=SECRET)] if inside else []
    app: Any = litestar.Litestar([called], middleware=layers, logging_config=None)
    with TestClient(app if inside else SessionMiddleware(app, SECRET), base_url="https://example.com") as client:
        answers = [client.get(f"/{name}").json() for name in ("set", "name", "clear", "name")]
    assert answers == [None, {"user": "Ada"}, None, {}]


def test_the_bare_class_in_litestars_list_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="is not given, and there is no store"):
        litestar.Litestar([], middleware=[SessionMiddleware])  # type: ignore[list-item]


async def test_the_store_of_the_page_keeps_what_a_store_has_to_keep() -> None:
    names: dict[str, Any] = {"application": page(len), "SessionMiddleware": SessionMiddleware}
    exec(code_with("class DictStore"), names)
    for store in (names["DictStore"](), MemoryStore()):
        assert await store.load("k") is None
        assert not await store.save("k", Change({"a": b"1"}, (), 5), 60)
        assert not await store.touch("k", 5, 60)
        assert await store.save("k", Change({"a": b"1", "b": b"2"}, (), 5, 4), 60)
        assert await store.save("k", Change({"c": b"3"}, ["a"], 6), 60)
        assert await store.touch("k", 7, 60)
        assert await store.save("k", Change({"d": b"4"}, ["b"], None), 0)
        assert await store.load("k") == ({"c": b"3", "d": b"4"}, 4, 7)
        assert await store.save("k", Change({}, (), 8), 0)
        assert await store.load("k") is None
        await store.save("k", Change({"a": b"1"}, (), 5, 4), 60)
        await store.delete("k")
        assert await store.load("k") is None


# Examples


def example(heading: str) -> Iterator[str]:
    section = TEXTS[PAGE].partition(f"### {heading}\n")[2].partition("\n##")[0]
    yield from re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def test_fastapi_with_redis_runs(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = example("FastAPI with Redis")
    monkeypatch.setenv("REDIS_URL", redis.url)
    names: dict[str, Any] = {"__name__": __name__}
    exec(code, names)
    with TestClient(names["app"], base_url="https://example.com") as ada:
        assert ada.get("/user").json() == {"user": None}
        assert not ada.cookies
        assert ada.post("/login", json={"name": "Ada", "password": "wrong"}).status_code == 401
        ada.post("/login", json={"name": "Ada", "password": "secret"})
        assert ada.get("/user").json() == {"user": "Ada"}
        assert ada.post("/cart/book").json() == ["book"]
        with ThreadPoolExecutor() as tabs:
            things = [f"thing {number}" for number in range(8)]
            assert [*tabs.map(lambda item: ada.post(f"/cart/{item}").status_code, things)] == [200] * 8
        assert ada.post("/cart/pen").json() == ["book", "pen", *things]
        value = ada.cookies["__Host-session"]
        ada.post("/logout")
        assert not ada.cookies
        copied = ada.get("/user", headers={"cookie": f"__Host-session={value}"})
        assert copied.json() == {"user": None}


GREETING = """
import asyncio, sys
import django
from asgiref.testing import ApplicationCommunicator
from project.asgi import application
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

call_command("migrate", verbosity=0)
ada = User.objects.create_user("ada", password="secret")
client = Client()
client.force_login(ada)
cookie = b"sessionid=" + client.cookies["sessionid"].value.encode()

async def greeted(cookie, origin=b"http://testserver"):
    headers = [(b"host", b"testserver"), (b"cookie", cookie), (b"origin", origin)]
    socket = ApplicationCommunicator(application, {"type": "websocket", "path": "/ws/", "headers": headers})
    await socket.send_input({"type": "websocket.connect"})
    first = await socket.receive_output()
    said = (await socket.receive_output())["text"] if first["type"] == "websocket.accept" else first["type"]
    await socket.send_input({"type": "websocket.disconnect", "code": 1000})
    await socket.wait()
    return said

async def main():
    for given in (cookie, b"sessionid=forged", b""):
        print(await greeted(given))
    print(await greeted(cookie, b"http://evil.example"))

asyncio.run(main())
ada.set_password("another")
ada.save()
print(asyncio.run(greeted(cookie)))
"""


def test_djangos_login_in_a_websocket_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "django", "startproject", "project", tmp_path],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    (tmp_path / "chat").mkdir()
    for code in example("Django's login in a websocket"):
        file = code.splitlines()[0].removeprefix("# ")
        (tmp_path / file).write_text(code)
    (tmp_path / "greeting.py").write_text(GREETING)
    done = subprocess.run(
        [sys.executable, "greeting.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    refused = "websocket.close"
    assert done.stdout.split("\n") == ["hello, ada", refused, refused, refused, refused, ""]
