"""What the documentation quotes is what the code says: errors, refusals, lines of the log."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from traceback import format_exception_only
from types import ModuleType
from typing import Any

import anyio
import pytest
from asgiref.sync import async_to_sync
from channels.generic.websocket import WebsocketConsumer
from channels.routing import ProtocolTypeRouter
from django.core.handlers.wsgi import WSGIHandler
from django.utils.asyncio import async_unsafe
from fastapi import FastAPI
from mcp.server import MCPServer
from starlette.datastructures import State

from middleware import (
    CompressionMiddleware,
    ConfigurationError,
    CORSMiddleware,
    DjangoSessionMiddleware,
    GZipMiddleware,
    HostRouter,
    MemoryStore,
    Middleware,
    PathRouter,
    ProtocolRouter,
    RedisStore,
    SessionMiddleware,
    SQLiteStore,
    WebSocketOriginMiddleware,
    outermost,
    stack,
)
from middleware.lint import LintMiddleware
from middleware.routing import participant
from tests.asgi import CONNECT, SHUTDOWN, STARTUP, call, http_scope, lifespan_scope, websocket_scope
from tests.pages import ROOT, TEXTS, blocks, flat, quotes, table

HELP = "docs/troubleshooting.md"


async def app(scope: Any, receive: Any, send: Any) -> None: ...


class ChatConsumer(WebsocketConsumer): ...


class Asgi2:
    def __init__(self, scope: Any) -> None: ...

    async def __call__(self, receive: Any, send: Any) -> None: ...


class Wsgi(WSGIHandler):
    def __init__(self) -> None: ...  # Django need not be set up


Wsgi.__name__ = "WSGIHandler"


def wsgi_app(environ: Any, start_response: Any) -> None: ...
def asgi2(scope: Any) -> None: ...
def create_app() -> None: ...
def four(a, b, c, d): ...  # type: ignore[no-untyped-def]
def get_response(request: Any) -> None: ...
async def aget_response(request: Any) -> None: ...


def coroutine() -> None:
    called = app(None, None, None)
    try:
        ProtocolRouter(http=called)  # type: ignore[arg-type]
    finally:
        called.close()


PROJECT = ModuleType("project.asgi")
PROJECT.application = app  # type: ignore[attr-defined]

ROUTER_MISTAKES: dict[str, list[Callable[[], Any]]] = {
    "nothing, or an empty mapping": [
        ProtocolRouter,
        lambda: ProtocolRouter({}),
        lambda: ProtocolRouter(lifespan=False),
    ],
    "Channels' consumer class": [lambda: ProtocolRouter(websocket=ChatConsumer)],
    "the class of an application": [lambda: ProtocolRouter(http=FastAPI)],
    "Django's WSGI application": [lambda: ProtocolRouter(http=Wsgi())],
    "another WSGI application": [lambda: ProtocolRouter(http=wsgi_app)],
    "an ASGI 2 application, a function": [lambda: ProtocolRouter(http=asgi2)],
    "an ASGI 2 application, a class": [lambda: ProtocolRouter(http=Asgi2)],
    "a factory": [lambda: ProtocolRouter(http=create_app)],
    "a coroutine: `app()` for `app`": [coroutine],
    "a module": [lambda: ProtocolRouter(http=PROJECT)],
    "a function with other arguments": [lambda: ProtocolRouter(http=four)],
    "`None` in the mapping": [lambda: ProtocolRouter({"http": None})],
    "something else that is not callable": [lambda: ProtocolRouter(http=42)],
    "a string without `:attribute`": [
        lambda: ProtocolRouter(http="chat.sockets"),
        lambda: ProtocolRouter(http="chat:"),
    ],
    "a module that does not exist": [lambda: ProtocolRouter(http="chatt.sockets:application")],
    "a mistyped attribute": [lambda: ProtocolRouter(http="project.asgi:aplication")],
    "an attribute that is not there (yet)": [lambda: ProtocolRouter(http="project.asgi:nothing")],
    "`ws`, `wss`, `websockets` or `WebSocket` as a scope type": [
        lambda: ProtocolRouter({"ws": app}),
        lambda: ProtocolRouter({"wss": app}),
        lambda: ProtocolRouter({"websockets": app}),
        lambda: ProtocolRouter({"WebSocket": app}),
    ],
    "`https`, `web` or `HTTP` as a scope type": [
        lambda: ProtocolRouter({"https": app}),
        lambda: ProtocolRouter({"HTTP": app}),
    ],
    "a scope type that is no string": [lambda: ProtocolRouter({b"http": app})],
    '`"default"` in the mapping': [lambda: ProtocolRouter({"default": app})],
    "a scope type in the mapping and as a keyword": [lambda: ProtocolRouter({"http": app}, http=app)],
    "an application where the mapping belongs": [lambda: ProtocolRouter(app)],
    "the class in Django's `settings.MIDDLEWARE`, or a view": [lambda: ProtocolRouter(get_response)],
}
PATH_MISTAKES: dict[str, list[Callable[[], Any]]] = {
    "an empty mapping, and no default": [lambda: PathRouter({})],
    "an application where the mapping belongs": [lambda: PathRouter(app)],  # type: ignore[arg-type]
    '`"api"`': [lambda: PathRouter({"api": app})],
    '`"/a//b"`, `"/a/.."`, `"/a?x"`, `"/api/*"`, `"/ws/{room:int}"` or `"/v{n}"`': [
        lambda prefix=prefix: PathRouter({prefix: app})
        for prefix in ("/a//b", "/a/..", "/a?x", "/api/*", "/ws/{room:int}", "/v{n}")
    ],
    '`"/caf%C3%A9"`': [lambda: PathRouter({"/caf%C3%A9": app})],
    '`"/{a}/{a}"`': [lambda: PathRouter({"/{a}/{a}": app})],
    '`"/api"` and `"/api/"`': [lambda: PathRouter({"/api": app, "/api/": app})],
    '`"/{room}"` and `"/{name}"`': [lambda: PathRouter({"/{room}": app, "/{name}": app})],
    "a prefix that is no string": [lambda: PathRouter({b"/api": app})],  # type: ignore[dict-item]
    "the class in Django's `settings.MIDDLEWARE`, or a view": [lambda: PathRouter(get_response)],  # type: ignore[arg-type]
}
HOST_MISTAKES: dict[str, list[Callable[[], Any]]] = {
    "an empty mapping, and no default": [lambda: HostRouter({})],
    "an application where the mapping belongs": [lambda: HostRouter(app)],  # type: ignore[arg-type]
    '`"*"`': [lambda: HostRouter({"*": app})],
    '`"example.com:8000"` or `"https://example.com/api"`': [
        lambda: HostRouter({"example.com:8000": app}),
        lambda: HostRouter({"https://example.com/api": app}),
    ],
    '`"*.example.com:8000"`': [lambda: HostRouter({"*.example.com:8000": app})],
    '`"::1"`': [lambda: HostRouter({"::1": app})],
    '`"bücher.example"`': [lambda: HostRouter({"bücher.example": app})],
    '`"api.*.example.com"`, `".example.com"` or `"a..b"`': [
        lambda host=host: HostRouter({host: app}) for host in ("api.*.example.com", ".example.com", "a..b")
    ],
    '`"example.com"` and `"EXAMPLE.com."`': [lambda: HostRouter({"example.com": app, "EXAMPLE.com.": app})],
    "a host that is no string": [lambda: HostRouter({b"example.com": app})],  # type: ignore[dict-item]
}
LIFESPAN_MISTAKES: dict[str, list[Callable[[], Any]]] = {
    '`lifespan="lazzy"`': [
        lambda: ProtocolRouter(http=app, lifespan="lazzy"),
        lambda: PathRouter({"/": app}, lifespan="lazzy"),
        lambda: HostRouter({"example.com": app}, lifespan="lazzy"),
    ],
    "`lifespan=True`": [lambda: PathRouter({"/": app}, lifespan=True)],  # type: ignore[arg-type]
}
STACK_MISTAKES: dict[str, list[Callable[[], Any]]] = {
    "`stack(app, LintMiddleware)`": [lambda: stack(app, LintMiddleware)],
    "`stack(app, LintMiddleware(app))`": [lambda: stack(app, LintMiddleware(app))],
    "`stack(app, Middleware(LintMiddleware(app)))`": [lambda: stack(app, Middleware(LintMiddleware(app)))],
    "`stack(app, [Middleware(LintMiddleware)])`": [lambda: stack(app, [Middleware(LintMiddleware)])],
    "a layer that returns nothing": [lambda: stack(app, Middleware(lambda app: None))],
}


def started() -> FastAPI:
    api = FastAPI()
    api.middleware_stack = api.build_middleware_stack()
    return api


OUTERMOST_MISTAKES: dict[str, list[Callable[[], Any]]] = {
    "`outermost(django, …)`, or any other application": [
        lambda: outermost(app),
        lambda: outermost(PathRouter({"/": app})),
    ],
    "`outermost(app, …)` in the lifespan or in a route": [lambda: outermost(started())],
}


def cors(*origins: Any, **options: Any) -> Callable[[], Any]:
    return lambda: CORSMiddleware(app, origins, **options)


def with_credentials(*origins: Any, **options: Any) -> Callable[[], Any]:
    return cors(*origins, allow_credentials=True, **options)


CORS_MISTAKES: dict[str, list[Callable[[], Any]]] = {
    "no origins in any of the three ways": [lambda: CORSMiddleware(app)],
    'a string: `allow_origins="https://app.example.com"`': [lambda: CORSMiddleware(app, "https://app.example.com")],
    'a string of several: `allow_origins="https://a.example,https://b.example"`': [
        lambda: CORSMiddleware(app, "https://a.example,https://b.example")
    ],
    "an iterator": [lambda: CORSMiddleware(app, iter(["https://app.example.com"]))],  # type: ignore[arg-type]
    '`"app.example.com"`': [
        cors("app.example.com"),
        cors(websocket_origins=["app.example.com"]),
        lambda: WebSocketOriginMiddleware(app, ["app.example.com"]),
    ],
    '`"localhost:5173"`': [cors("localhost:5173")],
    '`"https://app.example.com/"`': [cors("https://app.example.com/")],
    '`"https://app.example.com/shop"`': [cors("https://app.example.com/shop")],
    '`"https://App.example.com"`': [cors("https://App.example.com")],
    '`"https://app.example.com:443"`': [cors("https://app.example.com:443")],
    '`"https://bücher.example"`': [cors("https://bücher.example")],
    '`"https://user@app.example.com"`': [cors("https://user@app.example.com")],
    '`"https://a.example, https://b.example"` in the list': [cors("https://a.example, https://b.example")],
    '`"*"` beside others': [cors("*", "https://app.example.com")],
    '`"null"`': [cors("null")],
    '`"https://*.com"`': [cors("https://*.com"), with_credentials("https://*.com", allow_insecure_origins=True)],
    '`"wss://app.example.com"`': [cors("wss://app.example.com"), cors(websocket_origins=["wss://app.example.com"])],
    '`"https://*app.example.com"` or `"https://*"`': [cors("https://*app.example.com"), cors("https://*")],
    '`"file://"` or `"https://127.1"`': [cors("file://"), cors("https://127.1")],
    "a regular expression in `allow_origins`": [cors(r"https://.*\.example\.com"), cors(r"https://(a|b).example")],
    "what is no string in `allow_origins`": [cors(b"https://app.example.com"), cors(None)],
    '`allow_origin_regex="("`': [cors(allow_origin_regex="(")],
    '`allow_origin_regex="(a+)+"`': [cors(allow_origin_regex="(a+)+"), with_credentials(allow_origin_regex="(a+)+")],
    "`allow_origin_func=True`": [cors(allow_origin_func=True)],
    '`"patch"`': [cors(allow_methods=["patch"])],
    '`"TRACE"`, `"CONNECT"` or `"TRACK"`': [cors(allow_methods=[name]) for name in ("TRACE", "CONNECT", "TRACK")],
    '`"A B"` as a method': [cors(allow_methods=["A B"])],
    '`allow_headers=["Cookie"]`': [cors(allow_headers=["Cookie"])],
    '`allow_headers=["Origin"]` or another that is the browser\'s': [
        cors(allow_headers=[name]) for name in ("Origin", "host", "Content-Length")
    ],
    '`allow_headers=["Access-Control-Allow-Origin"]`': [cors(allow_headers=["Access-Control-Allow-Origin"])],
    '`"X Name"` as a header': [cors(allow_headers=["X Name"]), cors(expose_headers=["X Name"])],
    '`expose_headers=["Set-Cookie"]`': [cors(expose_headers=["Set-Cookie"])],
    '`max_age=-1`, `"600"` or `604800`': [cors(max_age=age) for age in (-1, "600", 604800)],
    '`allow_credentials="true"`': [cors(allow_credentials="true")],
    '`paths=["api"]`': [cors(paths=["api"])],
    'with credentials: `"*"`': [with_credentials("*")],
    'with credentials: `expose_headers=["*"]`': [with_credentials(expose_headers=["*"])],
    'with credentials: `allow_origin_regex=".*"`': [with_credentials(allow_origin_regex=".*")],
    'with credentials: `allow_origin_regex=r"https://.*.example.com"`': [
        with_credentials(allow_origin_regex=r"https://.*.example.com")
    ],
    r'with credentials: `allow_origin_regex=r"https://.*example\.com"`': [
        with_credentials(allow_origin_regex=r"https://.*example\.com", allow_insecure_origins=True)
    ],
    r'with credentials: `allow_origin_regex=r"https?://.*\.example\.com"`': [
        with_credentials(allow_origin_regex=r"https?://.*\.example\.com")
    ],
    'with credentials: `"http://app.example.com"`': [with_credentials("http://app.example.com")],
    'with credentials and the extra `psl`: `"https://*.github.io"`, or a regular expression for it': [
        with_credentials("https://*.github.io"),
        with_credentials(allow_origin_regex=r"https://.*\.github\.io"),
    ],
    "the class in Django's `settings.MIDDLEWARE`, or a view": [lambda: CORSMiddleware(get_response, [])],  # type: ignore[arg-type]
}


def compression(**options: Any) -> Callable[[], Any]:
    return lambda: CompressionMiddleware(app, **options)


def without_brotli(**options: Any) -> Callable[[], Any]:
    def way() -> None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setitem(sys.modules, "brotli", None)  # importing it fails then
            CompressionMiddleware(app, **options)

    return way


async def should_compress(scope: Any, status: int, headers: Any) -> bool: ...


COMPRESSION_MISTAKES: dict[str, list[Callable[[], Any]]] = {
    '`minimum_size=-1` or `"500"`': [
        compression(minimum_size=-1),
        compression(minimum_size="500"),
        lambda: GZipMiddleware(app, -1),
    ],
    '`compresslevel=0`, `10` or `"6"`': [
        lambda level=level: GZipMiddleware(app, compresslevel=level) for level in (0, 10, "6")
    ],
    '`levels={"br": 12}`': [compression(levels={"br": 12})],
    '`levels={"zstd": 22}`': [compression(levels={"zstd": 22})],
    '`levels={"brotli": 5}`': [compression(levels={"brotli": 5})],
    '`codecs=["gzip"], levels={"br": 5}`': [compression(codecs=["gzip"], levels={"br": 5})],
    "`levels=6`": [compression(levels=6)],
    '`codecs=["deflate"]`': [compression(codecs=["deflate"])],
    '`codecs="br"`': [compression(codecs="br")],
    "`codecs=[]`": [compression(codecs=[])],
    '`codecs=["br", "br"]`': [compression(codecs=["br", "br"])],
    'an iterator: `codecs=iter(["br"])`': [compression(codecs=iter(["br"]))],
    '`codecs=["br"]` or `levels={"br": 5}` without the extra': [
        without_brotli(codecs=["br"]),
        without_brotli(levels={"br": 5}),
    ],
    '`exclude_content_types="image/png"`': [
        compression(exclude_content_types="image/png"),
        lambda: GZipMiddleware(app, exclude_content_types="image/png"),
    ],
    '`"png"`, `"*/*"` or what is no string in `exclude_content_types` or `stream_content_types`': [
        compression(**{name: [wrong]})
        for name in ("exclude_content_types", "stream_content_types")
        for wrong in ("png", "*/*", b"image/png", None)
    ],
    '`etag="strong"`': [compression(etag="strong")],
    "`should_compress=True`": [compression(should_compress=True)],
    "`should_compress` with `async def`": [compression(should_compress=should_compress)],
    "the class in Django's `settings.MIDDLEWARE`, or a view": [
        lambda: CompressionMiddleware(get_response),  # type: ignore[arg-type]
        lambda: GZipMiddleware(get_response),  # type: ignore[arg-type]
    ],
}


SECRET = "0123456789abcdef0123456789abcdef"


def sessions(**options: Any) -> Callable[[], Any]:
    return lambda: SessionMiddleware(app, SECRET, **options)


def without(module: str, make: Callable[[], Any]) -> Callable[[], Any]:
    def way() -> None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setitem(sys.modules, module, None)  # importing it fails then
            make()

    return way


HOST = {"session_cookie": "__Host-session"}
SESSION_MISTAKES: dict[str, list[Callable[[], Any]]] = {
    "neither a secret nor a store": [lambda: SessionMiddleware(app)],
    '`secret_key=""`, or bytes; the same in `secret_key_fallbacks`': [
        lambda: SessionMiddleware(app, ""),
        lambda: SessionMiddleware(app, SECRET.encode()),
        sessions(secret_key_fallbacks=[""]),
        sessions(secret_key_fallbacks=[SECRET.encode()]),
    ],
    '`secret_key_fallbacks="…"`, one string': [sessions(secret_key_fallbacks=SECRET)],
    '`session_cookie="my session"`': [sessions(session_cookie="my session")],
    '`max_age=-1` or `"1800"`, the same with the timeouts': [
        sessions(**{name: wrong}) for name in ("max_age", "idle_timeout", "absolute_timeout") for wrong in (-1, "1800")
    ],
    "`max_age=40_000_000`": [sessions(max_age=40_000_000)],
    '`path="shop"`': [sessions(path="shop")],
    '`same_site="Lax"`': [sessions(same_site="Lax")],
    '`https_only="yes"`': [sessions(https_only="yes")],
    '`same_site="none", https_only=False`': [sessions(same_site="none", https_only=False)],
    "`partitioned=True, https_only=False`": [sessions(partitioned=True, https_only=False)],
    '`session_cookie="__Host-session", https_only=False`': [sessions(**HOST, https_only=False)],
    '`session_cookie="__Host-session", domain="example.com"`': [sessions(**HOST, domain="example.com")],
    '`session_cookie="__Host-session", path="/shop"`': [sessions(**HOST, path="/shop")],
    '`domain="https://example.com"`': [sessions(domain="https://example.com")],
    '`encrypt="yes"`': [sessions(encrypt="yes")],
    "`encrypt=True` without the extra": [
        without("cryptography.hazmat.primitives.ciphers.aead", sessions(encrypt=True))
    ],
    "`encrypt=True` or `accept_starlette_cookies=True` with a store": [
        sessions(store=MemoryStore(), encrypt=True),
        sessions(store=MemoryStore(), accept_starlette_cookies=True),
    ],
    "`store=MemoryStore`": [sessions(store=MemoryStore)],
    '`store="redis://localhost"`': [sessions(store="redis://localhost")],
    "`idle_timeout=7200, absolute_timeout=3600`": [sessions(idle_timeout=7200, absolute_timeout=3600)],
    '`scope_key=""`, or `"headers"` and what else is ASGI\'s': [
        sessions(scope_key=""),
        sessions(scope_key="headers"),
    ],
    "`MemoryStore(0)`": [lambda: MemoryStore(0)],
    '`SQLiteStore(":memory:")`, a folder, or a path with a NUL': [
        lambda: SQLiteStore(":memory:"),
        lambda: SQLiteStore(ROOT),
        lambda: SQLiteStore("a\0b"),
    ],
    '`RedisStore("localhost:6379")`, or an option that redis does not know: `…/0?bogus=1`': [
        lambda: RedisStore("localhost:6379"),
        lambda: RedisStore("redis://localhost:6379/0?bogus=1"),
    ],
    "`RedisStore` without the extra": [without("redis.asyncio", lambda: RedisStore("redis://localhost"))],
    "`DjangoSessionMiddleware` without Django": [without("django", lambda: DjangoSessionMiddleware(app))],
    "the class in Django's `settings.MIDDLEWARE`, or a view": [
        lambda: SessionMiddleware(get_response, SECRET),  # type: ignore[arg-type]
        lambda: DjangoSessionMiddleware(get_response),  # type: ignore[arg-type]
    ],
}


@pytest.mark.parametrize(
    ("page", "heading", "mistakes"),
    [
        ("docs/sessions.md", "Mistakes", SESSION_MISTAKES),
        ("docs/compression.md", "Mistakes", COMPRESSION_MISTAKES),
        ("docs/cors.md", "Mistakes", CORS_MISTAKES),
        ("docs/stack.md", "Its mistakes", OUTERMOST_MISTAKES),
        ("docs/protocol-router.md", "Mistakes", ROUTER_MISTAKES),
        ("docs/path-router.md", "Mistakes", PATH_MISTAKES),
        ("docs/host-router.md", "Mistakes", HOST_MISTAKES),
        ("docs/lifespan.md", "Mistakes", LIFESPAN_MISTAKES),
        ("docs/stack.md", "Mistakes and what the error says", STACK_MISTAKES),
    ],
)
def test_the_table_of_mistakes_has_the_real_texts(
    page: str, heading: str, mistakes: dict[str, list[Callable[[], Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "project", ModuleType("project"))
    monkeypatch.setitem(sys.modules, "project.asgi", PROJECT)
    described = {mistake: text.strip("`") for mistake, (text,) in table(page, heading).items()}
    assert described.keys() == mistakes.keys()
    for mistake, ways in mistakes.items():
        for way in ways:
            with pytest.raises(ConfigurationError) as caught:
                way()
            assert str(caught.value).endswith(described[mistake])


@pytest.mark.parametrize(
    ("page", "wrong"),
    [
        ("docs/protocol-router.md", lambda: ProtocolRouter({"ws": app, "http": FastAPI}, websocket="chat.sockets")),
        ("docs/protocol-router.md", lambda: ProtocolRouter(websocket=ChatConsumer)),
        ("docs/path-router.md", lambda: PathRouter({"api": app, "/chat": ChatConsumer})),  # type: ignore[dict-item]
        ("docs/host-router.md", lambda: HostRouter({"api.example.com:8000": app, "example.com": FastAPI})),
        ("docs/cors.md", with_credentials("https://app.example.com/", expose_headers=["*"], max_age=604800)),
        ("docs/compression.md", compression(codecs=["gzip", "brotli"], levels={"gzip": 10}, etag="keep")),
        (HELP, without_brotli(codecs=["br"])),
        ("docs/sessions.md", lambda: SessionMiddleware(app, None, same_site="Lax", domain="example.com", **HOST)),
        ("docs/stack.md", lambda: stack(app, Middleware(LintMiddleware), Middleware(LintMiddleware, strict=1))),
        ("docs/troubleshooting.md", lambda: LintMiddleware(app, strict=1)),
        ("docs/troubleshooting.md", lambda: ProtocolRouter(async_to_sync(aget_response))),
    ],
)
def test_messages_are_quoted_as_they_are(page: str, wrong: Callable[[], Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        wrong()
    message = str(caught.value)
    if hasattr(caught.value, "__notes__"):
        message = "".join(format_exception_only(caught.value))
    assert quotes(page, message.replace(f"{__name__}.ChatConsumer", "chat.consumers.ChatConsumer"))


async def test_the_one_traceback_of_ours_is_quoted() -> None:
    with pytest.raises(ValueError) as caught:
        await call(ProtocolRouter(http=app), {"type": "channel"})
    assert quotes("docs/protocol-router.md", f"ValueError: {caught.value}")


APP, PROXIED = b"https://app.example.com", b"https://www.example.com"


def headers_of(origin: bytes, host: bytes = b"api.example.com", **others: bytes) -> list[tuple[bytes, bytes]]:
    asked = [(b"access-control-request-" + name.encode(), value) for name, value in others.items()]
    return [(b"host", host), (b"origin", origin), *asked]


@pytest.mark.parametrize(
    ("page", "headers", "end"),
    [
        (
            "docs/cors.md",
            headers_of(APP, method=b"DELETE", headers=b"x-other"),
            "to allow it, add to allow_methods and allow_headers",
        ),
        (HELP, headers_of(PROXIED, method=b"PUT", headers=b"x-name"), "to allow it, add to allow_origins"),
        (HELP, headers_of(b"null", method=b"PUT", headers=b"x-name"), "no policy can allow that origin"),
    ],
)
async def test_the_line_about_a_refused_preflight_is_quoted(
    page: str, headers: list[tuple[bytes, bytes]], end: str, caplog: pytest.LogCaptureFixture
) -> None:
    layer = CORSMiddleware(app, [APP.decode()])
    for _ in range(2):
        await call(layer, http_scope(method="OPTIONS", headers=headers))
    (record,) = caplog.records  # each once
    assert (record.name, record.levelname) == ("middleware.cors", "WARNING")
    assert record.getMessage().endswith(end)
    assert quotes(page, record.getMessage())


async def test_a_hundred_lines_are_written_and_not_more(caplog: pytest.LogCaptureFixture) -> None:
    layer = CORSMiddleware(app, [])
    for number in range(150):
        headers = headers_of(b"https://%d.example" % number, method=b"PUT")
        await call(layer, http_scope(method="OPTIONS", headers=headers))
    told = ["; no more refusals are told" in message for message in caplog.messages]
    assert told == [False] * 99 + [True]
    assert all("`; no more refusals are told`" in TEXTS[page] for page in ("docs/cors.md", HELP))


@pytest.mark.parametrize(
    ("page", "origin", "host"),
    [("docs/cors.md", b"https://evil.example", b"api.example.com"), (HELP, PROXIED, b"127.0.0.1:8000")],
)
async def test_the_line_about_a_refused_websocket_is_quoted(
    page: str, origin: bytes, host: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    scope = websocket_scope(headers=headers_of(origin, host))
    await call(CORSMiddleware(app, [APP.decode()]), scope, CONNECT)
    await call(WebSocketOriginMiddleware(app, [APP.decode()]), scope, CONNECT)
    first, second = caplog.messages
    assert quotes(page, first)
    assert second == first.replace("websocket_origins=[...]", "allow_origins=[...]")


async def test_the_line_about_a_function_that_raised_is_quoted(caplog: pytest.LogCaptureFixture) -> None:
    def allow(origin: str, scope: Any) -> bool:
        raise RuntimeError

    layer = CORSMiddleware(app, [], allow_origin_func=allow)
    await call(layer, http_scope(headers=headers_of(b"https://shop.tenant.example")))
    (message,) = caplog.messages
    assert caplog.records[0].exc_info
    assert quotes("docs/cors.md", message)
    assert quotes(HELP, message)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # Django's ORM knows no other
async def test_what_django_raises_in_a_plain_function_is_quoted(caplog: pytest.LogCaptureFixture) -> None:
    @async_unsafe("You cannot call this from an async context - use a thread or sync_to_async.")
    def query() -> bool: ...

    layer = CORSMiddleware(app, [], allow_origin_func=lambda origin, scope: query())
    await call(layer, http_scope(headers=headers_of(APP)))
    assert quotes(HELP, caplog.text.splitlines()[-1])


def test_the_lines_of_cors_stand_as_headings() -> None:
    headings = re.findall("^### (.*)$", TEXTS[HELP], re.MULTILINE)
    for start in ("a websocket from the origin", "a preflight from the origin", "allow_origin_func raised"):
        assert start in headings
        assert any(flat(block).startswith(start) for block in blocks(HELP, "text"))


async def test_what_channels_raises_is_quoted() -> None:
    page = TEXTS["docs/migrating.md"]
    for router, scope in (
        (ProtocolTypeRouter({}), {"type": "websocket"}),
        (ProtocolTypeRouter({"http": "project.asgi:application"}), {"type": "http"}),
    ):
        with pytest.raises((ValueError, TypeError)) as caught:
            await call(router, scope)
        assert f"{caught.value}`" in page


async def test_the_lines_in_the_log_are_quoted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(participant, "_PATIENCE", 0.01)

    async def shop(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        match scope["state"].get("start"):
            case "raises":
                raise RuntimeError
            case "slow":
                await anyio.sleep(0.05)
            case "fails late":
                with anyio.move_on_after(0):
                    await receive()
                return await send({"type": "lifespan.startup.failed", "message": "no database"})
        await send({"type": "lifespan.startup.complete"})
        if scope["state"].get("start") == "well":
            raise RuntimeError

    for start in ("raises", "slow", "fails late", "well"):
        await call(PathRouter({"/shop": shop}), lifespan_scope(state={"start": start}), STARTUP, SHUTDOWN)
    await call(PathRouter({"/shop": FastAPI()}), http_scope("/shop"))
    assert len(caplog.messages) == 5
    assert all(quotes("docs/lifespan.md", message) for message in caplog.messages), caplog.messages
    headings = re.findall("^### (.*)$", TEXTS[HELP], re.MULTILINE)
    for number, name in ((0, "http"), (1, "/api"), (4, "/api")):
        message = caplog.messages[number].replace("/shop", name)
        assert any(message.startswith(heading) for heading in headings)
        assert number == 0 or quotes(HELP, message)


async def test_the_warning_names_all_that_may_wait(caplog: pytest.LogCaptureFixture) -> None:
    await call(PathRouter({"/shop": FastAPI(), "/mcp": FastAPI(), "/": app}), http_scope())
    (warning,) = caplog.messages
    assert quotes("docs/lifespan.md", warning)


def test_the_errors_of_a_lazy_start_are_quoted() -> None:
    async def shop(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    for backend in ("asyncio", "trio"):
        with pytest.raises(RuntimeError) as caught:
            anyio.run(call, PathRouter({"/shop": shop}, lifespan="lazy"), http_scope(), backend=backend)
        assert quotes("docs/lifespan.md", f"RuntimeError: {caught.value}")


@pytest.fixture
def mcp() -> Any:
    return MCPServer("shop").streamable_http_app(streamable_http_path="/")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # a lazy start needs it
async def test_what_is_raised_without_a_start_and_by_a_second_one_is_quoted(mcp: Any) -> None:
    scope = http_scope("/mcp/", headers=[(b"host", b"127.0.0.1:8000")])
    with pytest.raises(AttributeError) as missing:
        State().db  # noqa: B018
    with pytest.raises(RuntimeError) as asleep:
        await call(PathRouter({"/mcp": mcp}, lifespan=False), scope)
    await call(PathRouter({"/mcp": mcp}, lifespan="lazy"), scope)
    with pytest.raises(RuntimeError) as again:
        await call(PathRouter({"/mcp": mcp}, lifespan="lazy"), scope)

    assert f"### {missing.value}\n" in TEXTS[HELP]
    assert quotes(HELP, f"AttributeError: {missing.value}")
    assert quotes(HELP, f"RuntimeError: {asleep.value}")
    assert quotes(HELP, str(again.value).splitlines()[-1])


@pytest.mark.parametrize(
    ("pages", "files", "start"),
    [
        (["README.md", HELP], {"middleware.py": "", "asgi.py": "from middleware import ProtocolRouter"}, "asgi"),
        (["README.md", HELP], {"middleware.py": "from middleware import ProtocolRouter"}, "middleware"),
        (
            [HELP],
            {"middleware.py": "import asgi", "asgi.py": "from middleware import ProtocolRouter"},
            "middleware",
        ),
        (["README.md", HELP], {"middleware/auth.py": "", "asgi.py": "import middleware.auth"}, "asgi"),
        ([HELP], {"middleware.py": "", "asgi.py": "from middleware.lint import LintMiddleware"}, "asgi"),
    ],
    ids=["hidden", "asks for itself", "asks in a circle", "folder", "submodule"],
)
def test_the_clash_of_names_is_told_in_pythons_words(
    pages: list[str], files: dict[str, str], start: str, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-B", "-c", f"import {start}"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}  # as if it were installed: after the folder of the project
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=50)
    message = done.stderr.splitlines()[-1].replace(str(tmp_path), "/srv/project")
    assert all(quotes(page, message) for page in pages), message
