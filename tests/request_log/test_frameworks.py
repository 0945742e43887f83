"""What a record has of each framework: around it, among its middleware, and with other layers in between."""

from __future__ import annotations

import asyncio
import gc
import logging
import mimetypes
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import django
import litestar
import pytest
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.middleware import BaseMiddleware
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path as django_path
from django.utils.decorators import async_only_middleware
from django.utils.functional import SimpleLazyObject
from fastapi import FastAPI
from litestar.background_tasks import BackgroundTask as LitestarBackgroundTask
from litestar.exceptions import LitestarException, PermissionDeniedException
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult, DefineMiddleware
from litestar.response import File, Stream
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware as StarlettesGZipMiddleware
from starlette.middleware.sessions import SessionMiddleware as StarlettesSessionMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from middleware import (
    GZipMiddleware,
    Middleware,
    PathRouter,
    RequestIdFilter,
    RequestIdMiddleware,
    RequestLogMiddleware,
    SessionMiddleware,
    TraceContextMiddleware,
    request_id,
    stack,
)
from tests.asgi import CONNECT, REQUEST, Client, call, http_scope, websocket_scope

KEY = "the secret of the frameworks, which is long enough"
PIECES = [b"first", b"second", b"third"]
LENGTH = len(b"".join(PIECES))
FILE = Path(__file__)
SIZE = FILE.stat().st_size
mimetypes.init()  # of the first file that is served: it reads files itself
logger = logging.getLogger("tests.request_log.frameworks")
events: list[str] = []

on_asyncio = pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": x}) for x in (False, True)])


class Records(logging.Handler):
    """Keeps the fields of what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(vars(record))
        events.append("record")

    def take(self) -> list[dict[str, Any]]:
        """What has come since it was taken the last time."""
        found, self.found = self.found, []
        return found


@pytest.fixture(autouse=True)
def records() -> Iterator[Records]:
    handler = Records()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    events.clear()
    yield handler
    logger.removeHandler(handler)


# The same application in each framework


async def background() -> None:
    await anyio.lowlevel.checkpoint()
    events.append("background")


class Pieces:
    """A stream: no generator, which trio wants closed when a framework leaves it behind."""

    def __init__(self, *, fails: bool = False) -> None:
        self._pieces = iter(PIECES[:1] if fails else PIECES)
        self._fails = fails

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> bytes:
        await anyio.lowlevel.checkpoint()
        for piece in self._pieces:
            return piece
        raise LookupError("raised midway") if self._fails else StopAsyncIteration


async def page(request: Request) -> Response:
    return PlainTextResponse("hello", background=BackgroundTask(background))


async def stream(request: Request) -> Response:
    return StreamingResponse(Pieces(), background=BackgroundTask(background))


async def broken(request: Request) -> Response:
    return StreamingResponse(Pieces(fails=True))


async def file(request: Request) -> Response:
    return FileResponse(FILE)


async def fails(request: Request) -> Response:
    raise LookupError("raised by a route")


async def denied(request: Request) -> Response:
    raise HTTPException(403)


async def chat(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("hello")
    await websocket.close(4000)


ROUTES = {"items": page, "stream": stream, "broken": broken, "file": file, "fails": fails, "denied": denied}


class Backend(AuthenticationBackend):
    """Everyone is Ada."""

    async def authenticate(self, conn: Any) -> Any:
        return AuthCredentials(["authenticated"]), SimpleUser("ada")


def starlette(*layers: Middleware) -> Any:
    routes = [Route(f"/{name}/{{id}}", endpoint) for name, endpoint in ROUTES.items()]
    return Starlette(
        routes=[*routes, WebSocketRoute("/chat/{room}", chat)],
        middleware=[*layers, Middleware(AuthenticationMiddleware, backend=Backend())],
    )


def fastapi(*layers: Middleware) -> Any:
    app = FastAPI()
    for name, endpoint in ROUTES.items():
        app.add_api_route(f"/{name}/{{id}}", endpoint, response_model=None)
    app.add_api_websocket_route("/chat/{room}", chat)
    app.add_middleware(AuthenticationMiddleware, backend=Backend())
    for cls, args, kwargs in reversed(layers):
        app.add_middleware(cls, *args, **kwargs)
    return app


@dataclass
class User:
    name: str


class Authentication(AbstractAuthenticationMiddleware):
    async def authenticate_request(self, connection: Any) -> AuthenticationResult:
        return AuthenticationResult(user=User("ada"), auth=None)


@litestar.get("/items/{id:int}", media_type="text/plain")
async def litestar_page() -> litestar.Response[str]:
    return litestar.Response("hello", background=LitestarBackgroundTask(background))


@litestar.get("/stream/{id:int}")
async def litestar_stream() -> Stream:
    return Stream(Pieces(), background=LitestarBackgroundTask(background))


@litestar.get("/broken/{id:int}")
async def litestar_broken() -> Stream:
    return Stream(Pieces(fails=True))


@litestar.get("/file/{id:int}")
async def litestar_file() -> File:
    return File(FILE)


@litestar.get("/fails/{id:int}")
async def litestar_fails() -> None:
    raise LookupError("raised by a route")


@litestar.get("/denied/{id:int}")
async def litestar_denied() -> None:
    raise PermissionDeniedException


@litestar.websocket("/chat/{room:str}")
async def litestar_chat(socket: litestar.WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    await socket.send_text("hello")
    await socket.close(4000)


def litestars(*layers: Middleware) -> Any:
    pages = [litestar_page, litestar_stream, litestar_broken, litestar_file, litestar_fails, litestar_denied]
    defined = [DefineMiddleware(cls, *args, **kwargs) for cls, args, kwargs in layers]
    middleware = [*defined, DefineMiddleware(Authentication)]
    return litestar.Litestar([*pages, litestar_chat], middleware=middleware, logging_config=None)


FRAMEWORKS: dict[str, Callable[..., Any]] = {"starlette": starlette, "fastapi": fastapi, "litestar": litestars}

# The ways of adding


async def pass_on(request: Any, call_next: Any) -> Any:
    return await call_next(request)


LOG = Middleware(RequestLogMiddleware, logger=logger)
IDS = [Middleware(RequestIdMiddleware), Middleware(TraceContextMiddleware)]
OTHERS = [Middleware(SessionMiddleware, secret_key=KEY), Middleware(GZipMiddleware)]
STARLETTES = [
    Middleware(StarlettesSessionMiddleware, secret_key=KEY),
    Middleware(StarlettesGZipMiddleware),
    Middleware(BaseHTTPMiddleware, dispatch=pass_on),
]

WAYS: dict[str, Callable[[Any], Any]] = {
    "around": lambda make: stack(make(), LOG, *IDS),
    "around, ids outermost": lambda make: stack(make(), *IDS, LOG),
    "around, with layers between": lambda make: stack(make(), LOG, *IDS, *OTHERS),
    "around, with Starlette's layers between": lambda make: stack(make(*STARLETTES), LOG, *IDS),
    "around a router": lambda make: stack(PathRouter({"/in/{city}": make()}, lifespan=False), LOG, *IDS),
    "around a router with layers": lambda make: stack(
        PathRouter({"/in/{city}": stack(make(), *IDS, *OTHERS)}, lifespan=False), LOG
    ),
    "among its middleware": lambda make: make(LOG, *IDS, *OTHERS),
    "innermost of its middleware": lambda make: make(*IDS, *OTHERS, *STARLETTES, LOG),
    "ids outside, the log within": lambda make: stack(make(*OTHERS, LOG), *IDS),
}
ROUTED = {"around a router", "around a router with layers"}
WITHIN = {"among its middleware", "innermost of its middleware", "ids outside, the log within"}


@cache
def made(framework: str, way: str) -> Any:
    return WAYS[way](FRAMEWORKS[framework])


async def ask(app: Any, scope: dict[str, Any], *events: Any) -> list[Any]:
    """What the application has sent when it ends, by an exception of its own too."""
    client = Client(*(events or (REQUEST,)))
    with anyio.fail_after(5), suppress(LookupError):
        await app(scope, client.receive, client.send)
    return client.sent


def sent_ids(start: Any) -> list[str]:
    return [value.decode() for name, value in start.get("headers", ()) if name == b"x-request-id"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_record_has_route_user_and_ids_whatever_is_in_between(framework: str, way: str, records: Records):
    app = made(framework, way)
    root, template = ("/in/rome", "/in/{city}") if way in ROUTED else ("", "")
    for path, route, size in (
        ("/items/7", "/items/{id}", len("hello")),
        ("/stream/7", "/stream/{id}", LENGTH),
        ("/file/7", "/file/{id}", SIZE),
    ):
        start, *bodies = await ask(app, http_scope(root + path))
        (record,) = records.take()
        assert (record["http.response.status_code"], record["outcome"]) == (200, "completed")
        assert record["http.route"] == template + route
        assert record["http.response.body.size"] == size == sum(len(body.get("body", b"")) for body in bodies)
        assert record["user.name"] == "ada"
        assert [record["request_id"]] == sent_ids(start)
        assert re.fullmatch("[0-9a-f]{32}", record["trace_id"])
        assert re.fullmatch("[0-9a-f]{16}", record["span_id"])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_record_of_a_websocket_has_them_too(framework: str, way: str, records: Records):
    app = made(framework, way)
    root, template = ("/in/rome", "/in/{city}") if way in ROUTED else ("", "")
    accept, *_ = await ask(app, websocket_scope(f"{root}/chat/lobby"), CONNECT)
    (record,) = records.take()
    assert (record["http.response.status_code"], record["outcome"]) == (101, "completed")
    assert (record["websocket.close_code"], record["websocket.closed_by"]) == (4000, "application")
    assert (record["websocket.messages_sent"], record["websocket.bytes_sent"]) == (1, len("hello"))
    assert record["http.route"] == f"{template}/chat/{{room}}"
    assert record["user.name"] == "ada"
    assert [record["request_id"]] == sent_ids(accept)
    assert re.fullmatch("[0-9a-f]{32}", record["trace_id"])


@pytest.mark.parametrize("way", ["around", "among its middleware"])
@pytest.mark.parametrize("path", ["/items/7", "/stream/7"])
@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_record_is_there_before_a_background_task_begins(framework: str, path: str, way: str):
    await ask(made(framework, way), http_scope(path))
    assert events == ["record", "background"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_what_frameworks_answer_themselves_has_a_record(framework: str, way: str, records: Records):
    app = made(framework, way)
    root, template = ("/in/rome", "/in/{city}") if way in ROUTED else ("", "")
    # Litestar matches the route before it calls middleware, and has no route where the method is wrong.
    within_litestar = framework == "litestar" and way in WITHIN
    for path, method, status, route in (
        ("/denied/7", "GET", 403, "/denied/{id}"),
        ("/nowhere", "GET", 404, None),
        ("/items/7", "DELETE", 405, None if framework == "litestar" else "/items/{id}"),
    ):
        start, *_ = await ask(app, http_scope(root + path, method=method))
        assert start["status"] == status
        found = [
            (record["http.response.status_code"], record["outcome"], record.get("http.route"), record["levelname"])
            for record in records.take()
        ]
        wanted = (status, "completed", route and template + route, "WARNING")
        assert found == ([] if within_litestar and route is None else [wanted]), path


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_an_exception_in_a_route_is_logged_once_as_a_500(framework: str, way: str, records: Records):
    app = made(framework, way)
    root, template = ("/in/rome", "/in/{city}") if way in ROUTED else ("", "")
    start, *_ = await ask(app, http_scope(f"{root}/fails/7"))
    (record,) = records.take()
    assert start["status"] == record["http.response.status_code"] == 500
    assert record["levelname"] == "ERROR"
    assert record["http.route"] == f"{template}/fails/{{id}}"
    # What adds middleware with add_middleware has it inside of what answers with a 500, in Starlette and FastAPI.
    is_seen = framework != "litestar" and way in WITHIN
    assert (record["outcome"], record.get("error.type")) == (
        ("failed", "LookupError") if is_seen else ("completed", None)
    )


# Not with BaseHTTPMiddleware inside of the log: that ends the response as if all were well before it raises.
BROKEN_WAYS = ["around", "around, with layers between", "around a router", "innermost of its middleware"]


@pytest.mark.parametrize("way", BROKEN_WAYS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_stream_that_fails_midway_is_told_apart_from_one_that_is_complete(
    framework: str, way: str, records: Records
):
    root = "/in/rome" if way in ROUTED else ""
    with suppress(LitestarException):
        await ask(made(framework, way), http_scope(f"{root}/broken/7"))
    (record,) = records.take()
    assert (record["http.response.status_code"], record["outcome"], record["complete"]) == (200, "failed", False)
    assert record["error.type"].rpartition(".")[2] in ("LookupError", "LitestarException")
    assert (record["http.response.body.size"], record["levelname"]) == (len(PIECES[0]), "ERROR")


class Leaving(Client):
    """A client that is gone after the first piece."""

    async def send(self, message: Any) -> None:
        if len(self.sent) == 2:
            raise OSError("the client has left")
        await super().send(message)


# Not inside of BaseHTTPMiddleware, which cancels what it has around: that is what the record says then.
@pytest.mark.parametrize("way", [way for way in WAYS if way != "innermost of its middleware"])
@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_client_that_leaves_during_a_stream_is_no_failure_of_the_application(
    framework: str, way: str, records: Records
):
    root = "/in/rome" if way in ROUTED else ""
    client = Leaving(REQUEST)
    with anyio.fail_after(5), suppress(Exception):  # frameworks make of it what they like
        await made(framework, way)(http_scope(f"{root}/stream/7"), client.receive, client.send)
    (record,) = records.take()
    assert (record["http.response.status_code"], record["complete"]) == (200, False)
    assert (record["outcome"], record["levelname"]) == ("client_disconnected", "INFO")


@pytest.mark.parametrize("inside", [False, True], ids=["as they are sent", "as the application made them"])
@pytest.mark.parametrize("gzip", [GZipMiddleware, StarlettesGZipMiddleware])
async def test_bytes_are_those_of_the_place_where_the_log_stands(gzip: Any, inside: bool, records: Records):
    layers = [Middleware(gzip, minimum_size=1), LOG]
    app = stack(starlette(), *(layers if inside else reversed(layers)))
    _, *bodies = await ask(app, http_scope("/file/7", headers=[(b"accept-encoding", b"gzip")]))
    (record,) = records.take()
    sent = sum(len(body["body"]) for body in bodies)
    assert sent < SIZE
    assert record["http.response.body.size"] == (SIZE if inside else sent)


async def test_a_file_that_the_server_sends_has_the_length_that_was_announced(records: Records):
    scope = http_scope("/file/7", extensions={"http.response.pathsend": {}})
    sent = await ask(made("starlette", "around"), scope)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.pathsend"]
    (record,) = records.take()
    assert (record["outcome"], record["http.response.body.size"]) == ("completed", SIZE)


# Django and Channels


class Filtered(logging.Handler):
    """Keeps the lines of the application, with the id of the request, and whether they come from another thread."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str, bool]] = []
        self.addFilter(RequestIdFilter())

    def emit(self, record: logging.LogRecord) -> None:
        is_elsewhere = threading.current_thread() is not threading.main_thread()
        self.found.append((record.getMessage(), vars(record)["request_id"], is_elsewhere))


site = logging.getLogger("tests.request_log.site")


class Ada:
    is_authenticated = True

    def get_username(self) -> str:
        return "ada"


def load_user() -> Ada:
    events.append("asked")
    return Ada()


@async_only_middleware
def lazy_user(get_response: Any) -> Any:
    """Django middleware that tells the layers around Django who it is."""

    async def middleware(request: Any) -> Any:
        request.scope["user"] = SimpleLazyObject(load_user)
        return await get_response(request)

    return middleware


def sync_page(request: HttpRequest, number: int) -> HttpResponse:
    site.info("page %d", number)
    return HttpResponse("hello")


async def async_page(request: HttpRequest, number: int) -> HttpResponse:
    await asyncio.sleep(0)
    site.info("page %d", number)
    return HttpResponse("hello")


def sync_stream(request: HttpRequest, number: int) -> StreamingHttpResponse:
    return StreamingHttpResponse(Pieces())


async def async_stream(request: HttpRequest, number: int) -> StreamingHttpResponse:
    return StreamingHttpResponse(Pieces())


async def broken_stream(request: HttpRequest, number: int) -> StreamingHttpResponse:
    return StreamingHttpResponse(Pieces(fails=True))


async def waits(request: HttpRequest, number: int) -> HttpResponse:
    await asyncio.sleep(60)
    return HttpResponse("too late")


def asks(request: Any, number: int) -> HttpResponse:
    return HttpResponse(request.scope["user"].get_username())


def django_fails(request: HttpRequest, number: int) -> HttpResponse:
    raise LookupError("raised by a view")


VIEWS = {
    "sync": sync_page,
    "async": async_page,
    "sync-stream": sync_stream,
    "async-stream": async_stream,
    "broken": broken_stream,
    "waits": waits,
    "asks": asks,
    "fails": django_fails,
}


class Urls:
    urlpatterns = tuple(django_path(f"{name}/<int:number>/", view) for name, view in VIEWS.items())


@pytest.fixture(scope="module")
def project() -> Iterator[Any]:
    """Django's application."""
    if not settings.configured:
        settings.configure(SECRET_KEY="tests", ALLOWED_HOSTS=["*"])
    django.setup()
    with override_settings(
        ROOT_URLCONF=Urls, ALLOWED_HOSTS=["*"], DEBUG=False, MIDDLEWARE=[f"{__name__}.{lazy_user.__name__}"]
    ):
        yield get_asgi_application()


DJANGO_WAYS: dict[str, Callable[[Any], Any]] = {
    "around": lambda app: stack(app, LOG, *IDS),
    "with layers between": lambda app: stack(app, LOG, *IDS, *OTHERS),
    "with Starlette's layers between": lambda app: stack(app, LOG, *IDS, *STARLETTES),
    "around a router": lambda app: stack(PathRouter({"/in/{city}": app}, lifespan=False), LOG, *IDS),
    "around Channels' router": lambda app: stack(ProtocolTypeRouter({"http": app}), LOG, *IDS),
    "around a layer that copies the scope": lambda app: stack(Authenticated(app), LOG, *IDS),
}


@on_asyncio
@pytest.mark.parametrize("way", DJANGO_WAYS)
async def test_a_record_of_django_has_route_ids_and_what_was_sent(
    anyio_backend: Any, way: str, project: Any, records: Records
):
    app = DJANGO_WAYS[way](project)
    root, template = ("/in/rome", "/in/{city}") if way == "around a router" else ("", "")
    for path, status, size in (
        ("sync", 200, 5),
        ("async", 200, 5),
        ("sync-stream", 200, LENGTH),
        ("async-stream", 200, LENGTH),
        ("fails", 500, None),
        ("nowhere", 404, None),
    ):
        start, *bodies = await ask(app, http_scope(f"{root}/{path}/7/"))
        (record,) = records.take()
        assert start["status"] == record["http.response.status_code"] == status
        assert (record["outcome"], record.get("error.type")) == ("completed", None)
        assert record.get("http.route") == (None if path == "nowhere" else f"{template}/{path}/<int:number>/")
        assert record["http.response.body.size"] == (size or sum(len(body["body"]) for body in bodies))
        assert [record["request_id"]] == sent_ids(start)
        assert re.fullmatch("[0-9a-f]{32}", record["trace_id"])


@on_asyncio
@pytest.mark.filterwarnings("ignore:Unclosed file <tempfile.SpooledTemporaryFile:ResourceWarning")  # Django's
@pytest.mark.parametrize("way", ["around", "with layers between", "around a router", "around Channels' router"])
async def test_a_failure_midway_and_a_client_that_left_are_told_apart_in_django(
    anyio_backend: Any, way: str, project: Any, records: Records
):
    app = DJANGO_WAYS[way](project)
    root, template = ("/in/rome", "/in/{city}") if way == "around a router" else ("", "")
    for path, heard, status, outcome, error in (
        ("broken", [], 200, "failed", "LookupError"),
        ("waits", [{"type": "http.disconnect"}], None, "client_disconnected", None),
    ):
        await ask(app, http_scope(f"{root}/{path}/7/"), REQUEST, *heard)
        (record,) = records.take()
        found = [record.get(name) for name in ("http.response.status_code", "outcome", "error.type", "complete")]
        assert found == [status, outcome, error, False]
        assert record["http.route"] == f"{template}/{path}/<int:number>/"
    gc.collect()  # what Django left open, here and not in the next test


@on_asyncio
async def test_a_lazy_user_of_django_is_named_only_if_the_application_has_asked(
    anyio_backend: Any, project: Any, records: Records
):
    app = DJANGO_WAYS["with layers between"](project)
    for path, name in (("/sync/7/", None), ("/async/7/", None), ("/asks/7/", "ada")):
        await ask(app, http_scope(path))
        (record,) = records.take()
        assert record.get("user.name") == name
    assert events.count("asked") == 1


@on_asyncio
async def test_lines_of_views_have_the_id_of_their_request_in_threads_too(anyio_backend: Any, project: Any):
    app = stack(project, *IDS)
    lines = Filtered()
    site.addHandler(lines)
    site.setLevel(logging.INFO)
    try:
        paths = [f"/{kind}/{number}/" for number in range(10) for kind in ("sync", "async")]
        sent = await asyncio.gather(*(call(app, http_scope(path)) for path in paths))
        site.info("outside")
    finally:
        site.removeHandler(lines)
    assert lines.found.pop() == ("outside", "-", False)
    ids = [*(sent_ids(start)[0] for start, *_ in sent)]
    assert len({*ids}) == len(paths)
    # Django runs every second one, the views that are plain functions, in threads.
    expected = [(f"page {index // 2}", found, index % 2 == 0) for index, found in enumerate(ids)]
    assert sorted(lines.found) == sorted(expected)
    assert request_id() is None


class Chat(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def connect(self) -> None:
        await self.accept()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data)
        await self.close(4000, "enough")


class Authenticated(BaseMiddleware):  # type: ignore[misc]
    """Sets the user in a copy of the scope, as AuthMiddleware does."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        return await super().__call__({**scope, "user": Ada()}, receive, send)


@on_asyncio
@pytest.mark.parametrize("is_around", [True, False], ids=["around", "inside of its authentication"])
async def test_a_websocket_of_channels_has_one_record(
    anyio_backend: Any, is_around: bool, project: Any, records: Records
):
    sockets = URLRouter([django_path("chat/<room>/", Chat.as_asgi())])
    sockets = Authenticated(sockets) if is_around else Authenticated(stack(sockets, LOG, *IDS))
    app = ProtocolTypeRouter({"http": project, "websocket": sockets})
    events = [CONNECT, {"type": "websocket.receive", "text": "hello"}, {"type": "websocket.disconnect", "code": 4000}]
    accept, *_ = await ask(stack(app, LOG, *IDS) if is_around else app, websocket_scope("/chat/lobby/"), *events)
    (record,) = records.take()
    assert (record["http.response.status_code"], record["outcome"]) == (101, "completed")
    closed = [record[f"websocket.{name}"] for name in ("close_code", "close_reason", "closed_by")]
    assert closed == [4000, "enough", "application"]
    counts = [record[f"websocket.{name}"] for name in ("messages_received", "messages_sent", "bytes_sent")]
    assert counts == [1, 1, 5]
    # Channels keeps user and route in copies of its own.
    assert (record.get("user.name"), record.get("http.route")) == (None if is_around else "ada", None)
    assert [record["request_id"]] == sent_ids(accept)
