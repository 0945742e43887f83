"""Requests through the class with sessions in cookies: eighteen faults that it does not have, and what it promises."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import struct
import uuid
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import anyio
import itsdangerous
import pytest
import starlette
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware as StarlettesMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from middleware import ConfigurationError, MemoryStore, SessionMiddleware
from middleware.lint import LintMiddleware
from middleware.sessions import SessionTooLargeError, keeper
from middleware.sessions.cookies import Cookie
from middleware.sessions.session import Session
from middleware.sessions.tokens import EncryptedTokens, SignedTokens, StarletteTokens, Token
from tests.asgi import (
    BODY,
    CONNECT,
    REQUEST,
    START,
    Client,
    Message,
    Spy,
    call,
    http_scope,
    lifespan_scope,
    websocket_scope,
)
from tests.promises import Unchangeable, frozen

KEY, OTHER = "0123456789abcdef" * 4, "fedcba9876543210" * 4
NOW, DAY = 1_800_000_000, 86_400
ACCEPT: Message = {"type": "websocket.accept", "subprotocol": None, "headers": []}
DENIED: Message = {"type": "websocket.http.response.start", "status": 403, "headers": []}
DENIED_BODY: Message = {"type": "websocket.http.response.body", "body": b""}
LOST = "a session was changed after the response had begun: its cookie cannot be sent any more"

Doing = Callable[[Any], Any]


def nothing(session: Any) -> None: ...


class App:
    """An application that does something to its session before and after it begins its response."""

    def __init__(self, before: Doing = nothing, after: Doing = nothing, start: Message = START, key: str = "session"):
        self.before, self.after, self.start, self.key = before, after, start, key

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        session = scope[self.key]
        self.before(session)
        await send({**self.start, "headers": [*self.start.get("headers", ())]})
        self.after(session)
        if self.start["type"] != "websocket.accept":
            await send({**BODY, "type": self.start["type"].replace("start", "body")})


def writing(**data: Any) -> App:
    return App(lambda session: session.update(data))


def scope_of(*cookies: bytes, start: Message = START, **changes: Any) -> dict[str, Any]:
    headers = [(b"host", b"a.example"), *[(b"cookie", cookie) for cookie in cookies]]
    if start["type"] == "http.response.start":
        return http_scope(headers=headers, **changes)
    return websocket_scope(headers=headers, extensions={"websocket.http.response": {}}, **changes)


async def head(app: Any, *cookies: bytes, start: Message = START, **changes: Any) -> dict[bytes, list[bytes]]:
    """The headers of the response by name, of which the application says how it begins."""
    scope = scope_of(*cookies, start=start, **changes)
    sent = await call(app, scope, REQUEST if scope["type"] == "http" else CONNECT)
    found: dict[bytes, list[bytes]] = {}
    for name, value in sent[0]["headers"]:
        found.setdefault(name.lower(), []).append(value)
    return found


async def set_by(app: Any, *cookies: bytes, **changes: Any) -> list[bytes]:
    """The cookies that are set, as ``name=value``."""
    lines = (await head(app, *cookies, **changes)).get(b"set-cookie", [])
    return [line.partition(b";")[0] for line in lines]


async def read(cls: Any, *cookies: bytes, key: str = KEY, **keywords: Any) -> Any:
    """The session as an application finds it."""
    found: list[Any] = []
    await head(cls(App(lambda session: found.append(dict(session))), key, **keywords), *cookies)
    return found[0]


async def made(cls: Any = SessionMiddleware, key: str = KEY, keywords: Any = (), **data: Any) -> bytes:
    """A cookie with that data in it."""
    (cookie,) = await set_by(cls(writing(**data), key, **dict(keywords)))
    return cookie


@contextlib.contextmanager
def at(seconds: float) -> Iterator[None]:
    with patch("time.time", lambda: seconds):
        yield


def authenticated(cls: Any, data: bytes, name: str = "session") -> bytes:
    """A cookie that holds whatever bytes, with a valid signature."""
    if cls is StarlettesMiddleware:
        return name.encode() + b"=" + itsdangerous.TimestampSigner(KEY).sign(b64encode(data))
    packed = struct.pack(">BII", 0, NOW, NOW) + data
    signer = itsdangerous.Signer(
        KEY, f"middleware.session.v1:{name}", key_derivation="hmac", digest_method=hashlib.sha256
    )
    return name.encode() + b"=" + signer.sign(urlsafe_b64encode(packed).rstrip(b"="))


async def outcome(case: Awaitable[Any]) -> Any:
    try:
        return await case
    except ConfigurationError as error:
        return "refused: " + ", ".join(dict.fromkeys(problem.parameter for problem in error.problems))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


# Eighteen faults of Starlette 1.10, each shown there and then here

FAULTS: list[tuple[Callable[[Any], Awaitable[Any]], Any, Any]] = []


def fault(starlettes: Any, ours: Any) -> Any:
    """A case that takes the class and returns what came of it, with what comes of Starlette's and of ours."""

    def add(case: Any) -> Any:
        FAULTS.append((case, starlettes, ours))
        return case

    return add


@fault({"session": {"inner": 1}, "admin": {"inner": 1}}, {"admin": {"inner": 1}})
async def fault_01_an_outer_cookie_gets_the_data_of_an_inner_session(cls: Any) -> Any:
    inner = cls(writing(inner=1), OTHER, "admin")
    cookies = await set_by(cls(inner, KEY), await made(cls, user="u1"))
    names = [cookie.partition(b"=")[0].decode() for cookie in cookies]
    keys = {"session": KEY, "admin": OTHER}
    return {
        name: await read(cls, cookie, key=keys[name], session_cookie=name)
        for name, cookie in zip(names, cookies, strict=True)
    }


@fault(["JSONDecodeError", "TypeError", "TypeError", "ValueError"], [{}, {}, {}, {}])
async def fault_02_signed_junk_fails_for_ever(cls: Any) -> Any:
    found = [await outcome(read(cls, authenticated(cls, junk))) for junk in (b"{", b"[1,2]", b"null", b'"ab"')]
    return [one.partition(":")[0] if isinstance(one, str) else one for one in found]


@fault({"user": "u1"}, {})
async def fault_03_the_cookie_of_another_name_is_accepted(cls: Any) -> Any:
    shop = await made(cls, keywords={"session_cookie": "shop"}, user="u1")
    return await read(cls, shop.replace(b"shop=", b"admin="), session_cookie="admin")


@fault({}, {"user": "u1"})
async def fault_04_a_clock_that_is_ahead_ends_the_session(cls: Any) -> Any:
    with at(NOW + 3):
        cookie = await made(cls, user="u1")
    with at(NOW):
        return await read(cls, cookie)


@fault({}, {"user": "u1"})
async def fault_05_a_tossed_cookie_covers_the_valid_one(cls: Any) -> Any:
    return await read(cls, await made(cls, user="u1") + b"; session=tossed")


@fault(8112, "SessionTooLargeError")
async def fault_06_a_cookie_is_sent_that_browsers_drop(cls: Any) -> Any:
    try:
        found = await head(cls(writing(noise=hashlib.shake_256(b"").hexdigest(3000)), KEY))
    except SessionTooLargeError as error:
        return type(error).__name__
    return len(found[b"set-cookie"][0])


@fault({"cart": [1]}, {"cart": [1, 2]})
async def fault_07_a_change_inside_is_lost(cls: Any) -> Any:
    cookie = await made(cls, cart=[1])
    (cookie,) = await set_by(cls(App(lambda session: session["cart"].append(2)), KEY), cookie) or [cookie]
    return await read(cls, cookie)


@fault({"user": 1, "b": 2}, {"user": 1, "a": 1, "b": 2})
async def fault_08_one_of_two_writers_is_lost(cls: Any) -> Any:
    keywords = {"store": MemoryStore()} if cls is SessionMiddleware else {}  # a cookie cannot know of another
    jar = cookie = await made(cls, keywords=keywords, user=1)
    for data in ({"a": 1}, {"b": 2}):
        (jar,) = await set_by(cls(writing(**data), KEY, **keywords), cookie) or [jar]
    return await read(cls, jar, **keywords)


@fault(14, 30)
async def fault_09_a_daily_reader_is_signed_out(cls: Any) -> Any:
    with at(NOW):
        jar = await made(cls, user="u1")
    for day in range(1, 31):
        with at(NOW + day * DAY):
            if not await read(cls, jar):
                return day - 1
            (jar,) = await set_by(cls(App(len), KEY), jar) or [jar]
    return 30


@fault([[], []], [["session"], ["session"]])
async def fault_10_a_websocket_gets_no_cookie(cls: Any) -> Any:
    apps = [App(lambda session: session.update(a=1), start=start) for start in (ACCEPT, DENIED)]
    cookies = [await set_by(cls(app, KEY), start=app.start) for app in apps]
    return [[cookie.partition(b"=")[0].decode() for cookie in found] for found in cookies]


@fault([], [LOST])
async def fault_11_a_late_write_is_lost_without_a_word(cls: Any) -> Any:
    with logged() as records:
        await head(cls(App(after=lambda session: session.update(a=1)), KEY))
    return [record.getMessage() for record in records]


@contextlib.contextmanager
def logged() -> Iterator[list[logging.LogRecord]]:
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        yield records
    finally:
        logging.getLogger().removeHandler(handler)


PUBLIC = {**START, "headers": [(b"cache-control", b"public, max-age=60")]}


@fault([None, [b"public, max-age=60"]], [[b"Cookie"], [b"max-age=60, private"]])
async def fault_12_shared_caches_keep_it(cls: Any) -> Any:
    found = await head(cls(App(lambda session: session.get("user")), KEY))
    wrote = await head(cls(App(lambda session: session.update(a=1), start=PUBLIC), KEY))
    return [found.get(b"vary"), wrote[b"cache-control"]]


@fault([[], []], [[b"session=null"], [b"session=null"]])
async def fault_13_a_cookie_that_is_not_valid_cannot_be_deleted(cls: Any) -> Any:
    with at(NOW - 100 * DAY):
        expired = await made(cls, user="u1")
    app = cls(App(lambda session: session.clear()), KEY)
    with at(NOW):
        return [await set_by(app, expired), await set_by(app, b"session=forged")]


@fault(
    ["AttributeError: 'dict' object has no attribute 'accessed'"] * 2,
    [[], [{"a": 1}]],
)
async def fault_14_a_plain_dict_in_the_scope_fails(cls: Any) -> Any:
    def put(data: dict[str, Any]) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            scope["session"] = data
            await send(START)
            await send(BODY)

        return app

    async def held(data: dict[str, Any]) -> Any:
        return [await read(cls, cookie) for cookie in await set_by(cls(put(data), KEY))]

    return [await outcome(held(data)) for data in ({}, {"a": 1})]


@fault({"user": "u1"}, {})
async def fault_15_a_cookie_is_valid_for_ever(cls: Any) -> Any:
    with at(NOW - 3650 * DAY):
        cookie = await made(cls, keywords={"max_age": None}, user="u1")
    with at(NOW):
        return await read(cls, cookie, max_age=None)


DEAD: list[tuple[dict[str, Any], str]] = [
    ({"secret_key": ""}, "secret_key"),
    ({"session_cookie": "__Host-a", "domain": "a.example", "path": "/a"}, "path, domain"),
    ({"same_site": "none", "https_only": False}, "https_only"),
    ({"max_age": 4000 * DAY}, "max_age"),
]


@fault([None] * 4, ["refused: " + parameters for _, parameters in DEAD])
async def fault_16_what_is_dead_or_insecure_is_accepted(cls: Any) -> Any:
    async def accepted(keywords: Any) -> None:
        cls(App(), **{"secret_key": KEY, **keywords})

    return [await outcome(accepted(keywords)) for keywords, _ in DEAD]


@fault([1, 1], [0, 0])
async def fault_17_an_equal_value_is_sent_again(cls: Any) -> Any:
    cookie = await made(cls, user="u1", cart=[1])
    apps = [writing(user="u1"), App(lambda session: session.update(cart=[*session.pop("cart")]))]
    return [len(await set_by(cls(app, KEY), cookie)) for app in apps]


UNIT = "is not JSON serializable"
NAMES = ("datetime", "UUID", "set", "bytes")


@fault(
    [*(f"TypeError: Object of type {name} {UNIT}" for name in NAMES), {"1": "a"}],
    [
        *(f"TypeError: session['it'] is not JSON: Object of type {name} {UNIT}" for name in NAMES),
        "TypeError: the keys of a session are strings: write session['1']",
    ],
)
async def fault_18_nobody_says_which_value_is_not_json(cls: Any) -> Any:
    async def kept(data: Any) -> Any:
        (cookie,) = await set_by(cls(App(lambda session: session.update(data)), KEY))
        return await read(cls, cookie)

    values = (datetime(2026, 1, 1), uuid.UUID(int=1), {1}, b"x")
    return [await outcome(kept(data)) for data in (*({"it": value} for value in values), {1: "a"})]


FAULTY = tuple(map(int, starlette.__version__.split(".")[:2])) >= (1, 10)  # where all of them have been seen


@pytest.mark.parametrize(("case", "starlettes", "ours"), FAULTS, ids=[case.__name__ for case, _, _ in FAULTS])
async def test_a_fault_of_starlettes_is_none_of_ours(case: Any, starlettes: Any, ours: Any) -> None:
    assert not FAULTY or await outcome(case(StarlettesMiddleware)) == starlettes
    with at(NOW):
        assert await outcome(case(SessionMiddleware)) == ours


# Faults of others


async def test_what_is_in_a_cookie_is_never_in_a_header() -> None:
    for value in (rb'"x\015\012X-Injected: 1"', rb'"x\073 domain=evil.example"', b"x\r\nX-Injected: 1", b"x" * 3000):
        for app in (writing(user=5), App(lambda session: session.clear()), App(len)):
            found = await head(SessionMiddleware(app, KEY), b"session=" + value)
            assert found.keys() <= {b"content-type", b"vary", b"set-cookie", b"cache-control"}
            assert b"evil" not in repr(found).encode() and b"Injected" not in repr(found).encode()


async def test_the_path_of_the_cookie_is_not_that_of_a_mount() -> None:
    def page(request: Request) -> PlainTextResponse:
        request.session["user"] = 5
        return PlainTextResponse("hello")

    app = SessionMiddleware(Starlette(routes=[Mount("/shop", routes=[Route("/", page)]), Route("/", page)]), KEY)
    for path in ("/shop/", "/"):
        (line,) = (await head(app, path=path))[b"set-cookie"]
        assert b"; path=/; " in line


async def test_nothing_is_in_the_session_but_what_the_application_put_there() -> None:
    assert await read(SessionMiddleware, await made(user=5)) == {"user": 5}


# Nothing is done when it is not touched


@pytest.mark.parametrize("keywords", [{}, {"encrypt": True}, {"accept_starlette_cookies": True}], ids=repr)
@pytest.mark.parametrize("start", [START, ACCEPT, DENIED], ids=lambda start: start["type"])
async def test_a_session_that_nobody_touches_costs_nothing(
    start: Message, keywords: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = await made(keywords=keywords, user=5)
    calls: list[str] = []
    with monkeypatch.context() as patched:
        for cls, names in {
            Cookie: ("found", "set", "deleted"),
            SignedTokens: ("read", "write"),
            EncryptedTokens: ("read", "write"),
            StarletteTokens: ("read",),
            json.JSONEncoder: ("encode",),
            keeper: ("_decode",),
        }.items():
            for name in names:
                patched.setattr(cls, name, counted(calls, name, getattr(cls, name)))
        body = {**BODY, "type": "websocket.http.response.body"} if start is DENIED else BODY
        app = Spy(start, *([body] if start is not ACCEPT else []))
        sent = await call(SessionMiddleware(app, KEY, **keywords), scope_of(cookie, start=start))
        assert calls == []
        assert sent[0] is start  # not even a copy
        await head(SessionMiddleware(App(len, start=start), KEY, **keywords), cookie, start=start)
        assert calls == ["found", "read", "_decode"]


def counted(calls: list[str], name: str, method: Any) -> Any:
    def counting(*args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        return method(*args, **kwargs)

    return counting


async def test_a_session_is_read_once() -> None:
    cookie = await made(user=5)
    with patch.object(SignedTokens, "read", autospec=True, side_effect=SignedTokens.read) as reading:
        await head(SessionMiddleware(App(lambda s: [len(s), s.get("user"), s.id], after=dict), KEY), cookie)
    assert reading.call_count == 1


async def test_a_session_is_encoded_once() -> None:
    with patch.object(json.JSONEncoder, "encode", autospec=True, side_effect=json.JSONEncoder.encode) as encoding:
        await head(SessionMiddleware(writing(user=5), KEY))
    assert encoding.call_count == 1


async def test_a_session_that_is_read_is_not_written_again() -> None:
    cookie = await made(user=5, cart=[1])
    for doing in (len, dict, lambda s: s["cart"], lambda s: s.update(user=5), lambda s: s.mark_modified()):
        assert await set_by(SessionMiddleware(App(doing), KEY), cookie) == []


@pytest.mark.parametrize(
    ("doing", "vary"),
    [
        (nothing, None),
        (lambda session: session.accessed, None),
        (lambda session: isinstance(session, dict), None),
        (len, [b"Cookie"]),
        (bool, [b"Cookie"]),
        (lambda session: session.is_new, [b"Cookie"]),
        (lambda session: session.mark_accessed(), [b"Cookie"]),
        (lambda session: session.update(a=1), [b"Cookie"]),
        (lambda session: session.clear(), [b"Cookie"]),
    ],
)
async def test_the_response_varies_if_the_session_matters(doing: Doing, vary: Any) -> None:
    app = SessionMiddleware(App(doing), KEY)
    for cookies in ((), (b"session=x",), (await made(user=5),)):
        assert (await head(app, *cookies)).get(b"vary") == vary


async def test_starlettes_request_makes_the_response_vary() -> None:
    def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(isinstance(request.session, dict)), headers={"vary": "Accept"})

    app = SessionMiddleware(Starlette(routes=[Route("/", page)]), KEY)
    assert (await head(app))[b"vary"] == [b"Accept, Cookie"]


# What is sent


async def test_a_session_goes_from_request_to_request() -> None:
    app = SessionMiddleware(App(lambda s: s.update(visits=s.get("visits", 0) + 1)), KEY)
    cookies: list[bytes] = []
    for visits in range(1, 5):
        cookies = await set_by(app, *cookies)
        assert await read(SessionMiddleware, *cookies) == {"visits": visits}


@pytest.mark.parametrize("keywords", [{}, {"encrypt": True}], ids=["signed", "encrypted"])
async def test_signed_and_encrypted_sessions_are_not_taken_for_each_other(keywords: dict[str, Any]) -> None:
    cookie = await made(keywords=keywords, user="someone")
    assert await read(SessionMiddleware, cookie, **keywords) == {"user": "someone"}
    assert await read(SessionMiddleware, cookie, encrypt=not keywords) == {}


async def test_former_secrets_are_read_and_the_next_write_has_the_new_one() -> None:
    old = await made(key=OTHER, user=5)
    assert await read(SessionMiddleware, old) == {}
    assert await read(SessionMiddleware, old, secret_key_fallbacks=[OTHER]) == {"user": 5}
    app = SessionMiddleware(writing(b=1), KEY, secret_key_fallbacks=["x" * 32, OTHER])
    (new,) = await set_by(app, old)
    assert await read(SessionMiddleware, new) == {"user": 5, "b": 1}


async def test_a_session_that_no_cookie_can_hold_fails_before_anything_is_sent() -> None:
    client = Client(REQUEST)
    noise = hashlib.shake_256(b"").hexdigest(3000)
    with pytest.raises(SessionTooLargeError):
        await SessionMiddleware(writing(noise=noise), KEY)(http_scope(), client.receive, client.send)
    assert client.sent == []


@pytest.mark.parametrize("size", [4_000, 60_000, 65_000, 65_537, 70_000, 400_000])
@pytest.mark.parametrize("encrypt", [False, True])
async def test_a_session_that_is_taken_is_read_again(size: int, encrypt: bool) -> None:
    """What compresses well fits into a cookie whatever its size."""
    try:
        cookie = await made(keywords={"encrypt": encrypt}, text="a" * size)
    except SessionTooLargeError:
        return
    assert await read(SessionMiddleware, cookie, encrypt=encrypt) == {"text": "a" * size}


async def test_other_headers_stay_and_messages_are_copied() -> None:
    given_ = [(b"X-A", b"1"), (b"Vary", b"Accept"), (b"set-cookie", b"a=1")]
    start = {**START, "headers": given_, "status": 201, "trailers": True}
    (sent, *_) = await call(SessionMiddleware(SendingAfter(start, lambda s: s.update(a=1)), KEY), http_scope())
    assert start["headers"] == [(b"X-A", b"1"), (b"Vary", b"Accept"), (b"set-cookie", b"a=1")]
    assert {**sent, "headers": None} == {**start, "headers": None}
    assert sent["headers"][:3] == [(b"X-A", b"1"), (b"vary", b"Accept, Cookie"), (b"set-cookie", b"a=1")]
    assert [name for name, _ in sent["headers"][3:]] == [b"cache-control", b"set-cookie"]


class SendingAfter:
    """An application that does something to its session and sends one message as it is."""

    def __init__(self, message: Message, doing: Doing = nothing) -> None:
        self.message, self.doing = message, doing

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.doing(scope["session"])
        await send(self.message)


async def test_a_response_without_headers_gets_them() -> None:
    app = SendingAfter({"type": "http.response.start", "status": 200}, lambda s: s.update(a=1))
    (sent,) = await call(SessionMiddleware(app, KEY), http_scope(headers=...))
    assert [name for name, _ in sent["headers"]] == [b"vary", b"cache-control", b"set-cookie"]


async def test_nothing_that_was_received_is_changed() -> None:
    cookie = await made(user=5)
    for start in (START, ACCEPT, DENIED):
        message = Unchangeable({**start, "headers": ((b"vary", b"Accept"),)})
        scope = frozen(scope_of(cookie, start=start))
        before = {**scope}
        await call(SessionMiddleware(SendingAfter(message, lambda s: s.update(b=1)), KEY), scope, CONNECT)
        assert message["headers"] == ((b"vary", b"Accept"),)
        assert {key: scope[key] for key in before} == before
        assert scope.keys() - before.keys() == {"session"}


@pytest.mark.parametrize("message", ["http.response.early_hint", "http.response.debug", "http.response.push", "x.y"])
async def test_what_comes_before_the_response_goes_through_as_it_is(message: str) -> None:
    early: Message = {"type": message, "headers": [], "info": {}, "links": []}

    class Early(App):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            scope["session"]["a"] = 1
            await send(early)
            await super().__call__(scope, receive, send)

    first, start, _ = await call(SessionMiddleware(Early(), KEY), http_scope())
    assert first is early
    assert b"set-cookie" in dict(start["headers"])


@pytest.mark.parametrize("scope", [lifespan_scope(), {"type": "mqtt", "headers": [(b"cookie", b"session=x")]}])
async def test_other_connections_go_through_untouched(scope: Any) -> None:
    app = Spy({"type": "lifespan.startup.complete"}, returns="returned")
    client = Client()
    before = {**scope}
    await SessionMiddleware(app, KEY)(scope, client.receive, client.send)
    assert app.calls == [(scope, client.receive, client.send)]
    assert app.calls[0][0] is scope
    assert scope == before


# Websockets


@pytest.mark.parametrize("start", [ACCEPT, DENIED], ids=["accepted", "denied"])
@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_a_websocket_gets_its_cookie_when_it_is_accepted_or_denied(start: Message, scheme: str) -> None:
    start = {**start, "headers": [(b"x-a", b"1"), (b"vary", b"Origin")]}
    app = SessionMiddleware(App(lambda s: s.update(user=5), start=start), KEY)
    found = await head(app, start=start, scheme=scheme)
    (line,) = found[b"set-cookie"]
    assert (b"; secure" in line) is (scheme == "wss")
    assert await read(SessionMiddleware, line.partition(b";")[0]) == {"user": 5}
    assert found[b"x-a"] == [b"1"]
    denied = start["type"] == DENIED["type"]
    assert found[b"vary"] == ([b"Origin, Cookie"] if denied else [b"Origin"])
    assert found.get(b"cache-control") == ([b"private"] if denied else None)


@pytest.mark.parametrize("start", [ACCEPT, DENIED], ids=["accepted", "denied"])
async def test_a_websocket_reads_and_deletes_the_cookie(start: Message) -> None:
    cookie = await made(user=5)
    seen: list[Any] = []
    app = SessionMiddleware(App(lambda s: [seen.append(dict(s)), s.invalidate()], start=start), KEY)
    assert await set_by(app, cookie, start=start) == [b"session=null"]
    assert seen == [{"user": 5}]


async def test_a_websocket_that_is_closed_at_once_keeps_nothing_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    close = {"type": "websocket.close", "code": 1000}
    app = SessionMiddleware(SendingAfter(close, lambda s: s.update(a=1)), KEY)
    assert await call(app, websocket_scope(), CONNECT) == [close]
    assert [record.getMessage() for record in caplog.records] == [LOST]


# Too late


@pytest.mark.parametrize(
    ("late", "lost"),
    [
        (lambda s: s.update(b=1), True),
        (lambda s: s["cart"].append(2), True),
        (lambda s: s.pop("user"), True),
        (lambda s: s.clear(), True),
        (lambda s: s.invalidate(), True),
        (lambda s: s.update(user=5), False),
        (lambda s: [s["cart"].append(2), s["cart"].pop()], False),
        (dict, False),
        (nothing, False),
    ],
)
@pytest.mark.parametrize("start", [START, ACCEPT, DENIED], ids=lambda start: start["type"])
async def test_a_change_that_comes_too_late_is_lost_with_a_warning(
    start: Message, late: Doing, lost: bool, caplog: pytest.LogCaptureFixture
) -> None:
    cookie = await made(user=5, cart=[1])
    for before in (nothing, dict, lambda s: s.update(c=1)):
        caplog.clear()
        await head(SessionMiddleware(App(before, late, start), KEY), cookie, start=start)
        assert len(caplog.records) == lost
        for record in caplog.records:
            assert (record.name, record.levelno) == ("middleware.sessions", logging.WARNING)
            assert "after the response had begun" in record.getMessage()


@pytest.mark.parametrize("start", [START, ACCEPT, DENIED], ids=lambda start: start["type"])
@pytest.mark.parametrize("options", [{"secret_key": KEY}, {"store": MemoryStore()}], ids=["cookie", "store"])
async def test_to_regenerate_too_late_is_an_error_and_changes_nothing(
    start: Message, options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    (cookie,) = await set_by(SessionMiddleware(writing(user=5), **options))
    found: list[Any] = []
    for before in (nothing, dict):
        layer = SessionMiddleware(App(before, lambda s: s.regenerate(), start), **options)
        with pytest.raises(RuntimeError, match=r"^regenerate\(\) must come before the response begins"):
            await head(layer, cookie, start=start)
        await head(SessionMiddleware(App(lambda s: found.append(dict(s))), **options), cookie)
    assert found == [{"user": 5}] * 2
    assert caplog.records == []


async def test_what_was_taken_in_time_and_is_changed_too_late_is_lost_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    taken: list[Any] = []
    app = App(lambda s: taken.append(s["cart"]), lambda s: taken[0].append(2))
    await head(SessionMiddleware(app, KEY), await made(cart=[1]))
    assert [record.getMessage() for record in caplog.records] == [LOST]


async def test_a_late_change_is_told_of_where_the_application_fails_too(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Boom):
        await head(SessionMiddleware(App(after=lambda s: [s.update(a=1), failing(s)]), KEY))
    assert [record.getMessage() for record in caplog.records] == [LOST]


async def test_a_session_that_begins_too_late_is_lost_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    found = await head(SessionMiddleware(App(after=lambda s: s.update(a=1)), KEY))
    assert b"set-cookie" not in found
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [(logging.WARNING, LOST)]


# What fails


class Boom(Exception):
    pass


def failing(session: Any) -> None:
    raise Boom


@pytest.mark.parametrize("late", [False, True], ids=["before the start", "after it"])
@pytest.mark.parametrize("write", [False, True])
async def test_an_exception_goes_through_as_it_is(late: bool, write: bool) -> None:
    error = Boom()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if write:
            scope["session"]["a"] = object()
        if late:
            scope["session"].clear()
            await send(START)
            scope["session"]["a"] = object()
        raise error

    client = Client(REQUEST)
    with pytest.raises(Boom) as caught:
        await SessionMiddleware(app, KEY)(http_scope(), client.receive, client.send)
    assert caught.value is error
    assert len(client.sent) == late


async def test_what_is_written_before_an_exception_is_not_sent() -> None:
    client = Client(REQUEST)
    with pytest.raises(Boom):
        await SessionMiddleware(App(lambda s: [s.update(a=1), failing(s)]), KEY)(
            http_scope(), client.receive, client.send
        )
    assert client.sent == []


async def test_an_error_page_keeps_what_was_written_before() -> None:
    """The page is a response like any other: who was greeted as signed in stays so."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["user"] = 5
        await send({**START, "status": 500})
        await send(BODY)

    assert len(await set_by(SessionMiddleware(app, KEY))) == 1


BAD: dict[str, Any] = {
    "not JSON": {"bad": object()},
    "too large": {"noise": hashlib.shake_256(b"").hexdigest(3000)},
    "key": {5: 1},
}
PAGES: dict[str, Doing] = {
    "simple": nothing,
    "reads": lambda session: session.get("user"),
    "reads a list": lambda session: session.get("cart"),
    "reads all": dict,
    "writes": lambda session: session.update(flash="sorry"),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("put", [False, True], ids=["updated", "put"])
async def test_the_error_page_gets_through_when_the_session_cannot_be_kept(bad: str, page: str, put: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if put:
            scope["session"] = {"user": 5, "cart": [1], **BAD[bad]}
        else:
            scope["session"].update(BAD[bad])
        try:
            await send(START)
        except Exception:
            PAGES[page](scope["session"])
            await send({**START, "status": 500})
            await send(BODY)
            raise

    client = Client(REQUEST)
    with pytest.raises((TypeError, SessionTooLargeError)) as caught:
        await SessionMiddleware(app, KEY)(scope_of(await made(user=5, cart=[1])), client.receive, client.send)
    assert "session" in str(caught.value)
    assert [message.get("status") for message in client.sent] == [500, None]
    assert b"set-cookie" not in dict(client.sent[0]["headers"])


async def test_a_cookie_session_cannot_be_saved_by_hand() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await scope["session"].save()

    with pytest.raises(RuntimeError, match="only a session in a store"):
        await call(SessionMiddleware(app, KEY), http_scope())


# Several of them


async def test_two_under_different_keys_are_independent() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["outer"] = 1
        scope["admin"]["inner"] = 2
        await App()(scope, receive, send)

    inner = SessionMiddleware(app, OTHER, "admin", scope_key="admin", path="/admin")
    inner_cookie, outer_cookie = await set_by(SessionMiddleware(inner, KEY))
    assert await read(SessionMiddleware, outer_cookie) == {"outer": 1}
    assert await read(SessionMiddleware, inner_cookie, key=OTHER, session_cookie="admin") == {"inner": 2}
    only_outer = SessionMiddleware(SessionMiddleware(writing(a=1), OTHER, "admin", scope_key="admin"), KEY)
    assert [cookie.partition(b"=")[0] for cookie in await set_by(only_outer)] == [b"session"]


async def test_one_inside_another_of_the_same_key_covers_it_for_what_it_wraps() -> None:
    seen: list[Any] = []

    async def middle(scope: Any, receive: Any, send: Any) -> None:
        await SessionMiddleware(inner, OTHER, "admin")(scope, receive, send)
        seen.append(dict(scope["session"]))

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope["session"]))
        scope["session"]["b"] = 2
        scope["route"] = "/"
        await App()(scope, receive, send)

    scope = scope_of(await made(a=1), await made(key=OTHER, keywords={"session_cookie": "admin"}, c=3))
    sent = await call(SessionMiddleware(middle, KEY), scope)
    assert seen == [{"c": 3}, {"a": 1}]
    (line,) = [value for name, value in sent[0]["headers"] if name == b"set-cookie"]
    assert await read(SessionMiddleware, line.partition(b";")[0], key=OTHER, session_cookie="admin") == {"c": 3, "b": 2}
    assert (scope["session"], scope["route"]) == ({"a": 1}, "/")


async def test_the_same_one_twice_sends_one_cookie() -> None:
    cookie = await made(a=1)
    (found,) = await set_by(SessionMiddleware(SessionMiddleware(writing(b=2), KEY), KEY), cookie)
    assert await read(SessionMiddleware, found) == {"a": 1, "b": 2}


async def test_one_inside_starlettes_leaves_that_alone() -> None:
    outer_cookie = await made(StarlettesMiddleware, user="u1")
    both = StarlettesMiddleware(SessionMiddleware(writing(b=2), OTHER, "admin"), KEY)
    (cookie,) = await set_by(both, outer_cookie)
    assert cookie.startswith(b"admin=")


# What the application puts in the scope

PUT: list[tuple[Any, bool, Any]] = [
    ({}, False, "nothing"),
    ({}, True, "deleted"),
    ({"a": 1}, False, {"a": 1}),
    ({"a": 1}, True, {"a": 1}),
    ({"user": 5}, True, "nothing"),
    (Session({"a": 1}), True, {"a": 1}),
    (None, True, "deleted"),
    ("text", True, "deleted"),
]


@pytest.mark.parametrize(("put", "sent", "expected"), PUT, ids=repr)
async def test_a_plain_dict_in_the_scope_is_the_new_content(put: Any, sent: bool, expected: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"] = put
        await send(START)
        await send(BODY)

    cookies = await set_by(SessionMiddleware(app, KEY), *([await made(user=5)] if sent else []))
    held = [
        b"session=null" if cookie.endswith(b"=null") else await read(SessionMiddleware, cookie) for cookie in cookies
    ]
    assert held == {"nothing": [], "deleted": [b"session=null"]}.get(
        expected if isinstance(expected, str) else "", [expected]
    )


async def test_the_key_can_be_taken_out_of_the_scope() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        del scope["session"]
        await send(START)
        await send(BODY)

    assert await set_by(SessionMiddleware(app, KEY), await made(user=5)) == []


# Tossed and forged cookies


@pytest.mark.parametrize("tossed", [b"", b"x", b"null", b'"', b"a.b.c", b"\xff", b"A" * 4000])
async def test_the_valid_one_of_four_cookies_is_read(tossed: bytes) -> None:
    for number in range(4):
        cookies = [b"session=" + tossed] * 4
        cookies[number] = await made(user=5)
        assert await read(SessionMiddleware, *cookies) == {"user": 5}
        assert await read(SessionMiddleware, b";".join(cookies)) == {"user": 5}


async def test_no_more_than_four_cookies_are_tried() -> None:
    valid = await made(user=5)
    with patch.object(SignedTokens, "read", autospec=True, side_effect=SignedTokens.read) as reading:
        assert await read(SessionMiddleware, *[b"session=x"] * 4, valid) == {}
    assert reading.call_count == 4
    assert await read(SessionMiddleware, *[b"session=x"] * 3, valid, *[b"session=y"] * 500) == {"user": 5}


async def test_the_first_valid_cookie_is_the_session() -> None:
    one, other = await made(user=1), await made(user=2)
    assert await read(SessionMiddleware, one, other) == {"user": 1}
    assert await read(SessionMiddleware, b"session=x; " + other + b"; " + one) == {"user": 2}


ENDINGS: dict[str, Doing] = {
    "clear": lambda session: session.clear(),
    "invalidate": lambda session: session.invalidate(),
    "emptied": lambda session: [session.pop(key) for key in [*session]],
    "written and emptied": lambda session: [session.update(a=1), session.clear()],
    "regenerated and emptied": lambda session: [session.regenerate(), session.clear()],
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_session_that_ends_deletes_its_cookie(ending: str) -> None:
    app = SessionMiddleware(App(ENDINGS[ending]), KEY, path="/a", domain="a.example", same_site="strict")
    (line,) = (await head(app, await made(user=5)))[b"set-cookie"]
    assert line == (
        b"session=null; path=/a; expires=Thu, 01 Jan 1970 00:00:00 GMT; httponly; samesite=strict; domain=a.example"
    )
    assert await read(SessionMiddleware, line.partition(b";")[0]) == {}


@pytest.mark.parametrize("after", [nothing, dict, lambda s: s.get("user"), lambda s: s.clear()])
async def test_of_a_logout_nothing_is_told(after: Doing, caplog: pytest.LogCaptureFixture) -> None:
    for options in ({"secret_key": KEY}, {"store": MemoryStore()}):
        for end in (lambda s: s.clear(), lambda s: s.invalidate()):
            (cookie,) = await set_by(SessionMiddleware(writing(user={"id": 5}), **options))
            app = App(lambda s, end=end: [s.get("user"), end(s)], after)
            assert await set_by(SessionMiddleware(app, **options), cookie) == [b"session=null"]
    assert caplog.records == []


@pytest.mark.parametrize("ending", ["clear", "invalidate", "written and emptied", "regenerated and emptied"])
@pytest.mark.parametrize("forged", [b"session=", b"session=forged", b"session=a.b", b'session="x"'])
async def test_a_forged_cookie_is_deleted_with_the_session(forged: bytes, ending: str) -> None:
    assert await set_by(SessionMiddleware(App(ENDINGS[ending]), KEY), forged) == [b"session=null"]


@pytest.mark.parametrize("ending", ENDINGS)
async def test_no_cookie_is_deleted_where_none_came(ending: str) -> None:
    for cookies in ((), (b"xsession=a",), (b"session2=b",)):
        assert await set_by(SessionMiddleware(App(ENDINGS[ending]), KEY), *cookies) == []


async def test_a_forged_cookie_that_is_only_read_is_left_alone() -> None:
    assert await set_by(SessionMiddleware(App(dict), KEY), b"session=forged") == []


JUNK = [
    b"",
    b"{",
    b"[]",
    b"[1,2]",
    b"null",
    b"true",
    b"5",
    b'"ab"',
    b"\xff",
    b'{"a":}',
    b"NaN",
    b"[" * 60_000,
    b'{"a":' * 20_000,
]


@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: repr(junk[:20]))
async def test_authenticated_junk_is_no_session(junk: bytes) -> None:
    with at(NOW):
        cookie = authenticated(SessionMiddleware, junk)
        assert await read(SessionMiddleware, cookie) == {}
        assert await read(SessionMiddleware, cookie, await made(user=5)) == {"user": 5}
        assert await set_by(SessionMiddleware(App(lambda s: s.clear()), KEY), cookie) == [b"session=null"]
        assert await read(SessionMiddleware, authenticated(SessionMiddleware, b'{"user":5}')) == {"user": 5}
        theirs = authenticated(StarlettesMiddleware, junk)
        assert await read(SessionMiddleware, theirs, accept_starlette_cookies=True) == {}


async def test_each_byte_of_a_cookie_matters() -> None:
    cookie = await made(user=5)
    for place in range(len(b"session="), len(cookie)):
        for byte in {cookie[place] ^ 1, cookie[place] ^ 32, *b'; \t"=\0\xff'} - {cookie[place]}:
            assert await read(SessionMiddleware, cookie[:place] + bytes([byte]) + cookie[place + 1 :]) == {}
        assert await read(SessionMiddleware, cookie[:place]) == {}
    for wrapped in (cookie, cookie.replace(b"=", b'="', 1) + b'"', cookie + b"\t; a=b"):
        assert await read(SessionMiddleware, wrapped) == {"user": 5}


# Starlette's cookies


async def test_starlettes_cookies_are_read_if_that_is_asked_for() -> None:
    cookie = await made(StarlettesMiddleware, user="ä", cart=[1])
    assert await read(SessionMiddleware, cookie) == {}
    assert await read(SessionMiddleware, cookie, accept_starlette_cookies=True) == {"user": "ä", "cart": [1]}
    assert await read(SessionMiddleware, cookie, key=OTHER, accept_starlette_cookies=True) == {}
    found = await read(SessionMiddleware, cookie, key=OTHER, secret_key_fallbacks=[KEY], accept_starlette_cookies=True)
    assert found == {"user": "ä", "cart": [1]}


@pytest.mark.parametrize("encrypt", [False, True])
async def test_starlettes_cookie_becomes_ours_with_the_next_change(encrypt: bool) -> None:
    cookie = await made(StarlettesMiddleware, user=5)
    app = SessionMiddleware(writing(b=1), KEY, accept_starlette_cookies=True, encrypt=encrypt)
    (ours,) = await set_by(app, cookie)
    assert await read(SessionMiddleware, ours, encrypt=encrypt) == {"user": 5, "b": 1}


async def test_starlettes_cookie_ends_and_is_deleted_as_ours() -> None:
    with at(NOW - 14 * DAY - 1):
        over = await made(StarlettesMiddleware, user=5)
    with at(NOW - 14 * DAY):
        alive = await made(StarlettesMiddleware, user=5)
    with at(NOW):
        assert await read(SessionMiddleware, over, accept_starlette_cookies=True) == {}
        assert await read(SessionMiddleware, alive, accept_starlette_cookies=True) == {"user": 5}
        assert await read(SessionMiddleware, alive, accept_starlette_cookies=True, idle_timeout=DAY) == {}
        app = SessionMiddleware(App(lambda s: s.clear()), KEY, accept_starlette_cookies=True)
        assert await set_by(app, alive) == [b"session=null"]


async def test_starlettes_cookie_that_is_only_read_is_renewed_as_ours() -> None:
    with at(NOW):
        jar = await made(StarlettesMiddleware, user=5)
    app = SessionMiddleware(App(lambda s: s.get("user")), KEY, accept_starlette_cookies=True)
    for day in range(0, 40, 2):
        with at(NOW + day * DAY):
            (jar,) = await set_by(app, jar) or [jar]
            assert await read(SessionMiddleware, jar, accept_starlette_cookies=True) == {"user": 5}, day


async def test_of_starlettes_cookies_that_are_not_read_one_warning_tells(caplog: pytest.LogCaptureFixture) -> None:
    theirs = await made(StarlettesMiddleware, user=5)
    app = SessionMiddleware(App(len), KEY)
    await head(app, b"session=forged", await made(key=OTHER, user=5), await made(StarlettesMiddleware, OTHER, user=5))
    assert caplog.records == []
    for _ in range(3):
        await head(app, theirs)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "a session cookie of Starlette's class came and is not read: to go on with the sessions in those, "
        "write SessionMiddleware(..., accept_starlette_cookies=True)"
    )


@pytest.mark.parametrize("accept", [False, True])
async def test_what_another_signer_with_the_same_secret_has_signed_is_no_session(accept: bool) -> None:
    for text in (b"e30=.eA", b"e30=._________w", b"e30=." + b"_" * 40, b"a.b", b".", b""):
        cookie = b"session=" + itsdangerous.Signer(KEY).sign(text)
        assert await read(SessionMiddleware, cookie, accept_starlette_cookies=accept) == {}


# Times


@pytest.mark.parametrize(
    ("keywords", "after", "alive"),
    [
        ({}, 14 * DAY, True),
        ({}, 14 * DAY + 1, False),
        ({"max_age": 60}, 60, True),
        ({"max_age": 60}, 61, False),
        ({"max_age": None}, 14 * DAY, True),
        ({"max_age": None}, 14 * DAY + 1, False),
        ({"max_age": None, "idle_timeout": 60}, 61, False),
        ({"max_age": None, "idle_timeout": 100 * DAY}, 100 * DAY, True),
        ({"idle_timeout": 60}, 60, True),
        ({"idle_timeout": 60}, 61, False),
        ({"max_age": 60, "idle_timeout": 600}, 61, False),
        ({"absolute_timeout": 60}, 60, True),
        ({"absolute_timeout": 60}, 61, False),
        ({}, -30, True),
        ({}, -31, False),
        ({"max_age": None, "absolute_timeout": 10}, -31, False),
    ],
)
@pytest.mark.parametrize("encrypt", [False, True])
async def test_a_session_ends(keywords: dict[str, Any], after: int, alive: bool, encrypt: bool) -> None:
    keywords = {**keywords, "encrypt": encrypt}
    with at(NOW):
        cookie = await made(keywords=keywords, user=5)
    with at(NOW + after):
        assert await read(SessionMiddleware, cookie, **keywords) == ({"user": 5} if alive else {})


async def test_neither_reading_nor_writing_goes_beyond_the_absolute_timeout() -> None:
    for app in (App(dict), App(lambda s: s.update(n=s.get("n", 0) + 1) if s else None)):
        keywords = {"idle_timeout": 60, "absolute_timeout": 600}
        with at(NOW):
            jar = await made(keywords=keywords, user=5)
        for after in range(30, 640, 30):
            with at(NOW + after):
                assert bool(await read(SessionMiddleware, jar, **keywords)) is (after <= 600)
                (jar,) = await set_by(SessionMiddleware(app, KEY, **keywords), jar) or [jar]


async def test_the_cookie_ends_with_the_session() -> None:
    keywords = {"max_age": 1000, "absolute_timeout": 600}
    with at(NOW):
        (line,) = (await head(SessionMiddleware(writing(user=5), KEY, **keywords)))[b"set-cookie"]
        assert b"; Max-Age=600; " in line
    with at(NOW + 400):
        (line,) = (await head(SessionMiddleware(writing(b=1), KEY, **keywords), line.partition(b";")[0]))[b"set-cookie"]
        assert b"; Max-Age=200; " in line


async def test_a_session_that_is_only_read_is_renewed_once_per_tenth() -> None:
    app = SessionMiddleware(App(lambda s: s.get("user")), KEY, max_age=1000)
    with at(NOW):
        jar = await made(keywords={"max_age": 1000}, user=5)
    renewed = []
    for after in range(0, 3000, 7):
        with at(NOW + after):
            for cookie in await set_by(app, jar):
                renewed.append(after)
                jar = cookie
            assert await read(SessionMiddleware, jar, max_age=1000) == {"user": 5}
    assert renewed == [*range(105, 3000, 105)]  # the first multiples of seven that are 100 seconds later


async def test_a_renewed_session_is_the_same_one() -> None:
    times: list[Any] = []
    app = SessionMiddleware(
        App(lambda s: times.append((s.is_new, s.created, s.expires_at, dict(s)))), KEY, max_age=1000
    )
    with at(NOW):
        jar = await made(keywords={"max_age": 1000}, user=5)
    for after in (500, 900):
        with at(NOW + after):
            (jar,) = await set_by(app, jar)
    created = datetime.fromtimestamp(NOW, UTC)
    assert times == [
        (False, created, datetime.fromtimestamp(NOW + 1000, UTC), {"user": 5}),
        (False, created, datetime.fromtimestamp(NOW + 1500, UTC), {"user": 5}),
    ]


async def test_a_session_that_nobody_touches_is_not_renewed() -> None:
    with at(NOW):
        cookie = await made(user=5)
    with at(NOW + 13 * DAY):
        assert await set_by(SessionMiddleware(App(), KEY), cookie) == []


async def test_a_renewal_has_the_new_secret() -> None:
    with at(NOW):
        cookie = await made(key=OTHER, user=5)
    with at(NOW + 2 * DAY):
        (renewed,) = await set_by(SessionMiddleware(App(dict), KEY, secret_key_fallbacks=[OTHER]), cookie)
        assert await read(SessionMiddleware, renewed) == {"user": 5}


async def times_of(*cookies: bytes) -> tuple[Any, ...]:
    found: list[tuple[Any, ...]] = []
    app = App(lambda s: found.append((s.id, s.is_new, s.created and s.created.timestamp() - NOW, dict(s))))
    await head(SessionMiddleware(app, KEY), *cookies)
    return found[0]


async def test_a_write_goes_on_with_the_session_and_the_rest_begins_another() -> None:
    with at(NOW):
        jar = await made(user=5)
        assert await times_of() == (None, True, None, {})
    with at(NOW + 10):
        (written,) = await set_by(SessionMiddleware(writing(b=1), KEY), jar)
        (regenerated,) = await set_by(SessionMiddleware(App(lambda s: s.regenerate()), KEY), jar)
        (begun,) = await set_by(SessionMiddleware(App(lambda s: [s.invalidate(), s.update(c=2)]), KEY), jar)
        (deleted,) = await set_by(SessionMiddleware(App(lambda s: s.invalidate()), KEY), jar)
        assert await times_of(written) == (None, False, 0, {"user": 5, "b": 1})
        assert await times_of(regenerated) == (None, False, 10, {"user": 5})
        assert await times_of(begun) == (None, False, 10, {"c": 2})
        assert await times_of(deleted) == (None, True, None, {})


# At once


async def test_two_requests_at_once_have_nothing_in_common() -> None:
    inside: list[Any] = []
    ready = anyio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        session = scope["session"]
        session["seen"] = [session["user"]]
        inside.append(session)
        if len(inside) == 20:
            ready.set()
        await ready.wait()
        await send(START)
        await send(BODY)

    site = SessionMiddleware(app, KEY)
    cookies = [await made(user=number) for number in range(20)]
    results: dict[int, list[bytes]] = {}

    async def visit(number: int) -> None:
        results[number] = await set_by(site, cookies[number])

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(visit, number)
    assert len({id(session) for session in inside}) == 20
    for number, (cookie,) in results.items():
        assert await read(SessionMiddleware, cookie) == {"user": number, "seen": [number]}


# Between two linters


@pytest.mark.parametrize("start", [START, ACCEPT, DENIED], ids=lambda start: start["type"])
@pytest.mark.parametrize("before", [nothing, dict, lambda s: s.update(a=1), lambda s: s.clear()])
@pytest.mark.parametrize("after", [nothing, dict, lambda s: s.update(z=1)])
async def test_both_sides_keep_the_specification(start: Message, before: Doing, after: Doing) -> None:
    inside = LintMiddleware(App(before, after, start), strict=True)
    outside = LintMiddleware(SessionMiddleware(inside, KEY), strict=True)
    for cookies in ((), (b"session=forged",), (await made(user=5),)):
        (first, *_) = await call(outside, scope_of(*cookies, start=start), REQUEST if start is START else CONNECT)
        assert first["type"] == start["type"]


# Whatever comes

COOKIES = [
    b"session=" + SignedTokens([KEY], "session").write(Token(b'{"user":5,"cart":[1]}', NOW, NOW)),
    authenticated(StarlettesMiddleware, b'{"user":5}'),
    authenticated(SessionMiddleware, b"[1]"),
    b"session=",
    b"a=b",
]


def regenerate(session: Any) -> None:
    session.regenerate()


DOINGS: list[Doing] = [
    *[nothing, len, dict, repr, lambda s: s.get("user"), lambda s: s.update(b=[1]), lambda s: s.clear()],
    *[lambda s: s.setdefault("cart", []).append(2), regenerate, lambda s: s.invalidate()],
    *[lambda s: s.pop("user", None), lambda s: [s.id, s.is_new, s.created, s.expires_at]],
]


def run(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run what waits for nothing."""
    with contextlib.suppress(StopIteration):
        coroutine.send(None)
        raise AssertionError("it waited")


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    cookie = b"; ".join(draw(st.lists(st.sampled_from(COOKIES), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(cookie)))
        cookie = cookie[:place] + draw(st.binary(max_size=3)) + cookie[place + draw(st.integers(0, 3)) :]
    return cookie


HEADERS = st.lists(
    st.tuples(st.sampled_from([b"cookie", b"Cookie", b"cookie2", b""]), mutated() | st.binary(max_size=30)), max_size=4
)
SENT = st.lists(
    st.tuples(
        st.sampled_from([b"cache-control", b"Vary", b"set-cookie", b"cdn-cache-control", b"x"]), st.binary(max_size=12)
    ),
    max_size=3,
)


@settings(max_examples=300, deadline=None)
@given(
    headers=HEADERS,
    answered=SENT,
    start=st.sampled_from([START, ACCEPT, DENIED]),
    doings=st.lists(st.sampled_from(DOINGS), max_size=4),
    late=st.lists(st.sampled_from(DOINGS), max_size=2),
    keywords=st.sampled_from([{}, {"encrypt": True}, {"accept_starlette_cookies": True}, {"max_age": None}]),
    clock=st.sampled_from([NOW, NOW + 5 * DAY, NOW + 100 * DAY, NOW - 10, NOW - 10 * DAY]),
)
def test_no_request_fails_whatever_is_in_it(
    headers: Any, answered: Any, start: Message, doings: Any, late: Any, keywords: Any, clock: int
) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    def too_late(session: Any) -> None:
        for doing in late:
            if doing is regenerate:
                with pytest.raises(RuntimeError):
                    doing(session)
            else:
                doing(session)

    app = App(lambda session: [doing(session) for doing in doings], too_late, {**start, "headers": answered})
    scope = {**scope_of(start=start), "headers": headers}
    before = [*headers], [*answered]
    with at(clock):
        run(SessionMiddleware(app, KEY, **keywords)(scope, None, send))
    assert (headers, answered) == before
    assert sent[0]["type"] == start["type"]
    lines = [value for name, value in sent[0]["headers"] if (name, value) not in answered and name == b"set-cookie"]
    assert len(lines) <= 1
    for line in lines:
        value, _, rest = line.partition(b"; ")
        assert not value.removeprefix(b"session=").strip(
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
        )
        assert rest.startswith(b"path=/; ")
