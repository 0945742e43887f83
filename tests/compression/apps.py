"""The same pages in each framework, and a client that accepts codings and decodes what it reads."""

from __future__ import annotations

import gzip
import mimetypes
import sys
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import brotli
import litestar
import litestar.background_tasks
import litestar.response
import sse_starlette
from channels.generic.http import AsyncHttpConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from django.http import FileResponse as DjangoFileResponse
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path as django_path
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.http import condition
from fastapi import BackgroundTasks, FastAPI, Request, WebSocket
from fastapi.sse import EventSourceResponse
from litestar.static_files import create_static_files_router
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from tests.asgi import REQUEST, Client, Message, call, http_scope

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DATA = {"lines": [f"line {number} of what is to be compressed" for number in range(200)]}
PAGE = "<!doctype html><title>Lines</title>" + "".join(f"<p>{line}</p>" for line in DATA["lines"])
SMALL = "x" * 99  # bytes, one less than the tests let be compressed
LEAST = "x" * 100
EVENT = "data: {}\n\n"
EVENTS = [f"event {number} of many" for number in range(5)]
PIECES = [f"piece {number} of a stream\n" * 9 for number in range(5)]
FILE = Path(__file__)
# Here, where no event loop is blocked by looking for files.
mimetypes.init()
STATIC_FILES = StaticFiles(directory=FILE.parent)
LITESTARS_STATIC_FILES = create_static_files_router("/static", [FILE.parent])
PATHS = ["/json", "/page", "/least", "/stream", "/file", f"/static/{FILE.name}"]


class Answer(NamedTuple):
    """A response: its headers by name in lower case, its body as it came."""

    status: int
    headers: dict[str, str]
    pieces: list[bytes]

    @property
    def coding(self) -> str:
        return self.headers.get("content-encoding", "")

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def decoded(self) -> bytes:
        return DECODE[self.coding](self.body)


DECODE: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": zstd.decompress,
}


async def ask(app: Any, path: str, accept: str = "gzip", method: str = "GET", **headers: str) -> Answer:
    start, *bodies = await call(app, request(path, accept, method, **headers))
    return Answer(start["status"], by_name(start), [body.get("body", b"") for body in bodies])


def request(path: str, accept: str = "gzip", method: str = "GET", **headers: str) -> dict[str, Any]:
    given = {"host": "example.com", "accept_encoding": accept, **headers}
    encoded = [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items() if value]
    return http_scope(path, method=method, headers=encoded)


def by_name(start: Message) -> dict[str, str]:
    headers = [(name.lower().decode(), value.decode()) for name, value in start["headers"]]
    names = [name for name, _ in headers if name != "set-cookie"]
    assert len(names) == len({*names}), "a header is there twice"
    return dict(headers)


class Reader(Client):
    """A client that decodes what comes as it comes; the application can wait until it has read that far."""

    def __init__(self) -> None:
        super().__init__(REQUEST)
        self.read = b""
        self._decode: Callable[[bytes], bytes] = bytes
        self._news = anyio.Event()

    async def send(self, message: Message) -> None:
        await super().send(message)
        if message["type"] == "http.response.start":
            self._decode = DECODERS[by_name(message).get("content-encoding", "")]()
        elif message["type"] == "http.response.body" and message.get("body"):
            self.read += self._decode(message["body"])
            self._news.set()

    async def has_read(self, piece: str) -> None:
        with anyio.fail_after(5):
            while piece.encode() not in self.read:
                self._news = anyio.Event()
                await self._news.wait()


DECODERS: dict[str, Callable[[], Callable[[bytes], bytes]]] = {
    "": lambda: bytes,
    "gzip": lambda: zlib.decompressobj(31).decompress,
    "br": lambda: brotli.Decompressor().process,
    "zstd": lambda: zstd.ZstdDecompressor().decompress,
}


async def read(app: Any, path: str, accept: str) -> Reader:
    """Request a stream whose pieces are made one after the other, each when the one before has been read."""
    reader = Reader()
    with anyio.fail_after(10):
        await app({**request(path, accept), "reader": reader}, reader.receive, reader.send)
    return reader


async def paced(scope: Any, pieces: Sequence[str] = PIECES, form: str = "{}") -> AsyncIterator[str]:
    for piece in pieces:
        yield form.format(piece)
        await scope["reader"].has_read(piece)


async def pieces() -> AsyncIterator[str]:
    for piece in PIECES:
        yield piece


def note(scope: Any) -> None:
    """What a background task does: write down how much had been sent."""
    scope["done"].append(scope["sent"][-1])


# Starlette and FastAPI


async def json(request: Request) -> Response:
    return JSONResponse(DATA)


async def page(request: Request) -> Response:
    return HTMLResponse(PAGE, headers={"Vary": "Cookie", "ETag": '"page"'})


async def small(request: Request) -> Response:
    return PlainTextResponse(SMALL)


async def least(request: Request) -> Response:
    return PlainTextResponse(LEAST)


async def stream(request: Request) -> Response:
    return StreamingResponse(pieces(), media_type="text/plain")


async def slow(request: Request) -> Response:
    return StreamingResponse(paced(request.scope), media_type="text/plain")


async def file(request: Request) -> Response:
    return FileResponse(FILE)


async def picture(request: Request) -> Response:
    return Response(PAGE, media_type="image/png", headers={"ETag": '"picture"'})


async def lost(request: Request) -> Response:
    raise HTTPException(404, PAGE)


async def background(request: Request) -> Response:
    return HTMLResponse(PAGE, background=BackgroundTask(note, request.scope))


async def broken(request: Request) -> Response:
    raise ZeroDivisionError


async def broken_stream(request: Request) -> Response:
    async def broken() -> AsyncIterator[str]:
        yield PIECES[0]
        raise ZeroDivisionError

    return StreamingResponse(broken(), media_type="text/plain")


async def broken_before(request: Request) -> Response:
    async def broken() -> AsyncIterator[str]:
        raise ZeroDivisionError
        yield

    return StreamingResponse(broken(), media_type="text/plain")


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(PAGE)
    await websocket.close()


async def denying(websocket: WebSocket) -> None:
    await websocket.send_denial_response(HTMLResponse(PAGE, 403))


ENDPOINTS = {
    "/json": json,
    "/page": page,
    "/small": small,
    "/least": least,
    "/stream": stream,
    "/slow": slow,
    "/file": file,
    "/picture": picture,
    "/lost": lost,
    "/background": background,
    "/broken": broken,
    "/broken-stream": broken_stream,
    "/broken-before": broken_before,
}


def starlette(**options: Any) -> Starlette:
    routes = [Route(path, endpoint) for path, endpoint in ENDPOINTS.items()]
    sockets = [WebSocketRoute("/ws", socket), WebSocketRoute("/denying", denying)]
    static = Mount("/static", STATIC_FILES)
    return Starlette(routes=[*routes, *sockets, static], **options)


def fastapi(**options: Any) -> FastAPI:
    app = FastAPI(**options)
    app.add_api_route("/json", lambda: DATA, methods=["GET", "HEAD"])
    for path, endpoint in ENDPOINTS.items():
        if path not in ("/json", "/background"):
            app.add_api_route(path, endpoint, response_model=None, methods=["GET", "HEAD"])
    app.add_api_websocket_route("/ws", socket)
    app.add_api_websocket_route("/denying", denying)
    app.mount("/static", STATIC_FILES)

    @app.get("/background", response_class=HTMLResponse)
    async def background(request: Request, tasks: BackgroundTasks) -> str:
        tasks.add_task(note, request.scope)
        return PAGE

    return app


# Litestar


@litestar.get("/json")
async def litestar_json() -> dict[str, list[str]]:
    return DATA


@litestar.get("/page", media_type="text/html", response_headers={"Vary": "Cookie", "ETag": '"page"'})
async def litestar_page() -> str:
    return PAGE


@litestar.get("/small", media_type="text/plain")
async def litestar_small() -> str:
    return SMALL


@litestar.get("/least", media_type="text/plain")
async def litestar_least() -> str:
    return LEAST


@litestar.get("/stream")
async def litestar_stream() -> litestar.response.Stream:
    return litestar.response.Stream(pieces(), media_type="text/plain")


@litestar.get("/slow")
async def litestar_slow(request: litestar.Request[Any, Any, Any]) -> litestar.response.Stream:
    return litestar.response.Stream(paced(request.scope), media_type="text/plain")


@litestar.get("/file")
async def litestar_file() -> litestar.response.File:
    return litestar.response.File(FILE)


@litestar.get("/picture", media_type="image/png", response_headers={"ETag": '"picture"'})
async def litestar_picture() -> bytes:
    return PAGE.encode()


@litestar.get("/lost", media_type="text/html", status_code=404)
async def litestar_lost() -> str:
    return PAGE


@litestar.get("/background")
async def litestar_background(request: litestar.Request[Any, Any, Any]) -> litestar.Response[str]:
    task = litestar.background_tasks.BackgroundTask(note, request.scope)
    return litestar.Response(PAGE, media_type="text/html", background=task)


@litestar.websocket("/ws")
async def litestar_socket(socket: litestar.WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    await socket.send_text(PAGE)
    await socket.close()


def litestar_app(*more: Any, **options: Any) -> litestar.Litestar:
    handlers = [
        litestar_json,
        litestar_page,
        litestar_small,
        litestar_least,
        litestar_stream,
        litestar_slow,
        litestar_file,
        litestar_picture,
        litestar_lost,
        litestar_background,
        litestar_socket,
        LITESTARS_STATIC_FILES,
        *more,
    ]
    return litestar.Litestar(handlers, logging_config=None, **options)


# Django and Channels


def django_lost(request: HttpRequest) -> HttpResponse:
    raise Http404


def django_page_lost(request: HttpRequest, exception: Exception) -> HttpResponse:
    return HttpResponse(PAGE, status=404)


def django_broken(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError


async def django_slow(request: Any) -> StreamingHttpResponse:
    return StreamingHttpResponse(paced(request.scope), content_type="text/plain")


async def django_events(request: Any) -> StreamingHttpResponse:
    return StreamingHttpResponse(paced(request.scope, EVENTS, EVENT), content_type="text/event-stream")


@condition(etag_func=lambda request: '"version-1"')
def django_versioned(request: HttpRequest) -> HttpResponse:
    return HttpResponse(PAGE if request.method == "GET" else "saved")


class DjangoUrls:
    """A URLconf of Django."""

    handler404 = staticmethod(django_page_lost)
    urlpatterns = (
        django_path("json", lambda request: JsonResponse(DATA)),
        django_path("page", lambda request: HttpResponse(PAGE, headers={"Vary": "Cookie", "ETag": '"page"'})),
        django_path("small", lambda request: HttpResponse(SMALL)),
        django_path("least", lambda request: HttpResponse(LEAST)),
        django_path("plain", lambda request: HttpResponse(PAGE)),
        django_path("stream", lambda request: StreamingHttpResponse(pieces(), content_type="text/plain")),
        django_path("iterator", lambda request: StreamingHttpResponse(iter(PIECES), content_type="text/plain")),
        django_path("slow", django_slow),
        django_path("events", django_events),
        django_path("file", lambda request: DjangoFileResponse(FILE.open("rb"))),
        django_path("picture", lambda request: HttpResponse(PAGE, "image/png", headers={"ETag": '"picture"'})),
        django_path("lost", django_lost),
        django_path("broken", django_broken),
        django_path("never-cached", never_cache(lambda request: HttpResponse(PAGE))),
        django_path("not-transformed", cache_control(no_transform=True)(lambda request: HttpResponse(PAGE))),
        django_path("versioned", django_versioned),
    )


class Pages(AsyncHttpConsumer):
    """A consumer of Channels that answers HTTP."""

    async def handle(self, body: bytes) -> None:
        content_type = b"text/event-stream" if self.scope["path"] == "/events" else b"text/plain"
        await self.send_headers(headers=[(b"content-type", content_type)])
        if self.scope["path"] == "/events":
            async for event in paced(self.scope, EVENTS, EVENT):
                await self.send_body(event.encode(), more_body=True)
            await self.send_body(b"")
        else:
            await self.send_body(PAGE.encode())


class Socket(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.accept()
        await self.send(PAGE)
        await self.close()


# Streams of events, in each way in which frameworks make them


def streaming_response() -> Any:
    async def stream(request: Request) -> Response:
        return StreamingResponse(paced(request.scope, EVENTS, EVENT), media_type="text/event-stream")

    return Starlette(routes=[Route("/events", stream)])


def sse_starlettes() -> Any:
    async def stream(request: Request) -> Response:
        return sse_starlette.EventSourceResponse(paced(request.scope, EVENTS))

    return Starlette(routes=[Route("/events", stream)])


def fastapis_own() -> Any:
    app = FastAPI()

    @app.get("/events", response_class=EventSourceResponse)
    async def stream(request: Request) -> AsyncIterator[str]:
        async for event in paced(request.scope, EVENTS):
            yield event

    return app


def litestars_own() -> Any:
    @litestar.get("/events")
    async def stream(request: litestar.Request[Any, Any, Any]) -> litestar.response.ServerSentEvent:
        return litestar.response.ServerSentEvent(paced(request.scope, EVENTS))

    return litestar.Litestar([stream], logging_config=None)


EVENT_STREAMS: dict[str, Callable[[], Any]] = {
    "StreamingResponse": streaming_response,
    "sse-starlette": sse_starlettes,
    "FastAPI": fastapis_own,
    "Litestar": litestars_own,
}
