"""The page about other libraries: they do what it says of them, and the classes here do what it says instead."""

from __future__ import annotations

import inspect
import itertools
import random
import re
import time
import zlib
from base64 import b64encode
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any

import itsdangerous
import pytest
import starsessions
from brotli_asgi import BrotliMiddleware
from channels.routing import URLRouter
from channels.sessions import SessionMiddlewareStack
from django.apps import apps
from django.conf import settings
from django.http import HttpResponse, StreamingHttpResponse
from django.middleware.gzip import GZipMiddleware as DjangoGZip
from django.test import RequestFactory, override_settings
from django.urls import Resolver404, path, re_path
from django.utils.functional import LazyObject
from django.views.decorators.http import etag
from hypercorn.middleware import DispatcherMiddleware
from litestar.config.compression import CompressionConfig
from litestar.middleware.compression import CompressionMiddleware as LitestarCompression
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware as StarletteCORS
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES as STARLETTE_EXCLUDED
from starlette.middleware.gzip import GZipMiddleware as StarletteGZip
from starlette.middleware.sessions import SessionMiddleware as StarletteSessions
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router
from starlette_compress import CompressMiddleware

from middleware import (
    CompressionMiddleware,
    ConfigurationError,
    CORSMiddleware,
    DjangoSessionMiddleware,
    GZipMiddleware,
    HostRouter,
    MemoryStore,
    PathRouter,
    Session,
    SessionMiddleware,
)
from middleware.compression import DEFAULT_EXCLUDED_CONTENT_TYPES
from middleware.sessions import Change, SessionTooLargeError
from tests.asgi import CONNECT, SHUTDOWN, STARTUP, Spy, call, http_scope, lifespan_scope, websocket_scope
from tests.pages import quoted, table

ACCEPTED, CLOSED = "websocket.accept", "websocket.close"


def named(name: str) -> Any:
    """An application that answers with its name, and that is what Django is to a lifespan."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise ValueError(name)
        if scope["type"] == "websocket":
            await receive()
            return await send({"type": "websocket.accept"})
        await PlainTextResponse(f"{name} {scope['root_path']}")(scope, receive, send)

    return app


async def get(app: Any, path: str, *hosts: bytes, **changes: Any) -> tuple[int, str]:
    headers = [(b"host", host) for host in hosts or (b"example.com",)]
    start, *body = await call(app, http_scope(path, headers=headers, **changes))
    return start["status"], b"".join(message.get("body", b"") for message in body).decode()


async def handshake(app: Any, path: str) -> str:
    return str((await call(app, websocket_scope(path), CONNECT))[0]["type"])


API, V2, SITE = named("api"), named("v2"), named("site")


async def test_the_first_mount_hides_a_longer_one_but_not_here() -> None:
    for make in (
        lambda mounts: Router([Mount(prefix, app) for prefix, app in mounts.items()]),
        DispatcherMiddleware,
        PathRouter,
    ):
        found = await get(make({"/api": API, "/api/v2": V2}), "/api/v2/x")
        assert found == ((200, "v2 /api/v2") if make is PathRouter else (200, "api /api"))


async def test_exactly_at_the_prefix_starlette_redirects_and_refuses_the_websocket_but_not_here() -> None:
    mount, router = Router([Mount("/api", API)]), PathRouter({"/api": API})
    assert (await get(mount, "/api"), await handshake(mount, "/api")) == ((307, ""), CLOSED)
    assert (await get(router, "/api"), await handshake(router, "/api")) == ((200, "api /api"), ACCEPTED)


async def test_behind_a_stripping_proxy_starlette_finds_nothing_that_is_mounted_but_not_here() -> None:
    child = Starlette(routes=[Route("/x", PlainTextResponse("found"))])
    parent = Starlette(routes=[Mount("/api", child)])
    assert (await get(parent, "/api/x", root_path="/outer"))[0] == 404
    for mended in (PathRouter({"/api": child}), PathRouter({"/": parent})):
        assert await get(mended, "/api/x", root_path="/outer") == (200, "found")


async def test_starlette_makes_the_url_of_the_first_route_of_that_name_but_not_here() -> None:
    async def where(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.url_for("where").path)

    mounts = {prefix: Starlette(routes=[Route("/", where, name="where")]) for prefix in ("/a", "/b")}
    starlettes = Starlette(routes=[Mount(prefix, app) for prefix, app in mounts.items()])
    assert await get(starlettes, "/b/") == (200, "/a/")
    assert await get(PathRouter(mounts), "/b/") == (200, "/b/")


async def test_starlette_changes_the_received_scope_but_not_here() -> None:
    for router, root_path in ((Router([Mount("/api", API)]), "/api"), (PathRouter({"/api": API}), "")):
        scope = http_scope("/api/x")
        await call(router, scope)
        assert scope["root_path"] == root_path


async def test_a_scope_of_another_type_is_an_error_without_a_text_but_not_here() -> None:
    scope = http_scope("/x", type="webtransport")
    with pytest.raises(AssertionError) as silent:
        await call(Router([Mount("/api", API)]), scope)
    assert not str(silent.value)
    with pytest.raises(ValueError, match="webtransport"):
        await call(PathRouter({"/api": API}), scope)


async def test_starlette_takes_the_first_host_and_no_last_dot_but_not_here() -> None:
    starlettes = Router([Host("api.example.com", API), Mount("/", SITE)])
    ours = HostRouter({"api.example.com": API}, default=SITE)
    for app, dotted, doubled in ((starlettes, "site ", "api "), (ours, "api ", "site ")):
        assert await get(app, "/", b"api.example.com.") == (200, dotted)
        assert await get(app, "/", b"api.example.com", b"evil.example") == (200, doubled)


async def test_channels_raises_for_an_unknown_path_and_swallows_an_error_but_not_here() -> None:
    async def raising(scope: Any, receive: Any, send: Any) -> None:
        raise Resolver404

    channels = URLRouter([path("api/", raising), re_path("^api/", API)])
    ours = PathRouter({"/api": raising})
    with pytest.raises(ValueError, match="No route found for path"):
        await handshake(channels, "/x")
    with pytest.raises(ValueError, match="No route found for path"):
        await call(channels, websocket_scope("/api/", root_path="/outer"), CONNECT)
    assert await handshake(ours, "/x") == CLOSED
    assert await handshake(channels, "/api/") == ACCEPTED
    with pytest.raises(Resolver404):
        await handshake(ours, "/api/")


async def test_channels_router_works_below_a_prefix() -> None:
    assert await handshake(PathRouter({"/outer": URLRouter([path("ws/<room>/", API)])}), "/outer/ws/lobby/") == ACCEPTED


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # DispatcherMiddleware knows no other
async def test_hypercorns_dispatcher_has_the_faults_of_the_table_but_not_here() -> None:
    theirs, ours = DispatcherMiddleware({"/api": API, "/": SITE}), PathRouter({"/api": API, "/": SITE})
    assert (await get(theirs, "/apix"), await get(ours, "/apix")) == ((200, "api /api"), (200, "site "))
    assert (await get(theirs, "/x"), await get(ours, "/x")) == ((200, "site /"), (200, "site "))

    theirs, ours = (make({"/api": make({"/v2": API})}) for make in (DispatcherMiddleware, PathRouter))
    assert (await get(theirs, "/api/v2"), await get(ours, "/api/v2")) == ((404, ""), (200, "api /api/v2"))
    assert (await handshake(theirs, "/x"), await handshake(ours, "/x")) == ("http.response.start", CLOSED)
    with pytest.raises(KeyError, match="root_path"):
        await call(theirs, http_scope("/api/v2", root_path=...))
    assert (await call(ours, http_scope("/api/v2", root_path=...)))[0]["status"] == 200

    with pytest.raises(ExceptionGroup):
        await call(theirs, lifespan_scope(), STARTUP, SHUTDOWN)
    assert len(await call(ours, lifespan_scope(), STARTUP, SHUTDOWN)) == 2


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # DispatcherMiddleware knows no other
async def test_hypercorns_dispatcher_starts_twice_shares_the_state_and_keeps_a_failure_to_itself_but_not_here() -> None:
    states = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        states.append(scope["state"])
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    for make, starts, answers in (
        (DispatcherMiddleware, 2, []),
        (PathRouter, 1, [{"type": "lifespan.startup.failed", "message": "/b: no database"}]),
    ):
        scope = lifespan_scope()
        await call(make({"/a": app, "/c": app}), scope, STARTUP, SHUTDOWN)
        assert len(states) == starts
        assert all(state is scope["state"] for state in states) is (make is DispatcherMiddleware)
        states.clear()
        assert await call(make({"/b": failing}), lifespan_scope(), STARTUP, SHUTDOWN) == answers


# CORS


SITE_A, EVIL = "https://app.example.com", "https://evil.example"
ORIGIN, CREDENTIALS = "access-control-allow-origin", "access-control-allow-credentials"


def answering(*headers: tuple[bytes, bytes]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            return await send({"type": "websocket.accept"})
        await send({"type": "http.response.start", "status": 200, "headers": [*headers]})
        await send({"type": "http.response.body"})

    return app


async def response(layer: Any, origin: str | None = SITE_A, **changes: Any) -> tuple[int, dict[str, str], str]:
    sent_origin = [] if origin is None else [(b"origin", origin.encode())]
    headers = [*sent_origin, *changes.pop("headers", [])]
    start, *body = await call(layer, http_scope(headers=headers, **changes))
    found = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return start["status"], found, b"".join(message.get("body", b"") for message in body).decode()


async def preflight(
    layer: Any, origin: str = SITE_A, method: str = "GET", *names: str, private: str | None = None
) -> tuple[int, dict[str, str], str]:
    asked = [(b"access-control-request-method", method.encode())]
    asked += [(b"access-control-request-headers", line.encode()) for line in names]
    if private:
        asked.append((b"access-control-request-private-network", private.encode()))
    return await response(layer, origin, method="OPTIONS", headers=asked)


def both(*origins: str, app: Any = None, **options: Any) -> tuple[Any, Any]:
    """Starlette's layer and ours, with the same words."""
    app = app or answering()
    return StarletteCORS(app, origins, **options), CORSMiddleware(app, origins, **options)


async def test_a_websocket_from_another_site_is_accepted_by_starlettes_but_not_here() -> None:
    scope = websocket_scope(headers=[(b"host", b"api.example.com"), (b"origin", EVIL.encode())])
    for origin in (SITE_A, "*"):
        opened = [(await call(layer, scope, CONNECT))[0]["type"] for layer in both(origin)]
        assert opened == [ACCEPTED, CLOSED]
    opened = [(await call(layer, scope, CONNECT))[0]["type"] for layer in both(allow_origin_regex=".*")]
    assert opened == [ACCEPTED, CLOSED]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"allow_origins": ["*"], "allow_credentials": True},
        {"allow_origin_regex": ".*", "allow_credentials": True},
        {"allow_origins": SITE_A},
        *({"allow_origins": [origin]} for origin in ("https://a.example/", "a.example", "HTTPS://A.EXAMPLE")),
        {"allow_origins": ["https://a.example:443"]},
        {"allow_origins": ["null"]},
        {"allow_origins": ["*", SITE_A]},
        {"allow_origins": ["http://app.example.com"], "allow_credentials": True},
        {"allow_origins": ["https://*.github.io"], "allow_credentials": True},
        {"allow_origin_regex": "https://.*.example.com", "allow_credentials": True},
        {"allow_origin_regex": r"https://.*example\.com", "allow_credentials": True},
        {"allow_origin_regex": r"https?://.*\.example\.com", "allow_credentials": True},
        {"allow_origin_regex": "(a+)+"},
        {"allow_origins": ["wss://a.example"]},
        {"allow_origins": [SITE_A], "allow_methods": ["patch"]},
        {"allow_origins": [SITE_A], "allow_headers": ["X Name"]},
        {"allow_origins": [SITE_A], "max_age": "abc"},
    ],
)
def test_starlettes_takes_what_is_refused_here(options: dict[str, Any]) -> None:
    StarletteCORS(answering(), **options)
    with pytest.raises(ConfigurationError):
        CORSMiddleware(answering(), **options)


async def test_what_starlettes_makes_of_some_of_them() -> None:
    for options, origin in (
        ({"allow_origins": ["*"], "allow_credentials": True}, "null"),
        ({"allow_origin_regex": ".*", "allow_credentials": True}, "null"),
        ({"allow_origins": "https://example.com"}, "https://example.co"),
        ({"allow_origins": ["null"]}, "null"),
        ({"allow_origin_regex": "https://.*.example.com", "allow_credentials": True}, "https://evil-example.com"),
        ({"allow_origin_regex": r"https://.*example\.com", "allow_credentials": True}, "https://evilexample.com"),
    ):
        assert (await response(StarletteCORS(answering(), **options), origin))[1][ORIGIN] == origin


@pytest.mark.parametrize(
    ("pattern", "origin"),
    [("https://*.example.com", "https://app.example.com"), ("http://localhost:*", "http://localhost:5173")],
)
async def test_patterns_never_match_in_starlettes_but_here(pattern: str, origin: str) -> None:
    theirs, ours = both(pattern)
    assert ORIGIN not in (await response(theirs, origin))[1]
    assert (await response(ours, origin))[1][ORIGIN] == origin


async def test_a_regular_expression_sees_only_origins_here() -> None:
    regex, no_origin = r"https://.*\.example\.com", "https://evil.example/.example.com"
    theirs, ours = both(allow_origin_regex=regex, allow_credentials=True)
    assert ORIGIN in (await response(theirs, no_origin))[1]
    assert ORIGIN not in (await response(ours, no_origin))[1]


async def test_what_preflights_are_refused_by_starlettes_and_how_they_are_answered_here() -> None:
    theirs, ours = both(SITE_A)
    for method, names in (("DELETE", ()), ("GET", ("x-name",))):
        assert (await preflight(theirs, SITE_A, method, *names))[0] == 400
        status, headers, body = await preflight(ours, SITE_A, method, *names)
        assert (status, headers[ORIGIN]) == (200, SITE_A)
        assert body.startswith("Disallowed CORS")
    for options, method in (({}, "POST"), ({}, "HEAD"), ({"allow_methods": ["*"]}, "PROPFIND")):
        theirs, ours = both(SITE_A, **options)
        assert (await preflight(theirs, SITE_A, method))[0] == 400
        assert (await preflight(ours, SITE_A, method))[::2] == (200, "OK")
    theirs, ours = both(SITE_A, allow_methods=["put"])
    assert (await preflight(theirs, SITE_A, "PUT"))[0] == 400
    assert (await preflight(ours, SITE_A, "PUT"))[::2] == (200, "OK")
    theirs, ours = both(SITE_A)
    assert (await preflight(theirs, private="true"))[0] == 400
    assert (await preflight(ours, private="true"))[::2] == (200, "OK")
    theirs, ours = both(SITE_A, allow_private_network=True)
    answered = "access-control-allow-private-network"
    assert [answered in (await preflight(layer, private="false"))[1] for layer in (theirs, ours)] == [True, False]


async def test_what_stays_for_strangers_and_for_those_who_are_allowed() -> None:
    for layer in both(SITE_A, allow_methods=["PUT"]):
        assert (await preflight(layer, EVIL, "PUT"))[::2] == (400, "Disallowed CORS origin")
        assert (await preflight(layer, SITE_A, "PUT", "Content-Type, Accept"))[::2] == (200, "OK")


async def test_a_stranger_learns_something_from_starlettes_but_not_here() -> None:
    theirs, ours = both(SITE_A, allow_credentials=True, expose_headers=["X-Total"])
    learnt = {CREDENTIALS, "access-control-expose-headers"}
    assert learnt <= (await response(theirs, EVIL))[1].keys()
    assert (await response(ours, EVIL))[1] == {"vary": "Origin"}
    policy = {"access-control-allow-methods", "access-control-allow-headers", "access-control-max-age"}
    assert policy <= (await preflight(theirs, EVIL))[1].keys()
    assert not policy & (await preflight(ours, EVIL))[1].keys()
    texts = [(await preflight(layer, EVIL, "DELETE"))[2] for layer in (theirs, ours)]
    assert texts == ["Disallowed CORS origin, method", "Disallowed CORS origin"]


async def test_for_everybody_starlettes_varies_but_not_here() -> None:
    theirs, ours = both("*")
    assert ORIGIN in (await response(theirs))[1]
    assert (await response(theirs, None))[1] == {"vary": "Origin"}
    for origin in (SITE_A, None):
        assert (await response(ours, origin))[1] == {ORIGIN: "*"}


async def test_what_the_application_sets_stays_here() -> None:
    theirs, ours = both(SITE_A, app=answering((ORIGIN.encode(), b"*")), allow_credentials=True)
    overwritten, kept = (await response(theirs))[1], (await response(ours))[1]
    assert (overwritten[ORIGIN], kept[ORIGIN]) == (SITE_A, "*")
    theirs, ours = both(SITE_A, app=answering((ORIGIN.encode(), EVIL.encode())), allow_credentials=True)
    escalated, kept = (await response(theirs, EVIL))[1], (await response(ours, EVIL))[1]
    assert (escalated[ORIGIN], kept[ORIGIN]) == (EVIL, EVIL)
    assert CREDENTIALS in escalated
    assert CREDENTIALS not in kept
    for own, theirs_is, ours_is in ((b"Origin", "Origin, Origin", "Origin"), (b"*", "*, Origin", "*")):
        theirs, ours = both(SITE_A, app=answering((b"vary", own)))
        assert ((await response(theirs))[1]["vary"], (await response(ours))[1]["vary"]) == (theirs_is, ours_is)


async def test_what_is_done_with_the_headers_that_are_asked_for() -> None:
    told = "access-control-allow-headers"
    theirs, ours = both(SITE_A, allow_headers=["*"])
    long = ",".join(f"x-{number}" for number in range(10_000))
    assert (await preflight(theirs, SITE_A, "GET", long))[1][told] == long
    assert (await preflight(ours, SITE_A, "GET", long))[1][told] == "*, Authorization"
    theirs, ours = both(SITE_A, allow_headers=["*"], allow_credentials=True)
    for asked, back in (("x-a,x-b", "x-a, x-b"), ('x"<>', None), (long, None)):
        assert (await preflight(theirs, SITE_A, "GET", asked))[1][told] == asked
        assert (await preflight(ours, SITE_A, "GET", asked))[1].get(told) == back
    theirs, ours = both(SITE_A, allow_headers=["X-A"])
    lines, empty = ("x-a", "x-evil"), ("x-a,,accept,",)
    assert (await preflight(theirs, SITE_A, "GET", *lines))[2] == "OK"
    assert (await preflight(ours, SITE_A, "GET", *lines))[2] == "Disallowed CORS headers"
    assert (await preflight(theirs, SITE_A, "GET", *empty))[0] == 400
    assert (await preflight(ours, SITE_A, "GET", *empty))[2] == "OK"


async def test_a_list_that_is_changed_later_and_the_attributes() -> None:
    listed = [SITE_A]
    theirs, ours = StarletteCORS(answering(), listed), CORSMiddleware(answering(), listed)
    listed.append(EVIL)
    assert ORIGIN in (await response(theirs, EVIL))[1]
    assert ORIGIN not in (await response(ours, EVIL))[1]
    assert [hasattr(theirs, "simple_headers"), hasattr(ours, "simple_headers")] == [True, False]


async def test_the_defaults_of_django_cors_headers_are_to_be_listed() -> None:
    settings = table("docs/migrating.md", "From django-cors-headers")
    (methods, _), (headers, _) = settings["`CORS_ALLOW_METHODS`"], settings["`CORS_ALLOW_HEADERS`"]
    options = {"allow_methods": quoted(methods), "allow_headers": quoted(headers)}
    for layer, passes in ((CORSMiddleware(answering(), [SITE_A]), False), (both(SITE_A, **options)[1], True)):
        for method, names in (("PATCH", ()), ("GET", (",".join(quoted(headers)),))):
            assert ((await preflight(layer, SITE_A, method, *names))[2] == "OK") is passes


# Compression


MOVING = "docs/migrating.md"
GZIP, JSON, PAGE = (b"accept-encoding", b"gzip"), (b"content-type", b"application/json"), b"hello world " * 200
OTHER_SITE = ((b"sec-fetch-site", b"cross-site"), (b"sec-fetch-mode", b"no-cors"), (b"cookie", b"a=b"))


def paged(*headers: tuple[bytes, bytes], pieces: tuple[bytes, ...] = (PAGE,), status: int = 200) -> Any:
    """An application that sends these pieces, of JSON if it is not said otherwise."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        own = [JSON] if all(name != b"content-type" for name, _ in headers) else []
        await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
        for number, piece in enumerate(pieces, 1):
            await send({"type": "http.response.body", "body": piece, "more_body": number < len(pieces)})

    return app


async def paging(layer: Any, *headers: tuple[bytes, bytes], **changes: Any) -> tuple[dict[str, str], list[bytes]]:
    start, *bodies = await call(layer, http_scope(headers=[*headers], **changes))
    found = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return found, [message.get("body", b"") for message in bodies]


async def codings(app: Any, *headers: tuple[bytes, bytes], **changes: Any) -> tuple[str | None, str | None]:
    """The coding that Starlette's layer gives to a response of ``app``, and that ours gives."""
    theirs, ours = [
        (await paging(make(app), *headers, **changes))[0].get("content-encoding")
        for make in (StarletteGZip, GZipMiddleware)
    ]
    return theirs, ours


def lines(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"accept-encoding", value.encode()) for value in values]


async def test_the_keywords_and_their_order_are_starlettes() -> None:
    theirs, ours = [inspect.signature(make).parameters.values() for make in (StarletteGZip, GZipMiddleware)]
    assert [each.name for each in theirs] == [each.name for each in ours][: len(theirs)]
    changed = {each.name for each, other in zip(theirs, ours, strict=False) if each.default != other.default}
    assert changed == {"compresslevel", "exclude_content_types"}
    rows = table(MOVING, "From Starlette's and FastAPI's GZipMiddleware")
    assert rows["**the level, if none is given**"][:2] == ["**9**", "**6**"]
    excluded = [len(each) for each in (STARLETTE_EXCLUDED, DEFAULT_EXCLUDED_CONTENT_TYPES)]
    assert [int(cell.split(":")[0]) for cell in rows["excluded content types"][:2]] == excluded
    assert {*STARLETTE_EXCLUDED} < {*DEFAULT_EXCLUDED_CONTENT_TYPES}


async def test_what_stays_as_with_starlettes() -> None:
    png, encoded = (b"content-type", b"image/png"), (b"content-encoding", b"br")
    for app in (paged(pieces=(b"a",)), paged(png), paged(encoded)):
        for make in (StarletteGZip, GZipMiddleware):
            assert "vary" not in (await paging(make(app), GZIP))[0]
    for make in (StarletteGZip, GZipMiddleware):
        _, (first, *_) = await paging(make(paged(pieces=(b"hello", b"world"))), GZIP)
        assert zlib.decompressobj(31).decompress(first) == b"hello"


@pytest.mark.parametrize(
    ("app", "headers", "coded"),
    [
        *((paged(), lines(value), ("gzip", None)) for value in ("gzip;q=0", "identity, gzip;q=0.5", "mygzipx")),
        *((paged(), lines(*values), (None, "gzip")) for values in (["GZIP"], ["*"], ["deflate", "gzip"])),
        (paged(pieces=(b"a",)), lines("gzip, identity;q=0"), (None, "gzip")),
        (paged((b"content-type", b"image/png")), lines("gzip, identity;q=0"), (None, "gzip")),
        (paged((b"cache-control", b"no-transform")), [GZIP], ("gzip", None)),
        (paged((b"signature-input", b"sig1=()")), [GZIP], ("gzip", None)),
        (paged(), [GZIP, *OTHER_SITE], ("gzip", None)),
        (paged((b"content-range", b"bytes 0-2399/2400")), [GZIP], ("gzip", None)),
        *((paged(pieces=(b"", b""), status=status), [GZIP], ("gzip", None)) for status in (204, 205, 304)),
        (paged(pieces=(random.Random(1).randbytes(3000),)), [GZIP], ("gzip", None)),
        (paged((b"content-length", b"10"), pieces=(b"0123456789", b"")), [GZIP], ("gzip", None)),
    ],
)
async def test_what_starlettes_encodes_and_what_is_encoded_here(app: Any, headers: Any, coded: Any) -> None:
    assert await codings(app, *headers) == coded


async def test_what_the_headers_of_starlettes_are_and_those_of_here() -> None:
    kept = {b"etag": b'"a"', b"accept-ranges": b"bytes", b"content-digest": b"x", b"repr-digest": b"x"}
    kept |= {b"content-md5": b"x"}
    theirs, ours = [(await paging(make(paged(*kept.items())), GZIP))[0] for make in (StarletteGZip, GZipMiddleware)]
    assert {name.decode() for name in kept} <= theirs.keys()
    assert (theirs["etag"], ours["etag"]) == ('"a"', 'W/"a"')
    assert {name.decode() for name in kept} & ours.keys() == {"etag"}
    for own, theirs_is in (("accept-encoding", "accept-encoding, Accept-Encoding"), ("*", "*, Accept-Encoding")):
        found = [
            (await paging(make(paged((b"vary", own.encode()))), GZIP))[0]["vary"]
            for make in (StarletteGZip, GZipMiddleware)
        ]
        assert found == [theirs_is, own]


@pytest.mark.parametrize(
    ("make", "coding"),
    [
        (StarletteGZip, b"gzip"),
        (BrotliMiddleware, b"br"),
        (CompressMiddleware, b"gzip"),
        (lambda app: LitestarCompression(app, CompressionConfig(backend="gzip")), b"gzip"),
    ],
    ids=["starlette", "brotli-asgi", "starlette-compress", "litestar"],
)
async def test_what_the_others_do_as_starlettes_and_not_here(make: Any, coding: bytes) -> None:
    accepts = (b"accept-encoding", coding)
    tag, ranges, plain = (b"etag", b'"a"'), (b"accept-ranges", b"bytes"), (b"cache-control", b"no-transform")
    shared = [JSON]

    async def module(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": shared})
        await send({"type": "http.response.body", "body": PAGE})

    for layer, is_ours in ((make, False), (CompressionMiddleware, True)):
        found, _ = await paging(layer(paged(tag, ranges)), accepts)
        assert (found["etag"] == 'W/"a"', "accept-ranges" not in found) == (is_ours, is_ours)
        found, _ = await paging(layer(paged((b"content-length", b"2400"), pieces=(b"",))), accepts, method="HEAD")
        assert ("content-length" not in found) is ("content-encoding" in found) is ("vary" in found) is is_ours
        found, _ = await paging(layer(paged(tag, status=304, pieces=(b"",))), accepts, (b"if-none-match", b'W/"a"'))
        assert (found["etag"], "vary" in found) == (('W/"a"', True) if is_ours else ('"a"', False))
        found, _ = await paging(layer(paged(plain)), accepts)
        assert ("content-encoding" not in found) is is_ours
        await paging(layer(module), accepts)
        assert (shared == [JSON]) is is_ours
        shared[:] = [JSON]


async def test_206_and_small_bodies_in_a_base_http_middleware() -> None:
    vary = [(await paging(make(paged(status=206)), GZIP))[0].get("vary") for make in (StarletteGZip, GZipMiddleware)]
    assert vary == [None, "Accept-Encoding"]

    async def nothing(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    small = BaseHTTPMiddleware(paged((b"content-length", b"10"), pieces=(b"0123456789",)), nothing)
    assert await codings(small, GZIP) == ("gzip", None)


async def test_a_stream_of_identity_waits_in_starlettes_but_not_here() -> None:
    sent: list[Any] = []
    at_start = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        at_start.append(len(sent))
        await send({"type": "http.response.body", "body": PAGE, "more_body": True})
        await send({"type": "http.response.body"})

    async def send(message: Any) -> None:
        sent.append(message)

    for make, accepts in itertools.product((StarletteGZip, GZipMiddleware), ("gzip", "identity")):
        sent.clear()
        await make(app)(http_scope(headers=lines(accepts)), None, send)  # type: ignore[arg-type]
    assert at_start == [0, 0, 0, 1]


async def test_what_starlettes_drops_and_fails_at_passes_here() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for name in ("debug", "push", "unknown"):
            await send({"type": f"http.response.{name}"})
        await send({"type": "http.response.start", "status": 200, "headers": [JSON]})
        await send({"type": "http.response.zerocopysend", "file": 1})
        await send({"type": "http.response.body", "body": PAGE})

    theirs, ours = [await call(make(app), http_scope(headers=[GZIP])) for make in (StarletteGZip, GZipMiddleware)]
    assert [len(theirs), len(ours)] == [2, 6]

    def sends(*messages: dict[str, Any]) -> Any:
        return Spy({"type": "http.response.start", "status": 200, **messages[0]}, *messages[1:])

    empty = {"type": "http.response.body", "more_body": True}, {"type": "http.response.body", "body": PAGE}
    for app, error in ((sends({}, *empty), KeyError), (sends({"headers": (JSON,)}, empty[1]), AttributeError)):
        with pytest.raises(error):
            await call(StarletteGZip(app), http_scope(headers=[GZIP]))
        assert (await paging(GZipMiddleware(app), GZIP))[0]["content-encoding"] == "gzip"


@pytest.mark.parametrize(
    "options",
    [
        *({"compresslevel": level} for level in (0, 10, "6")),
        {"minimum_size": -1},
        {"exclude_content_types": "image/png"},
    ],
)
def test_starlettes_gzip_takes_what_is_refused_here(options: dict[str, Any]) -> None:
    assert hasattr(StarletteGZip(paged(), **options), "minimum_size")
    with pytest.raises(ConfigurationError):
        GZipMiddleware(paged(), **options)
    assert not hasattr(GZipMiddleware(paged()), "minimum_size")


@pytest.mark.parametrize(
    ("heading", "function"),
    [
        ("From brotli-asgi", BrotliMiddleware),
        ("From starlette-compress", CompressMiddleware),
        ("From Litestar's compression", CompressionConfig),
    ],
)
def test_the_keywords_of_the_other_compressors_have_these_defaults(heading: str, function: Any) -> None:
    described = {name: default for names, (default, _) in table(MOVING, heading).items() for name in quoted(names)}
    parameters = inspect.signature(function).parameters
    for name, default in described.items():
        actual = parameters[name].default
        assert default == ("none" if actual is inspect.Parameter.empty else f"`{actual!r}`")
    internal = {"app", "middleware_class", "compression_facade", "backend_config"}
    assert described.keys() == parameters.keys() - internal


async def test_what_brotli_asgi_and_litestar_do_and_not_here() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [JSON], "trailers": True})
        await send({"type": "http.response.body", "body": PAGE})
        await send({"type": "http.response.trailers", "headers": []})

    async def hint(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.early_hint", "links": []})
        await app(scope, receive, send)

    async def file(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [JSON]})
        await send({"type": "http.response.pathsend", "path": "file"})
        await send({"type": "http.response.body", "body": b""})  # for the client of the tests

    def litestars(app: Any) -> Any:
        return LitestarCompression(app, CompressionConfig(backend="gzip"))

    for make, coding in ((BrotliMiddleware, b"br"), (litestars, b"gzip")):
        accepts = (b"accept-encoding", coding)
        for layer, is_ours in ((make, False), (CompressionMiddleware, True)):
            png, part = (b"content-type", b"image/png"), (b"content-range", b"bytes 0-2399/2400")
            for response in (paged(png), paged(part, status=206)):
                assert ("content-encoding" in (await paging(layer(response), accepts))[0]) is not is_ours
            found, _ = await paging(layer(paged()), (b"accept-encoding", coding + b";q=0"))
            assert ("content-encoding" not in found) is is_ours
            assert ("vary" in (await paging(layer(paged())))[0]) is is_ours
            sent = [message["type"] for message in await call(layer(hint), http_scope(headers=[accepts]))]
            assert ("http.response.trailers" in sent) is ("http.response.early_hint" in sent) is is_ours
            sent = [message["type"] for message in await call(layer(file), http_scope(headers=[accepts]))]
            assert ("http.response.pathsend" in sent) is is_ours
    for layer, coding in ((BrotliMiddleware, "br"), (CompressionMiddleware, "gzip")):
        found, _ = await paging(layer(paged()), *lines("gzip;q=1, br;q=0.1"))
        assert found["content-encoding"] == coding

    double, single = [
        await paging(make(paged((b"content-encoding", b"br"), pieces=(b"a" * 600,))), GZIP)
        for make in (litestars, CompressionMiddleware)
    ]
    assert (double[0]["content-encoding"], zlib.decompress(double[1][0], 31)) == ("gzip", b"a" * 600)
    assert (single[0]["content-encoding"], single[1]) == ("br", [b"a" * 600])
    varies = paged((b"vary", b"Origin"), (b"vary", b"Cookie"))
    for make, expected in (
        (litestars, ["Origin,Accept-Encoding"]),
        (GZipMiddleware, ["Origin", "Cookie, Accept-Encoding"]),
    ):
        start, _ = await call(make(varies), http_scope(headers=[GZIP]))
        assert [value.decode() for name, value in start["headers"] if name.lower() == b"vary"] == expected


async def test_what_starlette_compress_does_and_not_here() -> None:
    event = (b"content-type", b"text/event-stream")
    text = (b"content-type", b"text/plain")
    for accepted, app, theirs, ours in (
        ("gzip;q=1, zstd;q=0.1", paged(), "zstd", "gzip"),
        ("identity, gzip;q=0.5", paged(), "gzip", None),
        ("gzip", paged((b"content-encoding", b"identity")), "gzip", "identity"),
        ("gzip", paged(event, pieces=(b"data: 1\n\n", b"")), "gzip", None),
        ("gzip", paged((b"content-type", b"application/x-own")), None, "gzip"),
    ):
        for make, coding in ((CompressMiddleware, theirs), (CompressionMiddleware, ours)):
            assert (await paging(make(app), *lines(accepted)))[0].get("content-encoding") == coding
    for make, at_once in ((CompressMiddleware, False), (CompressionMiddleware, True)):
        _, (first, *_) = await paging(make(paged(text, pieces=(b"hello", b"world", b""))), GZIP)
        assert (zlib.decompressobj(31).decompress(first) == b"hello") is at_once


@pytest.fixture(autouse=True, scope="module")
def configured() -> None:
    """Django makes no response without settings. Here no event loop is blocked by what its setup reads."""
    if not settings.configured:
        settings.configure(SECRET_KEY="tests", ALLOWED_HOSTS=["*"])
    apps.populate(settings.INSTALLED_APPS)


@pytest.mark.parametrize(
    ("body", "headers", "accepted", "coded"),
    [
        (PAGE[:200], {}, "gzip", ("gzip", None)),
        (PAGE, {}, "gzip", ("gzip", "gzip")),
        *((PAGE, {}, accepted, ("gzip", None)) for accepted in ("gzip;q=0", "identity, gzip;q=0.5")),
        *((PAGE, {}, accepted, (None, "gzip")) for accepted in ("GZIP", "*")),
        (PAGE, {"content-type": "image/png"}, "gzip", ("gzip", None)),
        (PAGE, {"cache-control": "no-transform"}, "gzip", ("gzip", None)),
        (PAGE, {"content-range": "bytes 0-2399/2400"}, "gzip", ("gzip", None)),
        (PAGE, {"content-type": "text/event-stream"}, "gzip", ("gzip", None)),
        (PAGE, {"content-encoding": "gzip"}, "gzip", ("gzip", "gzip")),  # of gzip_page
    ],
)
async def test_what_djangos_encodes_and_what_is_encoded_here(
    body: bytes, headers: dict[str, str], accepted: str, coded: Any
) -> None:
    status = 206 if "content-range" in headers else 200
    theirs = djangos(HttpResponse(body, status=status, headers=headers), accepted)
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    found, (sent,) = await paging(GZipMiddleware(paged(*raw, pieces=(body,), status=status)), *lines(accepted))
    assert (theirs.get("content-encoding"), found.get("content-encoding")) == coded
    assert "content-encoding" not in headers or (theirs.content, sent) == (body, body)


async def test_the_tags_of_djangos_304_and_of_the_one_here() -> None:
    matching = {"HTTP_IF_NONE_MATCH": 'W/"a"'}

    def tagged(request: Any) -> HttpResponse:
        return HttpResponse(PAGE)

    view = etag(lambda request: '"a"')(tagged)
    encoded = djangos(view(RequestFactory().get("/")), "gzip")
    unchanged = djangos(view(RequestFactory().get("/", **matching)), "gzip")
    assert (encoded.status_code, encoded["etag"]) == (200, 'W/"a"')
    assert (unchanged.status_code, unchanged["etag"], "vary" in unchanged) == (304, '"a"', False)
    app = paged((b"etag", unchanged["etag"].encode()), status=304, pieces=(b"",))
    found, _ = await paging(GZipMiddleware(app), GZIP, (b"if-none-match", b'W/"a"'))
    assert (found["etag"], found["vary"]) == ('W/"a"', "Accept-Encoding")


async def test_the_streams_of_djangos_and_those_of_here() -> None:
    pieces = [b"a line of a small stream %3d\n" % number for number in range(100)]

    async def generate() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    held = [*djangos(StreamingHttpResponse(iter(pieces)), "gzip")]
    files = [piece async for piece in djangos(StreamingHttpResponse(generate()), "gzip")]
    _, ours = await paging(GZipMiddleware(paged(pieces=(*pieces, b""))), GZIP)
    assert len(held) < 5
    assert all(zlib.decompress(piece, 31) == plain for piece, plain in zip(files, pieces, strict=True))
    assert len(ours) == 101
    assert zlib.decompressobj(31).decompress(ours[0]) == pieces[0]
    assert sum(map(len, files)) > 3 * 2900
    assert sum(map(len, ours)) < 2900 / 2


async def test_the_random_bytes_of_djangos() -> None:
    assert len({len(djangos(HttpResponse(PAGE), "gzip").content) for _ in range(20)}) > 1
    assert len({len((await paging(GZipMiddleware(paged()), GZIP))[1][0]) for _ in range(20)}) == 1


def djangos(response: Any, accepted: str) -> Any:
    """``response`` as Django's layer sends it."""
    return DjangoGZip(lambda request: response)(RequestFactory().get("/", HTTP_ACCEPT_ENCODING=accepted))


# Sessions

KEY = "0123456789abcdef0123456789abcdef"


def visiting(work: Any, *headers: tuple[bytes, bytes]) -> Any:
    """An application that does something with the session, then answers."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        work(scope["session"])
        await send({"type": "http.response.start", "status": 200, "headers": [*headers]})
        await send({"type": "http.response.body"})

    return app


def log_in(session: Any) -> None:
    session["user"] = "ada"


async def visit(app: Any, cookie: str = "", **changes: Any) -> tuple[dict[str, str], list[str]]:
    """The headers of a response, and the values of its cookies."""
    headers = [(b"cookie", cookie.encode())] if cookie else []
    start, *_ = await call(app, http_scope(headers=headers, **changes))
    pairs = [(name.decode().lower(), value.decode()) for name, value in start["headers"]]
    return dict(pairs), [value for name, value in pairs if name == "set-cookie"]


async def cookie_of(app: Any, **changes: Any) -> str:
    _, (line,) = await visit(app, **changes)
    return line.partition(";")[0]


def session_layers(work: Any, *headers: tuple[bytes, bytes], **options: Any) -> list[Any]:
    """Starlette's and ours around the same application."""
    return [made(visiting(work, *headers), KEY, **options) for made in (StarletteSessions, SessionMiddleware)]


def test_the_keywords_of_sessions_are_starlettes_and_their_order() -> None:
    theirs = inspect.signature(StarletteSessions).parameters
    ours = inspect.signature(SessionMiddleware).parameters
    assert [*ours][: len(theirs)] == [*theirs]
    different = [name for name in theirs if theirs[name].default != ours[name].default]
    assert different == ["secret_key", "https_only"]


async def test_who_was_logged_in_with_starlettes_stays_so_and_the_cookie_is_written_anew() -> None:
    old = await cookie_of(StarletteSessions(visiting(log_in), KEY))
    for options, expected in (({}, [{}]), ({"accept_starlette_cookies": True}, [{"user": "ada"}])):
        found: list[Any] = []
        work = visiting(lambda session, found=found: (found.append(dict(session)), session.update(seen=1)))
        _, (line,) = await visit(SessionMiddleware(work, KEY, **options), old)  # type: ignore[arg-type]
        assert found == expected
        found.clear()
        await visit(SessionMiddleware(work, KEY), line.partition(";")[0])
        assert found == [expected[0] | {"seen": 1}]


async def test_the_attributes_of_the_cookie_are_starlettes() -> None:
    everything = {"path": "/shop", "same_site": "strict", "https_only": True, "domain": "example.com"}
    for options in ({"https_only": True}, everything, {"https_only": True, "partitioned": True, "max_age": None}):
        lines = [(await visit(layer))[1][0] for layer in session_layers(log_in, **options)]
        theirs, ours = (line.partition("; ")[2] for line in lines)
        assert theirs == ours
    lines = [(await visit(layer, scheme="https"))[1][0] for layer in session_layers(log_in)]
    assert ["secure" in line for line in lines] == [False, True]


async def test_a_cookie_of_another_name_is_a_session_in_starlettes_but_not_here() -> None:
    for made, expected in ((StarletteSessions, {"user": "ada"}), (SessionMiddleware, {})):
        value = (await cookie_of(made(visiting(log_in), KEY, session_cookie="shop"))).partition("=")[2]
        found: list[Any] = []
        work = visiting(lambda session, found=found: found.append(dict(session)))
        await visit(made(work, KEY, session_cookie="admin"), f"admin={value}")
        assert found == [expected]


async def test_what_sets_a_cookie_in_starlettes_and_here() -> None:
    def fill(session: Any) -> None:
        session.update(user="ada", cart=[1])

    for work, told in (
        (lambda session: session["cart"].append(7), [False, True]),
        (lambda session: session.update(user="ada"), [True, False]),
        (lambda session: session["user"], [False, False]),
    ):
        found = []
        for first, layer in zip(session_layers(fill), session_layers(work), strict=True):
            found.append(bool((await visit(layer, await cookie_of(first)))[1]))
        assert found == told


async def test_who_only_reads_is_renewed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    layers = session_layers(len)
    cookies = [await cookie_of(layer) for layer in session_layers(log_in)]
    monkeypatch.setattr(time, "time", lambda: now + 10 * 86_400)
    assert [bool((await visit(layer, cookie))[1]) for layer, cookie in zip(layers, cookies, strict=True)] == [
        False,
        True,
    ]


async def test_what_is_too_large_is_sent_by_starlettes_and_raised_here() -> None:
    noise = random.Random(1).randbytes(3000).hex()
    theirs, ours = session_layers(lambda session: session.update(a=noise))
    _, (line,) = await visit(theirs)
    assert len(line) > 4096
    with pytest.raises(SessionTooLargeError):
        await visit(ours)


async def test_caches_and_vary_of_starlettes_and_here() -> None:
    found = []
    for layer in session_layers(log_in, (b"cache-control", b"public, max-age=60"), (b"x-accel-expires", b"60")):
        headers, _ = await visit(layer)
        found.append([headers.get(name) for name in ("cache-control", "vary", "x-accel-expires")])
    assert found == [["public, max-age=60", "Cookie", "60"], ["max-age=60, private", "Cookie", "0"]]
    found.clear()
    for layer in session_layers(lambda session: session.get("user")):
        headers, _ = await visit(layer)
        found.append(headers.get("vary"))
    assert found == [None, "Cookie"]


async def test_websockets_have_no_cookie_in_starlettes_but_here() -> None:
    async def accepting(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["user"] = "ada"
        await send({"type": ACCEPTED, "headers": []})

    async def denying(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["user"] = "ada"
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        await send({"type": "websocket.http.response.body"})

    for app in (accepting, denying):
        told = []
        for made in (StarletteSessions, SessionMiddleware):
            start, *_ = await call(made(app, KEY), websocket_scope(), CONNECT)
            told.append(any(name.lower() == b"set-cookie" for name, _ in start["headers"]))
        assert told == [False, True]


async def test_two_instances_mix_in_starlettes_but_not_here() -> None:
    for made, mixed in ((StarletteSessions, True), (SessionMiddleware, False)):
        inner = made(visiting(log_in), KEY, session_cookie="admin")

        async def outer(scope: Any, receive: Any, send: Any, inner: Any = inner) -> None:
            scope["session"]["shop"] = 1
            await inner(scope, receive, send)

        _, lines = await visit(made(outer, KEY))
        found: list[Any] = []
        (line,) = (line for line in lines if line.startswith("session="))
        work = visiting(lambda session, found=found: found.append(dict(session)))
        await visit(made(work, KEY), line.partition(";")[0])
        assert found == [{"user": "ada"} if mixed else {"shop": 1}]


async def test_several_cookies_forged_ones_and_other_clocks_in_starlettes_and_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[list[str]] = []
    for made in (StarletteSessions, SessionMiddleware):
        cookie = await cookie_of(made(visiting(log_in), KEY))
        users: list[Any] = []
        layer = made(visiting(lambda session, users=users: users.append(session.get("user"))), KEY)
        await visit(layer, f"{cookie}; session=tossed")
        await visit(layer, f"a=1;  {cookie}")
        now = time.time()
        with monkeypatch.context() as patched:
            patched.setattr(time, "time", lambda now=now: now - 3)
            await visit(layer, cookie)
        _, lines = await visit(made(visiting(lambda session: session.clear()), KEY), "session=forged")
        seen.append([*users, bool(lines)])
    assert seen == [[None, "ada", None, False], ["ada", None, "ada", True]]


async def test_what_starlettes_fails_at_is_no_session_here() -> None:
    signed = itsdangerous.TimestampSigner(KEY).sign(b64encode(b"[1, 2]")).decode()
    theirs, ours = session_layers(len)
    with pytest.raises(TypeError):
        await visit(theirs, f"session={signed}")
    options = {"accept_starlette_cookies": True}
    await visit(SessionMiddleware(visiting(len), KEY, **options), f"session={signed}")  # type: ignore[arg-type]
    await visit(ours, f"session={signed}")

    cookies = [await cookie_of(layer) for layer in session_layers(log_in)]
    for put, begins in (({"user": "bob"}, "session=A"), (None, "session=null;")):

        async def replacing(scope: Any, receive: Any, send: Any, put: Any = put) -> None:
            scope["session"] = put
            await visiting(lambda session: None)(scope, receive, send)

        with pytest.raises(AttributeError):
            await visit(StarletteSessions(replacing, KEY), cookies[0])
        _, (line,) = await visit(SessionMiddleware(replacing, KEY), cookies[1])
        assert line.startswith(begins)


async def test_what_is_said_of_a_comparison_before_the_session_was_read() -> None:
    data = OrderedDict(user="ada")
    for work, expected in ((data.__eq__, [True, False]), (lambda session: session == data, [True, True])):
        found: list[Any] = []
        cookies = [await cookie_of(layer) for layer in session_layers(log_in)]
        layers = session_layers(lambda session, work=work, found=found: found.append(work(session)))
        for layer, cookie in zip(layers, cookies, strict=True):
            await visit(layer, cookie)
        assert found == expected


async def test_without_a_max_age_starlettes_never_ends_but_here(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []
    now = time.time()
    for made in (StarletteSessions, SessionMiddleware):
        cookie = await cookie_of(made(visiting(log_in), KEY, max_age=None))
        with monkeypatch.context() as patched:
            patched.setattr(time, "time", lambda: now + 10 * 365 * 86_400)
            work = visiting(lambda session: found.append(dict(session)))
            await visit(made(work, KEY, max_age=None), cookie)
    assert found == [{"user": "ada"}, {}]


@pytest.mark.parametrize(
    "options",
    [
        {"secret_key": ""},
        {"secret_key": KEY, "session_cookie": "__Host-session", "domain": "example.com"},
        {"secret_key": KEY, "max_age": 4000 * 86_400},
        {"secret_key": KEY, "same_site": "none", "https_only": False},
    ],
)
def test_starlettes_sessions_take_what_is_refused_here(options: dict[str, Any]) -> None:
    StarletteSessions(visiting(len), **options)
    with pytest.raises(ConfigurationError):
        SessionMiddleware(visiting(len), **options)
    with pytest.raises(TypeError):
        StarletteSessions(visiting(len))  # type: ignore[call-arg]


async def test_a_cookie_for_every_site_is_secure_here() -> None:
    lines = [(await visit(layer))[1][0] for layer in session_layers(log_in, same_site="none")]
    assert ["secure" in line for line in lines] == [False, True]


def test_the_defaults_of_starsessions_are_these() -> None:
    page = table("docs/migrating.md", "From starsessions")
    parameters = inspect.signature(starsessions.SessionMiddleware).parameters
    named = {name: page[f"`{name}`"][0].strip("`") for name in parameters if name != "app"}
    expected = {name: parameters[name].default for name in named}
    assert named.pop("store") == "none"
    assert named == {name: repr(expected[name]) for name in named}
    assert all(hasattr(starsessions, name) for name in re.findall(r"`(\w+)\(request\)`", " ".join(page)))


async def test_what_starsessions_does_and_not_here() -> None:
    def made(work: Any, store: Any) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            request = Request(scope)
            await starsessions.load_session(request)
            work(request)
            await PlainTextResponse("")(scope, receive, send)

        return starsessions.SessionMiddleware(app, store, lifetime=3600, cookie_https_only=False)

    theirs, ours = starsessions.InMemoryStore(), MemoryStore()

    def login(request: Any) -> None:
        request.session["user"] = "ada"

    # An id that the browser made up
    headers, (line,) = await visit(made(login, theirs), "session=chosen")
    assert line.startswith("session=chosen;")
    assert "vary" not in headers
    headers, (line,) = await visit(SessionMiddleware(visiting(log_in), store=ours), f"session={'a' * 43}")
    assert "a" * 43 not in line
    assert headers["vary"] == "Cookie"
    own = line.partition(";")[0]

    # Reading sends a cookie
    assert (await visit(made(lambda request: None, theirs), "session=chosen"))[1]
    assert not (await visit(SessionMiddleware(visiting(len), store=ours), own))[1]

    # The old id after a login
    _, (line,) = await visit(made(starsessions.regenerate_session_id, theirs), "session=chosen")
    users: list[Any] = []
    await visit(made(lambda request: users.append(request.session.get("user")), theirs), "session=chosen")
    _, (line,) = await visit(SessionMiddleware(visiting(Session.regenerate), store=ours), own)
    reading = SessionMiddleware(visiting(lambda session: users.append(session.get("user"))), store=ours)
    await visit(reading, own)
    assert users == ["ada", None]

    # A slow request that ends after a logout
    own = line.partition(";")[0]
    await visit(made(lambda request: theirs.data.clear(), theirs), "session=chosen")
    await visit(SessionMiddleware(visiting(logged_out_meanwhile(ours)), store=ours), own)
    await visit(made(lambda request: users.append(request.session.get("user")), theirs), "session=chosen")
    await visit(reading, own)
    assert users[2:] == ["ada", None]


async def test_starsessions_memory_keeps_what_has_expired_and_its_websockets_save_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = time.time()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if "session_handler" in scope:
            await starsessions.load_session(Request({**scope, "type": "http"}))
            scope["session"] = scope["session_handler"].connection.scope["session"]
        scope["session"]["user"] = "ada"
        await send({"type": ACCEPTED, "headers": []})

    for make, store in (
        (lambda store: starsessions.SessionMiddleware(app, store), starsessions.InMemoryStore()),
        (lambda store: SessionMiddleware(app, store=store), MemoryStore()),
    ):
        start, *_ = await call(make(store), websocket_scope(), CONNECT)
        theirs = isinstance(store, starsessions.InMemoryStore)
        assert bool(start["headers"]) is not theirs
        assert bool(store.data if theirs else store._kept) is not theirs  # type: ignore[attr-defined]
    old, ours = starsessions.InMemoryStore(), MemoryStore()
    await old.write("a", b"{}", lifetime=1, ttl=1)
    await ours.save("a", Change({}, (), int(now), int(now)), 1)
    monkeypatch.setattr(time, "time", lambda: now + 2)
    assert await old.read("a", lifetime=1)
    assert await ours.load("a") is None


def logged_out_meanwhile(store: MemoryStore) -> Any:
    """What a page does to its session while another one logs out."""

    def work(session: Any) -> None:
        session["late"] = True
        store._kept.clear()

    return work


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # Django knows no other
async def test_what_channels_does_with_sessions_and_not_here() -> None:
    engine = "django.contrib.sessions.backends.signed_cookies"
    found = []
    with override_settings(SESSION_ENGINE=engine):
        for made in (SessionMiddlewareStack, DjangoSessionMiddleware):
            scopes: list[Any] = []

            async def app(scope: Any, receive: Any, send: Any, scopes: list[Any] = scopes) -> None:
                scopes.append(scope)
                await visiting(lambda session: session.__setitem__("a", 1))(scope, receive, send)

            headers, lines = await visit(made(app))
            lazy = isinstance(scopes[0]["session"], LazyObject)
            found.append((lazy, "cookies" in scopes[0], headers.get("vary"), bool(lines)))
    assert found == [(True, True, None, True), (False, False, "Cookie", False)]
