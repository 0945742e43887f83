"""Compression in real frameworks, in each way in which their users put it there, and beside Starlette's own class."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from collections.abc import Callable, Iterator
from copy import deepcopy
from email.utils import formatdate
from hashlib import shake_256
from pathlib import Path
from typing import Any

import jinja2
import litestar
import pytest
from channels.routing import ProtocolTypeRouter, URLRouter
from django import setup as set_up_django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.test import override_settings
from django.urls import path as django_path
from fastapi import FastAPI, Request
from litestar.config.compression import CompressionConfig
from litestar.middleware import DefineMiddleware
from litestar.middleware.session.server_side import ServerSideSessionConfig
from litestar.static_files import create_static_files_router
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES
from starlette.middleware.gzip import GZipMiddleware as StarlettesGZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import FileResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates
from starlette.testclient import TestClient

from middleware import CompressionMiddleware, GZipMiddleware, Middleware, PathRouter, ProtocolRouter, outermost, stack
from tests.asgi import CONNECT, REQUEST, Client, Message, Spy, call, http_scope, websocket_scope

from .apps import (
    EVENT_STREAMS,
    EVENTS,
    FILE,
    LEAST,
    PAGE,
    PATHS,
    PIECES,
    SMALL,
    Answer,
    DjangoUrls,
    Pages,
    Socket,
    ask,
    by_name,
    fastapi,
    litestar_app,
    read,
    request,
    starlette,
)

# Django runs on asyncio only.
on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])
# Django reads what it cannot await into memory, and says so.
iterators = pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Nothing here meets the network, in which alone uvloop differs from asyncio."""
    return str(request.param)


MINIMUM = len(LEAST)
LAYERS = {
    "gzip": (Middleware(GZipMiddleware, minimum_size=MINIMUM), ["gzip"]),
    "negotiated": (Middleware(CompressionMiddleware, minimum_size=MINIMUM), ["zstd", "br", "gzip"]),
}


def added(app: Any, layer: Middleware) -> Any:
    app.add_middleware(layer.cls, **layer.kwargs)
    return app


def around(app: Any, layer: Middleware) -> Any:
    return layer.cls(app, **layer.kwargs)


def in_litestar(layer: Middleware) -> Any:
    return litestar_app(middleware=[DefineMiddleware(layer.cls, **layer.kwargs)])


def as_litestars_class(layer: Middleware) -> Any:
    class Compression(layer.cls):  # type: ignore[name-defined, misc]
        def __init__(self, app: Any) -> None:
            super().__init__(app, **layer.kwargs)

    return litestar_app(middleware=[Compression])


def routers(app: Any) -> Any:
    return ProtocolRouter(http=PathRouter({"/other": Spy()}, default=app), websocket=app)


USES: dict[str, tuple[Callable[[], Any], Callable[[Middleware], Any]]] = {
    "Starlette, Middleware": (starlette, lambda layer: starlette(middleware=[layer])),
    "Starlette, add_middleware": (starlette, lambda layer: added(starlette(), layer)),
    "Starlette, Mount": (starlette, lambda layer: Starlette(routes=[Mount("/", starlette(), middleware=[layer])])),
    "FastAPI, Middleware": (fastapi, lambda layer: fastapi(middleware=[layer])),
    "FastAPI, add_middleware": (fastapi, lambda layer: added(fastapi(), layer)),
    "FastAPI, outermost": (fastapi, lambda layer: outermost(fastapi(), layer)),
    "FastAPI, stack and routers": (fastapi, lambda layer: stack(routers(fastapi()), layer)),
    "Litestar, DefineMiddleware": (litestar_app, in_litestar),
    "Litestar, class": (litestar_app, as_litestars_class),
    "Litestar, around it": (litestar_app, lambda layer: around(litestar_app(), layer)),
}
MOUNTS: dict[str, tuple[str, Any]] = {
    "alone": ("", lambda app: app),
    "routers": (
        "/api",
        lambda app: ProtocolRouter(http=PathRouter({"/api": app}), websocket=PathRouter({"/api": app})),
    ),
    "Mount": ("/api", lambda app: Starlette(routes=[Mount("/api", app)])),
}
each_use = pytest.mark.parametrize(("make", "use"), USES.values(), ids=USES.keys())
each_layer = pytest.mark.parametrize(("layer", "codings"), LAYERS.values(), ids=LAYERS.keys())
each_mount = pytest.mark.parametrize(("prefix", "mount"), MOUNTS.values(), ids=MOUNTS.keys())


def vary(answer: Answer) -> str:
    before = answer.headers.get("vary")
    return f"{before}, Accept-Encoding" if before else "Accept-Encoding"


def weak(etag: str) -> str:
    return etag if etag.startswith("W/") else f"W/{etag}"


def varied(bare: Answer) -> Answer:
    return bare._replace(headers={**bare.headers, "vary": vary(bare)})


def check_encoded(answer: Answer, bare: Answer, coding: str) -> None:
    """``answer`` is ``bare`` in ``coding``, and says so."""
    assert (answer.status, answer.decoded) == (bare.status, bare.body)
    assert len(answer.body) < len(bare.body)
    expected = {**bare.headers, "content-encoding": coding, "vary": vary(bare)}
    expected.pop("accept-ranges", None)
    if "etag" in expected:
        expected["etag"] = weak(expected["etag"])
    length = answer.headers.get("content-length")
    assert length == str(len(answer.body)) or (length is None and len(answer.pieces) > 1)
    assert {**answer.headers, "content-length": ""} == {**expected, "content-length": ""}


@each_mount
@each_layer
@each_use
async def test_pages_streams_and_files_are_sent_in_the_coding_that_the_client_accepts(
    make: Any, use: Any, layer: Middleware, codings: list[str], prefix: str, mount: Any
) -> None:
    without, app = make(), mount(use(layer))
    for path in PATHS:
        bare = await ask(without, path)
        assert await ask(app, f"{prefix}{path}", "identity") == varied(bare)
        for coding in codings:
            check_encoded(await ask(app, f"{prefix}{path}", coding), bare, coding)


@each_layer
@each_use
async def test_what_is_small_or_compressed_already_stays_as_it_is(
    make: Any, use: Any, layer: Middleware, codings: list[str]
) -> None:
    without, app = make(), use(layer)
    for path in ("/small", "/picture"):
        bare = await ask(without, path)
        assert bare.body in (SMALL.encode(), PAGE.encode())
        for coding in ("identity", *codings):
            assert await ask(app, path, coding) == bare


@each_layer
@each_use
async def test_what_is_not_found_has_a_page_like_any_other(
    make: Any, use: Any, layer: Middleware, codings: list[str]
) -> None:
    without, app = make(), use(layer)
    bare = await ask(without, "/lost")
    assert bare.status == 404
    check_encoded(await ask(app, "/lost", codings[0]), bare, codings[0])
    assert await ask(app, "/missing", codings[0]) == await ask(without, "/missing")  # the framework's, which is small


@pytest.mark.parametrize("path", ["/json", "/page", "/stream", "/file", f"/static/{FILE.name}", "/small", "/picture"])
@pytest.mark.parametrize("name", ["Starlette, Middleware", "FastAPI, outermost"])
async def test_a_head_request_is_told_what_a_get_request_would_get(name: str, path: str) -> None:
    _, use = USES[name]
    app = use(LAYERS["gzip"][0])
    for coding in ("gzip", "identity"):
        get, head = await ask(app, path, coding), await ask(app, path, coding, "HEAD")
        lengths = get.headers.pop("content-length", None), head.headers.pop("content-length", None)
        assert (head.status, head.headers) == (get.status, get.headers)
        assert lengths[1] in (lengths[0], None)


@pytest.fixture
def litestars_files(tmp_path: Path) -> litestar.Litestar:
    for name in ("page.html", "picture.png"):
        (tmp_path / name).write_text(PAGE)
    return litestar.Litestar([create_static_files_router("/static", [tmp_path])], logging_config=None)


@pytest.mark.parametrize(("name", "coding"), [("page.html", "gzip"), ("picture.png", "")])
async def test_a_head_request_without_a_content_type_is_not_told_of_a_coding_that_a_get_request_would_not_get(
    litestars_files: litestar.Litestar, name: str, coding: str
) -> None:
    app = GZipMiddleware(litestars_files)
    get, head = await ask(app, f"/static/{name}"), await ask(app, f"/static/{name}", method="HEAD")
    assert (get.coding, head.body) == (coding, b"")
    assert "content-type" not in head.headers  # which Litestar leaves out
    assert head.coding in (get.coding, "")


@each_mount
@each_use
async def test_a_websocket_is_left_alone(make: Any, use: Any, prefix: str, mount: Any) -> None:
    encodings = {"headers": [(b"host", b"example.com"), (b"accept-encoding", b"gzip")]}
    bare = await call(make(), websocket_scope("/ws", **encodings), CONNECT)
    assert [message["type"] for message in bare] == ["websocket.accept", "websocket.send", "websocket.close"]
    app = mount(use(LAYERS["negotiated"][0]))
    assert await call(app, websocket_scope(f"{prefix}/ws", **encodings), CONNECT) == bare


@pytest.mark.parametrize("name", [name for name in USES if "Litestar" not in name])
async def test_the_page_that_denies_a_websocket_is_left_alone(name: str) -> None:
    make, use = USES[name]
    denial = {"websocket.http.response": {}}
    scope = websocket_scope("/denying", extensions=denial, headers=[(b"accept-encoding", b"gzip")])
    bare = await call(make(), scope, CONNECT)
    assert [message["type"] for message in bare] == ["websocket.http.response.start", "websocket.http.response.body"]
    assert await call(use(LAYERS["gzip"][0]), scope, CONNECT) == bare


@each_layer
@each_use
async def test_a_background_task_runs_once_when_the_response_has_been_sent(
    make: Any, use: Any, layer: Middleware, codings: list[str]
) -> None:
    client, done = Client(REQUEST), []
    scope = {**request("/background", codings[0]), "sent": client.sent, "done": done}
    await use(layer)(scope, client.receive, client.send)
    assert by_name(client.sent[0])["content-encoding"] == codings[0]
    assert done == client.sent[1:]


@each_layer
@each_use
async def test_each_piece_of_a_stream_can_be_read_before_the_next_is_made(
    make: Any, use: Any, layer: Middleware, codings: list[str]
) -> None:
    app = use(layer)
    for coding in ("identity", *codings):
        reader = await read(app, "/slow", coding)
        assert by_name(reader.sent[0]).get("content-encoding", "identity") == coding
        assert reader.read.decode() == "".join(PIECES)


# Exceptions


async def failing(app: Any, path: str, accept: str = "gzip") -> list[Message]:
    client = Client(REQUEST)
    with pytest.raises(ZeroDivisionError):
        await app(request(path, accept), client.receive, client.send)
    return client.sent


@pytest.mark.parametrize("make", [starlette, fastapi])
async def test_the_page_of_an_unhandled_exception_is_compressed_by_what_stands_around_it(make: Any) -> None:
    layer, _ = LAYERS["gzip"]
    inside, outside = added(make(debug=True), layer), outermost(make(debug=True), layer)
    for app, coding in ((inside, None), (outside, "gzip")):
        client = Client(REQUEST)
        scope = http_scope("/broken", headers=[(b"accept-encoding", b"gzip"), (b"accept", b"text/html")])
        with pytest.raises(ZeroDivisionError):
            await app(scope, client.receive, client.send)
        start, body = client.sent
        assert start["status"] == 500
        assert by_name(start).get("content-encoding") == coding
        page = gzip.decompress(body["body"]) if coding else body["body"]
        assert b"ZeroDivisionError" in page


@pytest.mark.parametrize("make", [starlette, fastapi])
async def test_a_stream_that_breaks_is_not_finished_and_one_that_never_began_is_a_500(make: Any) -> None:
    layer, _ = LAYERS["gzip"]
    start, *bodies = await failing(added(make(), layer), "/broken-stream")
    assert by_name(start)["content-encoding"] == "gzip"
    decoder = zlib.decompressobj(31)
    assert b"".join(decoder.decompress(body["body"]) for body in bodies).decode() == PIECES[0]
    assert not decoder.eof
    start, _ = await failing(added(make(), layer), "/broken-before")  # as with Starlette's own class
    assert start["status"] == 500
    assert await failing(outermost(make(), layer), "/broken-before") == []  # the server makes the 500


# BaseHTTPMiddleware


async def through(request: Any, call_next: Any) -> Any:
    return await call_next(request)


BASE = Middleware(BaseHTTPMiddleware, dispatch=through)
SANDWICHES = {
    "inside": lambda layer: [layer, BASE],
    "outside": lambda layer: [BASE, layer],
    "both": lambda layer: [BASE, layer, BASE],
}


@pytest.mark.parametrize("sandwich", SANDWICHES.values(), ids=SANDWICHES.keys())
@pytest.mark.parametrize("make", [starlette, fastapi])
@each_layer
async def test_base_http_middleware_changes_nothing(
    layer: Middleware, codings: list[str], make: Any, sandwich: Any
) -> None:
    app, plain = make(middleware=sandwich(layer)), make(middleware=[BASE])
    for path in ("/small", "/picture", "/missing"):
        answer, bare = await ask(app, path, codings[0]), await ask(make(), path)
        assert (answer.status, answer.headers, answer.body) == (bare.status, bare.headers, bare.body)
    for path in PATHS:
        answer, bare = await ask(app, path, codings[0]), await ask(plain, path)
        assert (answer.coding, answer.decoded) == (codings[0], bare.body)
        assert answer.headers["vary"] == vary(bare)
        assert answer.headers.get("content-length") in (None, str(len(answer.body)))
    reader = await read(app, "/slow", codings[0])
    assert reader.read.decode() == "".join(PIECES)


async def test_starlettes_own_class_compresses_small_bodies_that_pass_base_http_middleware() -> None:
    app = starlette(middleware=[Middleware(StarlettesGZipMiddleware, minimum_size=MINIMUM), BASE])
    assert (await ask(app, "/small")).coding == "gzip"


# Streams of events


@pytest.mark.parametrize("make", EVENT_STREAMS.values(), ids=EVENT_STREAMS.keys())
@each_layer
async def test_a_stream_of_events_is_compressed_only_if_that_is_asked_for_and_read_event_by_event_either_way(
    layer: Middleware, codings: list[str], make: Any
) -> None:
    bare = by_name((await read(make(), "/events", "")).sent[0])
    for coding in codings:
        plain = await read(around(make(), layer), "/events", coding)
        assert by_name(plain.sent[0]) == bare
        options = {**layer.kwargs, "stream_content_types": ["text/event-stream"]}
        packed = await read(layer.cls(make(), **options), "/events", coding)
        added = {"content-encoding": coding, "vary": "Accept-Encoding"}
        assert by_name(packed.sent[0]) == {**bare, **added}
        assert packed.read == plain.read
        assert [event for event in EVENTS if event.encode() in packed.read] == EVENTS


# Templates


@pytest.mark.parametrize("make", [Starlette, FastAPI])
def test_the_test_client_keeps_the_template_and_its_context(make: Any) -> None:
    environment = jinja2.Environment(loader=jinja2.DictLoader({"page.html": PAGE + "{{ name }}"}), autoescape=True)
    templates = Jinja2Templates(env=environment)

    async def page(request: Request) -> Any:
        return templates.TemplateResponse(request, "page.html", {"name": "Ada"})

    for middleware in (GZipMiddleware, CompressionMiddleware):
        app = make(routes=[Route("/", page)], middleware=[Middleware(middleware)])
        response = TestClient(app).get("/", headers={"Accept-Encoding": "gzip"})
        assert (response.headers["content-encoding"], response.text) == ("gzip", f"{PAGE}Ada")
        assert (response.template.name, response.context["name"]) == ("page.html", "Ada")


# What layers outside see


class Outside:
    """A layer in plain ASGI: what the framework wrote into the scope, when it is done."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.seen: dict[str, Any] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)
        self.note(scope)

    def note(self, scope: Any) -> None:
        self.seen = {key: scope[key] for key in KEYS if key in scope}


class OutsideBase(Outside):
    """The same with ``BaseHTTPMiddleware``, which goes on when the response begins."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def dispatch(request: Any, call_next: Any) -> Any:
            response = await call_next(request)
            self.note(request.scope)
            return response

        await BaseHTTPMiddleware(self.app, dispatch)(scope, receive, send)


KEYS = ("route", "endpoint", "path_params", "session", "route_handler", "path_template")


def fastapi_with_sessions() -> Any:
    app = FastAPI()
    app.add_middleware(SessionMiddleware, secret_key="only for tests")

    @app.get("/items/{number}")
    async def item(request: Request, number: int) -> str:
        request.session["number"] = 7
        return PAGE

    return app


def litestar_with_sessions() -> Any:
    @litestar.get("/items/{number:int}")
    async def item(request: litestar.Request[Any, Any, Any]) -> str:
        request.session["number"] = 7
        return PAGE

    return litestar.Litestar([item], middleware=[ServerSideSessionConfig().middleware], logging_config=None)


CONDITIONS = {
    "as it is": ({}, {}),
    "copied for a date": ({}, {"range": "bytes=9-", "if_range": formatdate(0, usegmt=True)}),
    "copied for a suffix": ({"etag": "suffix"}, {"if_none_match": '"a;gzip"'}),
}


@pytest.mark.parametrize(("options", "headers"), CONDITIONS.values(), ids=CONDITIONS.keys())
@pytest.mark.parametrize("layer", [Outside, OutsideBase])
@pytest.mark.parametrize("make", [fastapi_with_sessions, litestar_with_sessions])
async def test_layers_outside_see_what_the_framework_adds_as_they_do_around_starlettes_class(
    make: Any, layer: Any, options: Any, headers: Any
) -> None:
    app = make()
    seen = []
    for around in (layer(StarlettesGZipMiddleware(app)), layer(GZipMiddleware(app, **options))):
        answer = await ask(around, "/items/7", **headers)
        assert (answer.status, answer.coding) == (200, "gzip")
        seen.append(around.seen)
    theirs, ours = seen
    assert ours == theirs
    assert ours["session"] == {"number": 7}
    assert ours["path_params"].keys() == {"number"}
    assert ours.keys() & {"route", "route_handler"}


# Another compressing layer inside


@pytest.mark.parametrize(("backend", "own"), [("gzip", "gzip"), ("brotli", "br")])
@each_layer
async def test_what_litestars_own_compression_encodes_is_encoded_once(
    layer: Middleware, codings: list[str], backend: Any, own: str
) -> None:
    bare = litestar_app()
    app = around(litestar_app(compression_config=CompressionConfig(backend=backend)), layer)
    for path in ("/json", "/page", "/stream"):
        body = (await ask(bare, path)).body
        for accept in ("identity", "gzip", "br", "zstd", "gzip, br, zstd"):
            answer = await ask(app, path, accept)
            fallback = "gzip" if backend == "brotli" and "gzip" in accept else ""
            expected = own if own in accept else fallback or (accept if accept in codings else "")
            assert (answer.coding, answer.decoded) == (expected, body)
            assert answer.headers.get("vary", "").endswith("Accept-Encoding")


# Django


@pytest.fixture
def django() -> Iterator[Callable[..., Any]]:
    """Django with the given MIDDLEWARE and settings."""
    if not settings.configured:
        settings.configure(SECRET_KEY="tests", ALLOWED_HOSTS=["*"])
    set_up_django()  # here, where its imports block no event loop
    with contextlib.ExitStack() as changed:

        def project(*middleware: str, **changes: Any) -> Any:
            changes = {"ALLOWED_HOSTS": ["*"], "DEBUG": False, "MIDDLEWARE": middleware, **changes}
            changed.enter_context(override_settings(ROOT_URLCONF=DjangoUrls, **changes))
            return get_asgi_application()

        yield project


CONDITIONAL = "django.middleware.http.ConditionalGetMiddleware"
COMMON = "django.middleware.common.CommonMiddleware"
DJANGOS_PATHS = ["/json", "/page", "/least", "/stream", "/iterator", "/file", "/lost", "/never-cached"]


@on_asyncio
@iterators
@pytest.mark.parametrize("middleware", [(), (COMMON, CONDITIONAL)])
@each_layer
async def test_django_is_compressed_as_any_application(
    django: Any, middleware: tuple[str, ...], layer: Middleware, codings: list[str]
) -> None:
    bare = django(*middleware)
    app = around(bare, layer)
    for path in DJANGOS_PATHS:
        plain = await ask(bare, path)
        plain.headers.pop("expires", None)  # never_cache has it from the clock
        for coding in ("identity", *codings):
            answer = await ask(app, path, coding)
            answer.headers.pop("expires", None)
            if coding == "identity":
                assert answer == varied(plain)
            else:
                check_encoded(answer, plain, coding)
    for path in ("/small", "/picture", "/not-transformed"):
        assert await ask(app, path, codings[0]) == await ask(bare, path)


@on_asyncio
@each_layer
async def test_each_piece_of_an_asynchronous_stream_of_django_can_be_read_before_the_next_is_made(
    django: Any, layer: Middleware, codings: list[str]
) -> None:
    app = layer.cls(django(COMMON), **layer.kwargs, stream_content_types=["text/event-stream"])
    for coding in ("identity", *codings):
        for path in ("/slow", "/events"):
            reader = await read(app, path, coding)
            assert by_name(reader.sent[0]).get("content-encoding", "identity") == coding
            assert all(text.encode() in reader.read for text in (PIECES if path == "/slow" else EVENTS))


@on_asyncio
async def test_the_page_of_an_exception_in_a_view_is_compressed_too(django: Any) -> None:
    bare = django(DEBUG=True)
    answer = await ask(GZipMiddleware(bare), "/broken")
    assert (answer.status, answer.coding) == (500, "gzip")
    assert b"ZeroDivisionError" in answer.decoded


@on_asyncio
@iterators
@each_layer
async def test_what_djangos_own_class_encodes_is_encoded_once(
    django: Any, layer: Middleware, codings: list[str]
) -> None:
    bare, own = django(), django("django.middleware.gzip.GZipMiddleware")
    app = around(own, layer)
    for path in ("/json", "/page", "/stream", "/iterator", "/file"):
        plain = await ask(bare, path)
        for accept in ("identity", "gzip", "br", "zstd", "gzip, br, zstd"):
            answer = await ask(app, path, accept)
            expected = "gzip" if "gzip" in accept else accept if accept in codings else ""
            assert (answer.coding, answer.decoded) == (expected, plain.body)
            assert answer.headers["vary"] == vary(plain)


VALIDATED = {
    "weak": ({}, "gzip", 'W/"{}"'),
    "suffix": ({"etag": "suffix"}, "gzip", '"{};gzip"'),
    "identity": ({}, "", '"{}"'),
    "identity, suffix": ({"etag": "suffix"}, "", '"{}"'),
}


@on_asyncio
@pytest.mark.parametrize(("options", "accept", "form"), VALIDATED.values(), ids=VALIDATED.keys())
async def test_a_page_that_has_not_changed_is_not_sent_again_and_keeps_the_tag_under_which_the_client_has_it(
    django: Any, options: Any, accept: str, form: str
) -> None:
    bare = django(CONDITIONAL)
    app = GZipMiddleware(bare, **options)
    for path in ("/page", "/plain", "/json"):
        plain = await ask(bare, path)
        tag = form.format(plain.headers["etag"].strip('"'))
        answer = await ask(app, path, accept)
        assert (answer.status, answer.headers["etag"], answer.decoded) == (200, tag, plain.body)
        again = await ask(app, path, accept, if_none_match=tag)
        assert (again.status, again.headers["etag"], again.body) == (304, tag, b"")
        assert again.headers["vary"] == answer.headers["vary"] == vary(plain)
        assert (await ask(app, path, accept, if_none_match='"other"')).status == 200


OVERWRITTEN: dict[str, tuple[dict[str, Any], str, str, int]] = {
    "suffix": ({"etag": "suffix"}, "gzip", '"version-1;gzip"', 200),
    "suffix, changed": ({"etag": "suffix"}, "gzip", '"version-0;gzip"', 412),
    "weak": ({}, "gzip", 'W/"version-1"', 412),  # If-Match is for strong tags (RFC 9110 §13.1.1)
    "identity": ({}, "", '"version-1"', 200),
    "identity, suffix": ({"etag": "suffix"}, "", '"version-1"', 200),
}


@on_asyncio
@pytest.mark.parametrize(("options", "accept", "tag", "status"), OVERWRITTEN.values(), ids=OVERWRITTEN.keys())
async def test_a_page_is_overwritten_under_the_tag_with_which_it_was_read_if_that_is_strong(
    django: Any, options: Any, accept: str, tag: str, status: int
) -> None:
    app = GZipMiddleware(django(), **options)
    answer = await ask(app, "/versioned", accept)
    assert (answer.headers["etag"] == tag) == ("version-1" in tag)
    saved = await ask(app, "/versioned", accept, "PUT", if_match=tag)
    assert (saved.status, saved.body) == (status, b"saved" if status == 200 else b"")


# Channels


@on_asyncio
@each_layer
async def test_consumers_of_channels_are_compressed_and_their_websockets_left_alone(
    django: Any, layer: Middleware, codings: list[str]
) -> None:
    pages, sockets = Pages.as_asgi(), URLRouter([django_path("ws", Socket.as_asgi())])
    http = URLRouter([django_path("pages", pages), django_path("events", pages), django_path("page", django())])
    bare = ProtocolTypeRouter({"http": http, "websocket": sockets})
    app = layer.cls(bare, **layer.kwargs, stream_content_types=["text/event-stream"])
    for coding in codings:
        for path in ("/pages", "/page"):
            check_encoded(await ask(app, path, coding), await ask(bare, path), coding)
        reader = await read(app, "/events", coding)
        assert by_name(reader.sent[0])["content-encoding"] == coding
        assert all(event.encode() in reader.read for event in EVENTS)
    scope = websocket_scope("/ws", headers=[(b"accept-encoding", b"gzip")])
    gone = {"type": "websocket.disconnect", "code": 1000}
    sent = await call(app, {**scope}, CONNECT, gone)
    assert sent == await call(bare, {**scope}, CONNECT, gone)
    assert sent[1] == {"type": "websocket.send", "text": PAGE}


# Downloads that go on where they were broken off

CONTENT = shake_256(b"a file").hexdigest(60_000).encode()  # of which every coding makes about half

VALIDATORS: dict[str, Callable[[Answer], str]] = {
    "tag": lambda first: first.headers["etag"],
    "weak tag": lambda first: weak(first.headers["etag"]),
    "date": lambda first: first.headers["last-modified"],
}
CLIENTS = [
    ("gzip", "gzip"),
    ("gzip, br, zstd", "gzip, br, zstd"),
    ("", ""),
    ("gzip", "zstd"),
    ("", "gzip"),
    ("gzip", ""),
]
"""What a client accepts at first, and when it goes on."""
WITH_TAGS = [(accept, name) for accept in CLIENTS for name in VALIDATORS if (accept, name) != (("gzip", ""), "date")]
"""Who has a tag must not send the date (RFC 9110 §13.1.5), and who asks for identity then gets a part of it."""
each_client = pytest.mark.parametrize(("accept", "validator"), WITH_TAGS, ids=str)
each_etag = pytest.mark.parametrize("etag", ["weak", "suffix"])


async def download(app: Any, path: str, accept: tuple[str, str], validator: str) -> Answer:
    """Break a download off in the middle and go on; what came in the end, put together as RFC 9110 §15.3.7.3 has it."""
    first = await ask(app, path, accept[0])
    assert first.status == 200
    kept = first.body[: len(first.body) // 2]
    rest = await ask(app, path, accept[1], range=f"bytes={len(kept)}-", if_range=VALIDATORS[validator](first))
    if rest.status == 200:
        return rest
    assert rest.headers["content-range"].startswith(f"bytes {len(kept)}-")
    return rest._replace(headers=first.headers, pieces=[kept, rest.body])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_bytes(CONTENT)
    return tmp_path


@pytest.fixture
def files(folder: Path) -> Starlette:
    async def file(request: Request) -> FileResponse:
        return FileResponse(folder / "text.txt")

    return Starlette(routes=[Route("/file/text.txt", file), Mount("/static", StaticFiles(directory=folder))])


each_path = pytest.mark.parametrize("path", ["/file/text.txt", "/static/text.txt"])


@each_path
@each_etag
@each_client
async def test_a_download_goes_on_or_starts_again_and_is_never_spliced(
    files: Starlette, path: str, accept: tuple[str, str], validator: str, etag: str
) -> None:
    answer = await download(CompressionMiddleware(files, etag=etag), path, accept, validator)
    assert answer.decoded == CONTENT
    if not accept[0] and validator != "weak tag":  # which Starlette itself takes for another file
        assert answer.status == (200 if accept[1] and validator == "date" else 206)
    else:
        assert answer.status == 200


@each_path
@each_etag
async def test_parts_are_sent_as_they_are_and_go_on_as_such(files: Starlette, path: str, etag: str) -> None:
    app = CompressionMiddleware(files, etag=etag)
    for accept in ("", "identity", "gzip", "gzip, br, zstd"):
        first = await ask(app, path, accept, range="bytes=0-9999")
        assert (first.status, first.coding, first.headers["content-length"]) == (206, "", "10000")
        assert first == varied(await ask(files, path, accept, range="bytes=0-9999"))
        rest = await ask(app, path, accept, range="bytes=10000-", if_range=first.headers["etag"])
        assert (rest.status, first.body + rest.body) == (206, CONTENT)


@each_path
async def test_starlettes_own_class_splices(files: Starlette, path: str) -> None:
    for validator in ("tag", "date"):
        answer = await download(StarlettesGZipMiddleware(files), path, ("gzip", "gzip"), validator)
        assert answer.status == 206
        with pytest.raises((EOFError, zlib.error)):
            gzip.decompress(answer.body)


# WhiteNoise, which looks at Range and never at If-Range, and at no tag but the very one that it made


@pytest.fixture
def whitenoise(django: Any, folder: Path) -> Any:
    (folder / "packed.txt").write_bytes(CONTENT)
    (folder / "packed.txt.gz").write_bytes(gzip.compress(CONTENT, 9))
    folders = {"STATIC_ROOT": folder, "STATIC_URL": "/static/"}
    return django("whitenoise.middleware.WhiteNoiseMiddleware", COMMON, CONDITIONAL, **folders)


PACKED, NOT_PACKED = "/static/packed.txt", "/static/text.txt"


@on_asyncio
@iterators
@each_etag
@each_client
async def test_a_download_from_whitenoise_goes_on_or_starts_again_and_is_never_spliced(
    whitenoise: Any, accept: tuple[str, str], validator: str, etag: str
) -> None:
    answer = await download(CompressionMiddleware(whitenoise, etag=etag), NOT_PACKED, accept, validator)
    assert answer.decoded == CONTENT
    if accept == ("", "") and validator != "weak tag":
        assert answer.status == 206


@on_asyncio
@iterators
@each_etag
@pytest.mark.parametrize("validator", VALIDATORS)
@pytest.mark.parametrize("accept", ["gzip", "gzip, br, zstd", "zstd", "identity"])
async def test_a_download_of_what_whitenoise_has_packed_is_not_spliced_for_who_accepts_the_same_again(
    whitenoise: Any, accept: str, validator: str, etag: str
) -> None:
    answer = await download(CompressionMiddleware(whitenoise, etag=etag), PACKED, (accept, accept), validator)
    assert answer.decoded == CONTENT


@on_asyncio
@iterators
async def test_what_whitenoise_has_packed_is_passed_on_and_what_it_has_not_is_compressed(whitenoise: Any) -> None:
    app = CompressionMiddleware(whitenoise)
    for method in ("GET", "HEAD"):
        for accept in ("gzip", "gzip, br, zstd"):
            assert await ask(app, PACKED, accept, method) == await ask(whitenoise, PACKED, accept, method)
    bare = await ask(whitenoise, PACKED, "identity")
    packed = await ask(app, PACKED, "zstd")
    assert (packed.coding, packed.headers["vary"], packed.decoded) == ("zstd", bare.headers["vary"], CONTENT)
    bare = await ask(whitenoise, NOT_PACKED)
    for coding in ("gzip", "br", "zstd"):
        check_encoded(await ask(app, NOT_PACKED, coding), bare, coding)


@on_asyncio
@iterators
@pytest.mark.parametrize("path", [PACKED, NOT_PACKED])
async def test_parts_from_whitenoise_are_sent_as_they_are(whitenoise: Any, path: str) -> None:
    app = CompressionMiddleware(whitenoise)
    for accept in ("identity", "gzip", "zstd"):
        part = await ask(app, path, accept, range="bytes=100-199")
        bare = await ask(whitenoise, path, accept, range="bytes=100-199")
        assert (part.status, len(part.body)) == (206, 100)
        assert part == (bare if part.coding or path == PACKED else varied(bare))


@on_asyncio
@iterators
async def test_a_file_of_whitenoise_that_has_not_changed_is_not_sent_again(whitenoise: Any) -> None:
    conditions = (({"etag": "weak"}, PACKED), ({"etag": "suffix"}, PACKED), ({"etag": "suffix"}, NOT_PACKED))
    for options, path in conditions:
        app = GZipMiddleware(whitenoise, **options)
        for accept in ("gzip", "identity"):
            answer = await ask(app, path, accept)
            again = await ask(app, path, accept, if_none_match=answer.headers["etag"])
            assert (again.status, again.body) == (304, b"")
            assert (again.headers["etag"], again.headers["vary"]) == (answer.headers["etag"], answer.headers["vary"])


@on_asyncio
@iterators
async def test_whitenoise_does_not_know_the_weak_tag_of_a_file_and_sends_it_again(whitenoise: Any) -> None:
    app = GZipMiddleware(whitenoise)
    answer = await ask(app, NOT_PACKED)
    assert answer.headers["etag"].startswith('W/"')
    assert (await ask(app, NOT_PACKED, if_none_match=answer.headers["etag"])).status == 200
    assert (await ask(app, NOT_PACKED, if_modified_since=answer.headers["last-modified"])).status == 304


# Starlette's own class: what its test suite pins, and where this one departs from it

JSON = (b"content-type", b"application/json")
PLAIN_TEXT = (b"content-type", b"text/plain")
BODY = b"x" * 4000
NOISE = shake_256(b"noise").digest(150_000)


def start(*headers: tuple[bytes, bytes], status: int = 200, **more: Any) -> Message:
    return {"type": "http.response.start", "status": status, "headers": [*headers], **more}


def pieces(*bodies: bytes) -> list[Message]:
    messages = [{"type": "http.response.body", "body": body, "more_body": True} for body in bodies]
    return [*messages[:-1], {**messages[-1], "more_body": False}]


def of_type(content_type: str) -> list[Message]:
    return [start((b"content-type", content_type.encode())), *pieces(BODY)]


TRAILERS = {"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]}
EARLY_HINT = {"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload; as=style"]}
PINNED: dict[str, tuple[dict[str, Any], list[Message]]] = {
    "whole": ({}, [start(JSON, (b"content-length", b"4000")), *pieces(BODY)]),
    "no content type": ({}, [start(), *pieces(BODY)]),
    "error": ({}, [start(PLAIN_TEXT, status=500), *pieces(BODY)]),
    "two Vary": ({}, [start((b"vary", b"Accept-Language"), (b"vary", b"Cookie")), *pieces(BODY)]),
    "small": ({}, [start(PLAIN_TEXT, (b"content-length", b"2")), *pieces(b"OK")]),
    "just too small": ({}, [start((b"content-length", b"499")), *pieces(b"x" * 499)]),
    "just large enough": ({}, [start((b"content-length", b"500")), *pieces(b"x" * 500)]),
    "minimum_size": ({"minimum_size": 5000}, [start((b"content-length", b"4000")), *pieces(BODY)]),
    "stream": ({}, [start(PLAIN_TEXT), *pieces(*[b"x" * 400] * 10, b"")]),
    "small pieces": ({}, [start(PLAIN_TEXT), *pieces(b"data: first\n\n", b"data: last\n\n")]),
    "thread": ({"thread_minimum_size": 4000}, [start(), *pieces(BODY)]),
    "stream in a thread": ({}, [start(JSON), *pieces(NOISE, b"tail")]),
    "encoded": ({}, [start((b"content-encoding", b"text")), *pieces(b"x" * 400, BODY)]),
    "events": ({}, [start((b"content-type", b"text/event-stream; charset=utf-8")), *pieces(BODY, BODY)]),
    "types cleared": ({"exclude_content_types": ()}, of_type("application/grpc+proto")),
    "types in capitals": ({"exclude_content_types": ("Application/ZIP; charset=utf-8",)}, of_type("application/zip")),
    "type in capitals": ({"exclude_content_types": ("application/zip",)}, of_type("Application/ZIP ; a=b")),
    "types as wildcard": ({"exclude_content_types": ("image/*",)}, of_type("image/svg+xml")),
    "trailers": ({}, [start(trailers=True), *pieces(BODY), TRAILERS]),
    "stream, trailers": ({}, [start(trailers=True), *pieces(BODY, b""), TRAILERS]),
    "grpc, trailers": ({}, [start((b"content-type", b"application/grpc"), trailers=True), *pieces(BODY), TRAILERS]),
    "early hint": ({}, [EARLY_HINT, start(), *pieces(BODY)]),
    "svg": ({}, of_type("image/svg+xml")),
    **{name: ({}, of_type(name)) for name in DEFAULT_EXCLUDED_CONTENT_TYPES if "*" not in name},
    **{name: ({}, of_type(name)) for name in ("application/grpc+proto", "audio/mpeg", "video/mp4")},
}


class Says:
    """An application that sends copies of messages: Starlette's class writes into them."""

    def __init__(self, *messages: Message) -> None:
        self.messages = messages

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        for message in deepcopy(self.messages):
            await send(message)


def comparable(messages: list[Message]) -> list[Message]:
    """The messages with headers in any order and any case, in one line or several."""
    told = []
    for message in messages:
        headers: dict[bytes, list[bytes]] = {}
        for name, value in message.get("headers", []):
            headers.setdefault(name.lower(), []).extend(value.split(b", "))
        told.append({**message, "headers": headers})
    return told


@pytest.mark.parametrize(
    "accept", [{}, {"accept_encoding": "identity"}, {"accept_encoding": "gzip, deflate, br"}], ids=str
)
@pytest.mark.parametrize(("options", "messages"), PINNED.values(), ids=PINNED.keys())
async def test_what_starlettes_own_class_sends_is_sent_to_the_byte(
    options: Any, messages: list[Message], accept: dict[str, str]
) -> None:
    scope = request("/", "", **accept)
    theirs = await call(StarlettesGZipMiddleware(Says(*messages), compresslevel=6, **options), scope)
    ours = await call(GZipMiddleware(Says(*messages), **options), scope)
    assert comparable(ours) == comparable(theirs)
    assert len(ours) == len(messages)


GET = {"accept_encoding": "gzip"}
VARY = {"vary": "Accept-Encoding"}
GZIPPED = {**VARY, "content-encoding": "gzip"}
TAGGED = (b"etag", b'"a"')
ANOTHER_SITE = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors", "cookie": "a=b"}
FILE_OF_SERVER = {"type": "http.response.pathsend", "path": str(FILE)}
DEPARTURES: dict[str, tuple[dict[str, str], list[Message], dict[str, str]]] = {
    "q=0": ({"accept_encoding": "gzip;q=0"}, [start(), *pieces(BODY)], VARY),
    "identity is liked better": ({"accept_encoding": "identity, gzip;q=0.5"}, [start(), *pieces(BODY)], VARY),
    "another coding": ({"accept_encoding": "mygzipx"}, [start(), *pieces(BODY)], VARY),
    "capitals": ({"accept_encoding": "GZip"}, [start(), *pieces(BODY)], GZIPPED),
    "any coding": ({"accept_encoding": "*"}, [start(), *pieces(BODY)], GZIPPED),
    "identity is refused": ({"accept_encoding": "gzip, identity;q=0"}, [start(), *pieces(b"x")], GZIPPED),
    "no smaller": (GET, [start(), *pieces(NOISE[:3000])], VARY),
    "small, in pieces": (GET, [start((b"content-length", b"2")), *pieces(b"OK", b"")], {"content-length": "2"}),
    "empty piece": (GET, [start(), *pieces(BODY, b"", BODY)], GZIPPED),  # stays empty
    "small, length unknown": ({"accept_encoding": ""}, [start(), *pieces(b"OK")], VARY),  # starts at once
    "file that the server sends": (GET, [start(JSON), FILE_OF_SERVER], {**VARY, "content-type": "application/json"}),
    "entity tag": (GET, [start(TAGGED), *pieces(BODY)], {**GZIPPED, "etag": 'W/"a"'}),
    "ranges": (GET, [start((b"accept-ranges", b"bytes")), *pieces(BODY)], GZIPPED),
    "digest": (GET, [start((b"repr-digest", b"sha-256=:YQ==:")), *pieces(BODY)], GZIPPED),
    "no-transform": (
        GET,
        [start((b"cache-control", b"no-transform")), *pieces(BODY)],
        {"cache-control": "no-transform"},
    ),
    "request no-transform": ({**GET, "cache_control": "no-transform"}, [start(), *pieces(BODY)], VARY),
    "signed": (GET, [start((b"signature-input", b"a=()")), *pieces(BODY)], {"signature-input": "a=()"}),
    "a page of another site": ({**GET, **ANOTHER_SITE}, [start(), *pieces(BODY)], VARY),
    "part": (GET, [start(status=206), *pieces(BODY)], VARY),
    "part in a 200": (
        GET,
        [start((b"content-range", b"bytes 0-3999/8000")), *pieces(BODY)],
        {**VARY, "content-range": "bytes 0-3999/8000"},
    ),
    "not modified": (GET, [start(TAGGED, status=304), *pieces(b"")], {**VARY, "etag": '"a"'}),
    "no content, in pieces": (GET, [start(status=204), *pieces(b"", b"")], {}),
    "varies already": (
        GET,
        [start((b"vary", b"accept-encoding")), *pieces(BODY)],
        {"vary": "accept-encoding", "content-encoding": "gzip"},
    ),
    "varies by anything": (GET, [start((b"vary", b"*")), *pieces(BODY)], {"vary": "*", "content-encoding": "gzip"}),
    "archive": (GET, of_type("application/x-7z-compressed"), {"content-type": "application/x-7z-compressed"}),
}


@pytest.mark.parametrize(("headers", "messages", "expected"), DEPARTURES.values(), ids=DEPARTURES.keys())
async def test_starlettes_own_class_sends_something_else(
    headers: dict[str, str], messages: list[Message], expected: dict[str, str]
) -> None:
    scope = request("/", "", **headers)
    theirs = await call(StarlettesGZipMiddleware(Says(*messages), compresslevel=6), scope)
    ours = await call(GZipMiddleware(Says(*messages)), scope)
    assert comparable(ours) != comparable(theirs)
    told = by_name(ours[0])
    told.pop("content-length" if "content-encoding" in told else "", None)
    assert told == expected
    body = b"".join(message["body"] for message in messages if "body" in message)
    sent = b"".join(message["body"] for message in ours if "body" in message)
    assert (gzip.decompress(sent) if "content-encoding" in told else sent) == body
