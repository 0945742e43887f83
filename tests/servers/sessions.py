"""What the servers run with sessions: each framework, a layer around them, and the pages that a shared cache keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import litestar
from fastapi import FastAPI
from litestar.middleware import DefineMiddleware
from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware as StarlettesSessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, Router, WebSocketRoute
from starlette.websockets import WebSocket

from middleware import MemoryStore, Middleware, PathRouter, SessionMiddleware

KEY = "the secret of the servers, which is long enough"
CACHED = {"Cache-Control": "public, max-age=600, s-maxage=600"}


async def log_in(request: Request) -> Response:
    request.session["name"] = request.path_params["name"]
    return await name(request)


async def name(request: Request) -> Response:
    return PlainTextResponse(request.session.get("name", "nobody"))


async def log_out(request: Request) -> Response:
    request.session.clear()
    return await name(request)


async def untouched(request: Request) -> Response:
    return PlainTextResponse("untouched")


async def accepting(websocket: WebSocket) -> None:
    websocket.session["accepted"] = True
    await websocket.accept()
    await websocket.send_text(websocket.session.get("name", "nobody"))
    await websocket.close()


async def denying(websocket: WebSocket) -> None:
    websocket.session["name"] = "denied"
    if "websocket.http.response" in websocket.scope.get("extensions", {}):
        await websocket.send_denial_response(PlainTextResponse("denied", 401))
    else:
        await websocket.close()


HTTP = {"/login/{name}": log_in, "/name": name, "/logout": log_out, "/untouched": untouched}
WEBSOCKET = {"/accepting": accepting, "/denying": denying}
ROUTES = [
    *(Route(path, endpoint) for path, endpoint in HTTP.items()),
    *(WebSocketRoute(path, endpoint) for path, endpoint in WEBSOCKET.items()),
]


def starlette(middleware: Sequence[Any] = ()) -> Starlette:
    return Starlette(routes=ROUTES, middleware=middleware)


def fastapi(middleware: Sequence[Any] = ()) -> FastAPI:
    app = FastAPI(middleware=middleware)
    for path, endpoint in HTTP.items():
        app.add_api_route(path, endpoint, response_model=None)
    for path, endpoint in WEBSOCKET.items():
        app.add_api_websocket_route(path, endpoint)
    return app


@litestar.get("/login/{name:str}", media_type="text/plain")
async def litestar_log_in(request: litestar.Request[Any, Any, Any]) -> str:
    request.session["name"] = request.path_params["name"]
    return str(request.session["name"])


@litestar.get("/name", media_type="text/plain")
async def litestar_name(request: litestar.Request[Any, Any, Any]) -> str:
    return str(request.session.get("name", "nobody"))


@litestar.get("/logout", media_type="text/plain")
async def litestar_log_out(request: litestar.Request[Any, Any, Any]) -> str:
    request.session.clear()
    return "nobody"


@litestar.get("/clear")
async def litestar_clear(request: litestar.Request[Any, Any, Any]) -> None:
    request.clear_session()


@litestar.get("/set")
async def litestar_set(request: litestar.Request[Any, Any, Any]) -> None:
    request.set_session({"name": "set"})


@litestar.get("/untouched", media_type="text/plain")
async def litestar_untouched() -> str:
    return "untouched"


@litestar.websocket("/accepting")
async def litestar_accepting(socket: litestar.WebSocket[Any, Any, Any]) -> None:
    socket.session["accepted"] = True
    await socket.accept()
    await socket.send_text(socket.session.get("name", "nobody"))
    await socket.close()


LITESTARS = [
    *(litestar_log_in, litestar_name, litestar_log_out, litestar_untouched),
    *(litestar_clear, litestar_set, litestar_accepting),
]


class Seeing:
    """A layer that tells in a header what it sees in its scope when the response begins."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def telling(message: Any) -> None:
            if message["type"] == "http.response.start":
                seen = f"{getattr(scope.get('route'), 'path', None)} {scope.get('path_params')}"
                message = {**message, "headers": [*message["headers"], (b"x-seen", seen.encode())]}
            await send(message)

        await self._app(scope, receive, telling)


async def keep(request: Request) -> Response:
    """Keep a name that nothing in the address tells."""
    request.session["name"] = request.headers["x-client"]
    return await cached_name(request)


async def cached_name(request: Request) -> Response:
    return PlainTextResponse(request.session.get("name", "nobody"), headers=CACHED)


async def forget(request: Request) -> Response:
    request.session.clear()
    return await cached_name(request)


async def cached_untouched(request: Request) -> Response:
    return PlainTextResponse("untouched", headers=CACHED)


PAGES = {"keep": keep, "name": cached_name, "forget": forget, "untouched": cached_untouched}
pages = Router([Route(f"/{name}/{{page}}", endpoint) for name, endpoint in PAGES.items()])

application = PathRouter(
    {
        "/starlette": starlette([Middleware(SessionMiddleware, KEY)]),
        "/fastapi": fastapi([Middleware(SessionMiddleware, KEY)]),
        "/litestar": litestar.Litestar(LITESTARS, middleware=[DefineMiddleware(SessionMiddleware, secret_key=KEY)]),
        "/mounted": SessionMiddleware(Starlette(routes=[Mount("/in/{place}", routes=ROUTES)]), KEY),
        "/stored": SessionMiddleware(Router(ROUTES), store=MemoryStore()),
        "/around/starlette/ours": Seeing(SessionMiddleware(starlette(), KEY)),
        "/around/starlette/starlettes": Seeing(StarlettesSessionMiddleware(starlette(), KEY)),
        "/around/fastapi/ours": Seeing(SessionMiddleware(fastapi(), KEY)),
        "/around/fastapi/starlettes": Seeing(StarlettesSessionMiddleware(fastapi(), KEY)),
        "/cached/cookies": SessionMiddleware(pages, KEY),
        "/cached/store": SessionMiddleware(pages, store=MemoryStore()),
        "/cached/starlettes": StarlettesSessionMiddleware(pages, KEY),
    }
)
