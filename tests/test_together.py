"""The five layers in every order, and what the recommended order sends, byte for byte."""

from __future__ import annotations

import gzip
import logging
import os
from collections.abc import Iterator
from importlib import import_module
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import anyio
import pytest
from starlette.responses import FileResponse, HTMLResponse, StreamingResponse

from middleware import (
    CompressionMiddleware,
    CORSMiddleware,
    Middleware,
    ProtocolRouter,
    RequestIdMiddleware,
    RequestLogMiddleware,
    SessionMiddleware,
    TraceContextMiddleware,
    stack,
)
from middleware.lint import LintMiddleware
from tests.asgi import (
    CONNECT,
    REQUEST,
    SHUTDOWN,
    STARTUP,
    Client,
    Message,
    call,
    http_scope,
    lifespan_scope,
    websocket_scope,
)

TRANSCRIPTS = Path(__file__).parent / "transcripts"
NOW = 1_763_640_000  # seconds since the epoch
APP = b"https://app.example.com"
EVENTS = "text/event-stream"
PAGE = "<!doctype html>\n<title>Orders</title>\n" + "<p>Two green chairs and a lamp, delivered on Friday.</p>\n" * 40
FILE = bytes(range(256)) * 8
PIECES = [f"data: order {number} was delivered\n\n" for number in range(5)]
USER = b"Ada"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with a fixed time, which its ETag is made of."""
    path = tmp_path / "report.pdf"
    path.write_bytes(FILE)
    os.utime(path, (NOW, NOW))
    return path


def application(file: Path) -> Any:
    """An application with a page, a download, a stream, a websocket and a fault; its session says who is there."""

    async def pieces() -> Any:
        for piece in PIECES:
            yield piece

    async def talk(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": f"{scope['session']['user']}: {message['text']}"})

    async def live(scope: Any, receive: Any, send: Any) -> None:
        for event in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{event}"
            await send({"type": f"lifespan.{event}.complete"})

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await (live if scope["type"] == "lifespan" else talk)(scope, receive, send)
        path, session = scope["path"], scope["session"]
        response: Any
        if path == "/sign-in":
            session["user"] = USER.decode()
            response = HTMLResponse("", 303, {"location": "/"})
        elif path == "/":
            response = HTMLResponse(f"{PAGE}<p>{session['user']}</p>")
            response.body = b"" if scope["method"] == "HEAD" else response.body
        elif path == "/report.pdf":
            headers = {"x-user": session["user"]}
            response = FileResponse(file, headers=headers, media_type="application/pdf", filename="report.pdf")
        elif path == "/events":
            response = StreamingResponse(pieces(), headers={"x-user": session["user"]}, media_type=EVENTS)
        else:
            raise LookupError(path)
        await response(scope, receive, send)

    return app


def layer(cls: type) -> Middleware:
    """One of the layers, as a user would write it."""
    if cls is ProtocolRouter:
        return Middleware(lambda app: ProtocolRouter(http=app, websocket=app))
    options: dict[type, dict[str, Any]] = {
        CORSMiddleware: {"allow_origins": [APP.decode()], "allow_methods": ["PUT"], "allow_credentials": True},
        CompressionMiddleware: {"stream_content_types": [EVENTS]},
        SessionMiddleware: {"secret_key": "0123456789abcdef" * 4},
    }
    return Middleware(cls, **options.get(cls, {}))


# Requests

CROSS = [(b"host", b"api.example.com"), (b"origin", APP), (b"accept-encoding", b"gzip")]
ASKING = [(b"access-control-request-method", b"PUT"), (b"access-control-request-headers", b"content-type")]
TRACED = [(b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), (b"range", b"bytes=100-299")]


class Exchange(NamedTuple):
    """A request, and what the log says of it."""

    path: str
    status: int
    headers: list[Any] = []  # noqa: RUF012 - nobody writes into it
    method: str = "GET"
    outcome: str = "completed"
    is_signed_in: bool = True

    def scope(self, cookie: bytes) -> dict[str, Any]:
        headers = [*CROSS, *self.headers, *([(b"cookie", cookie)] if self.is_signed_in else [])]
        if self.status == 101:
            return websocket_scope(self.path, headers=headers)
        return http_scope(self.path, method=self.method, headers=headers)

    @property
    def events(self) -> list[Message]:
        if self.status != 101:
            return [REQUEST]
        text, gone = {"type": "websocket.receive", "text": "hello"}, {"type": "websocket.disconnect", "code": 1001}
        return [CONNECT, text, gone]


SIGN_IN = Exchange("/sign-in", 303, method="POST", is_signed_in=False)
PREFLIGHT = Exchange("/orders/7", 200, ASKING, method="OPTIONS", is_signed_in=False)
EXCHANGES = {
    "browser request": Exchange("/", 200),
    "preflight": PREFLIGHT,
    "download": Exchange("/report.pdf", 206, TRACED),
    "event stream": Exchange("/events", 200),
    "websocket": Exchange("/talk", 101),
}
OTHERS = {"failure": Exchange("/nothing", 500, outcome="failed"), "head": Exchange("/", 200, method="HEAD")}


def cookie_of(sent: list[Message]) -> bytes:
    (line,) = [value for name, value in sent[0]["headers"] if name == b"set-cookie"]
    return bytes(line.partition(b";")[0])


# Every order

GRANTED = {"access-control-allow-origin": {APP.decode()}, "access-control-allow-credentials": {"true"}}
VARY = {"origin", "accept-encoding", "cookie"}
GZIPPED = {**GRANTED, "content-encoding": {"gzip"}, "vary": VARY}
HTML = {**GZIPPED, "content-type": {"text/html; charset=utf-8"}}
NAMED = {"x-user": {USER.decode()}}
# What every order sends: values of headers, and the body as the user sees it.
WANTED: dict[str, tuple[dict[str, set[str]], bytes]] = {
    "browser request": (HTML, f"{PAGE}<p>Ada</p>".encode()),
    "preflight": (
        {**GRANTED, "access-control-allow-methods": {"put"}, "access-control-allow-headers": {"content-type"}},
        b"OK",
    ),
    "download": (
        {**GRANTED, **NAMED, "vary": {"origin", "cookie"}, "content-range": {"bytes 100-299/2048"}},
        FILE[100:300],
    ),
    "event stream": ({**GZIPPED, **NAMED}, "".join(PIECES).encode()),
    "websocket": ({}, b"Ada: hello"),
    "failure": ({}, b""),
    "head": (HTML, b""),
}


class Lines(logging.Handler):
    """The records of requests."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "middleware.request_log":
            self.taken.append({**vars(record), "line": record.getMessage()})


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler, logger = Lines(), logging.getLogger("middleware.request_log")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(handler)


FIVE = (RequestLogMiddleware, CORSMiddleware, CompressionMiddleware, SessionMiddleware, ProtocolRouter)


async def test_every_order_of_the_five_layers_passes_the_same_requests(file: Path, lines: Lines) -> None:
    lint = Middleware(LintMiddleware, strict=True)
    seen: dict[str, dict[str, list[str]]] = {}  # the headers, which are the same in every order
    for order in permutations(FIVE):
        wrapped = stack(application(file), *(one for cls in order for one in (lint, layer(cls))), lint)
        names = ", ".join(cls.__name__ for cls in order)
        started = await call(wrapped, lifespan_scope(), STARTUP, SHUTDOWN)
        assert [message["type"] for message in started] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        cookie = cookie_of(await call(wrapped, SIGN_IN.scope(b""), REQUEST))
        for name, exchange in (EXCHANGES | OTHERS).items():
            lines.taken.clear()
            headers = await _headers_if_as_wanted(wrapped, name, exchange, cookie, names)
            assert seen.setdefault(name, headers) == headers, f"{name}: {names}"
            # CORS answers a preflight itself, and nothing inside of it hears of that.
            is_heard = exchange is not PREFLIGHT or order.index(RequestLogMiddleware) < order.index(CORSMiddleware)
            said = [(one["outcome"], one["http.response.status_code"], one["url.path"]) for one in lines.taken]
            assert said == [(exchange.outcome, exchange.status, exchange.path)] * is_heard, f"{name}: {names}"


async def _headers_if_as_wanted(
    wrapped: Any, name: str, exchange: Exchange, cookie: bytes, order: str
) -> dict[str, list[str]]:
    client, has_failed = Client(*exchange.events), False
    with anyio.fail_after(5):
        try:
            await wrapped(exchange.scope(cookie), client.receive, client.send)
        except LookupError as error:
            has_failed = error.args == (exchange.path,)
    assert has_failed is (exchange.outcome == "failed"), f"{name}: {order}"
    if has_failed:
        assert client.sent == [], f"{name}: {order}"
        return {}
    headers, body = WANTED[name]
    start, *rest = client.sent
    found = _lists(start.get("headers", ()))
    assert all(values <= {*found.get(key, [])} for key, values in headers.items()), f"{name}: {order}"
    if exchange.status == 101:
        assert (start["type"], rest) == ("websocket.accept", [{"type": "websocket.send", "text": body.decode()}]), order
        return found
    assert start["status"] == exchange.status, f"{name}: {order}"
    sent = b"".join(message.get("body", b"") for message in rest)
    assert (gzip.decompress(sent) if sent and "content-encoding" in found else sent) == body, f"{name}: {order}"
    if name == "event stream":
        assert sum(bool(message.get("body")) for message in rest) >= len(PIECES), order
    return found


def _lists(headers: Any) -> dict[str, list[str]]:
    """The values of headers in alphabetical order; those that are lists of names one by one, in lower case."""
    found: dict[str, list[str]] = {}
    for name, value in headers:
        key, text = name.decode().lower(), value.decode()
        is_list = key in ("vary", "access-control-allow-methods", "access-control-allow-headers")
        found[key] = sorted([*found.get(key, []), *(text.lower().replace(" ", "").split(",") if is_list else [text])])
    return found


# The recommended order

RECOMMENDED = (
    RequestLogMiddleware,
    RequestIdMiddleware,
    TraceContextMiddleware,
    CORSMiddleware,
    CompressionMiddleware,
    SessionMiddleware,
    ProtocolRouter,
)
STARTS = ("http.response.start", "websocket.accept")


@pytest.fixture
def fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time stands still, and ids are numbers."""
    numbers = iter(range(1, 1_000))
    for name in ("request_id", "trace_context"):
        module = import_module(f"middleware.request_log.{name}")  # the package has functions of these names
        monkeypatch.setattr(module, "random_id", lambda: f"{next(numbers):016}" * 2)
    monkeypatch.setattr("middleware.request_log.watch.time", lambda: float(NOW))
    monkeypatch.setattr("middleware.request_log.watch.perf_counter_ns", lambda: 0)
    for name in ("keeper", "cookie_keeper"):
        monkeypatch.setattr(f"middleware.sessions.{name}.time", SimpleNamespace(time=lambda: NOW))


@pytest.mark.parametrize("name", ["sign in", *EXCHANGES])
async def test_the_recommended_order_sends_what_its_transcript_says(
    name: str, file: Path, lines: Lines, fixed: None
) -> None:
    """``REWRITE_TRANSCRIPTS=1 python -m pytest tests/test_together.py`` writes them anew."""
    wrapped = stack(application(file), *map(layer, RECOMMENDED))
    cookie = cookie_of(await call(wrapped, SIGN_IN.scope(b""), REQUEST))
    lines.taken.clear()
    exchange = EXCHANGES.get(name, SIGN_IN)
    scope, client = exchange.scope(cookie), Client(*exchange.events)
    requested = [*scope["headers"]]
    with anyio.fail_after(5):
        await wrapped(scope, client.receive, client.send)
    transcript = "\n".join(_transcript(exchange, requested, client.sent, lines.taken))
    path = TRANSCRIPTS / f"{name.replace(' ', '-')}.txt"
    if os.environ.get("REWRITE_TRANSCRIPTS"):
        await anyio.Path(path).write_text(transcript)
    assert await anyio.Path(path).read_text() == transcript


def _transcript(exchange: Exchange, requested: Any, sent: list[Message], said: list[dict[str, Any]]) -> Iterator[str]:
    """What came, what was sent, and the line in the log, without what depends on the version of zlib."""
    yield f"{exchange.method} {exchange.path}"
    yield from _shown(requested)
    for message in sent:
        body = message.get("body", b"")
        if message["type"] in STARTS:
            headers = _shown(message.get("headers", ()))
            is_encoded = "content-encoding: gzip" in headers
            yield f"\n{message.get('status', 101)}"
            yield from [
                "content-length: (of the gzip)" if one[:15] == "content-length:" and is_encoded else one
                for one in headers
            ]
            yield ""
        elif message["type"] == "websocket.send":
            yield f"> {message['text']}"
        elif body:
            yield "(gzip)" if is_encoded else f"({len(body)} bytes)"
    names = ("http.response.status_code", "outcome", "request_id", "trace_id", "span_id")
    yield ""
    yield from (" ".join(f"{name}={one[name]}" for name in names) for one in said)
    yield ""


def _shown(headers: Any) -> list[str]:
    return [f"{name.decode()}: {value.decode()}" for name, value in headers]
