"""The server that a browser's pages talk to: a small site behind each of many policies, and frameworks that fail.

The environment says in JSON what each folder is behind: the keywords of ``CORSMiddleware``, or the origins of
``WebSocketOriginMiddleware``.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, Router, WebSocketRoute
from starlette.websockets import WebSocket

from middleware import CORSMiddleware, WebSocketOriginMiddleware, outermost

PAGE = "<!doctype html><title>A page</title>"
METHODS = ["DELETE", "GET", "PATCH", "POST", "PROPFIND", "PUT"]


async def answer(request: Request) -> Response:
    return JSONResponse(request.cookies, headers={"X-Total": "3", "X-Internal": "7"})


async def login(request: Request) -> Response:
    response = JSONResponse("welcome")
    response.set_cookie("visitor", "seven")
    return response


async def moved(request: Request) -> Response:
    return RedirectResponse(request.query_params["to"])


async def opened(request: Request) -> Response:
    """What the application itself lets every page read."""
    return JSONResponse("to all", headers={"Access-Control-Allow-Origin": request.headers["origin"]})


async def greet(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(f"hello {websocket.cookies.get('visitor', 'stranger')}")
    await websocket.close()


site = Router(
    [
        Route("/login", login),
        Route("/moved", moved, methods=METHODS),
        Route("/opened", opened),
        Route("/{path:path}", answer, methods=METHODS),
        WebSocketRoute("/{path:path}", greet),
    ]
)


def behind(policy: Any) -> Any:
    return CORSMiddleware(site, **policy) if isinstance(policy, Mapping) else WebSocketOriginMiddleware(site, policy)


async def fail(request: Request) -> Response:
    raise RuntimeError("raised by an endpoint")


async def apologize(request: Request, error: Exception) -> Response:
    return JSONResponse("we are sorry", 500)


CORS = Middleware(CORSMiddleware, allow_origins=["http://app.example.localhost:*"])


def fastapi(**options: Any) -> FastAPI:
    app = FastAPI(**options)
    app.add_api_route("/", fail)
    return app


FAILING = {
    "starlette": outermost(Starlette(routes=[Route("/", fail)]), CORS),
    "fastapi": outermost(fastapi(exception_handlers={500: apologize}), CORS),
    "fastapi-debug": outermost(fastapi(debug=True), CORS),
    "add-middleware": fastapi(middleware=[CORS], exception_handlers={500: apologize}),
}
POLICIES = {name: behind(policy) for name, policy in json.loads(os.environ["POLICIES"]).items()}

application = Router(
    [
        Route("/page.html", HTMLResponse(PAGE)),
        Route("/sandboxed/page.html", HTMLResponse(PAGE, headers={"Content-Security-Policy": "sandbox allow-scripts"})),
        *(Mount(f"/{name}", app) for name, app in {**FAILING, **POLICIES}.items()),
    ]
)
