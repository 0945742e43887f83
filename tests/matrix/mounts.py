"""The project that is served at prefixes: the same routes, by the same names, in each framework.

``application`` is for a server without root path and for one behind a proxy that strips it, ``keeping`` for one
behind a proxy that leaves it in the path, and the ``lazy`` ones for a server without lifespan.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import litestar
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import path, reverse
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse, RedirectResponse
from litestar.response import Redirect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from middleware import PathRouter


def django_hello(request: HttpRequest, who: str) -> HttpResponse:
    return HttpResponse(f"hello {who} from django")


def django_where(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.build_absolute_uri(reverse("hello", args=["ada"])))


def django_moved(request: HttpRequest) -> HttpResponseRedirect:
    return redirect("hello", "ada")


urlpatterns = [
    path("hello/<who>/", django_hello, name="hello"),
    path("where/", django_where),
    path("moved/", django_moved),
]

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    LOGGING_CONFIG=None,  # its own hides tracebacks
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],  # adds the slash
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for tests",
)


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


async def denied(websocket: WebSocket) -> None:
    print(f"denied: {websocket.url.path}")
    await websocket.close()


def starlette_application() -> Starlette:
    async def hello(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"hello {request.path_params['who']} from starlette")

    async def where(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(request.url_for("hello", who="ada")))

    async def moved(request: Request) -> RedirectResponse:
        return RedirectResponse(request.url_for("hello", who="ada"))

    return Starlette(
        routes=[
            Route("/hello/{who}/", hello),
            Route("/where/", where),
            Route("/moved/", moved),
            WebSocketRoute("/echo", echo),
            WebSocketRoute("/denied", denied),
        ]
    )


@asynccontextmanager
async def leaving(app: FastAPI) -> AsyncIterator[dict[str, str]]:
    yield {"left": "by the start-up"}


def fastapi_application() -> FastAPI:
    app = FastAPI(lifespan=leaving, default_response_class=PlainTextResponse)

    @app.get("/hello/{who}/")
    async def hello(who: str) -> str:
        return f"hello {who} from fastapi"

    @app.get("/where/")
    async def where(request: Request) -> str:
        return str(request.url_for("hello", who="ada"))

    @app.get("/moved/")
    async def moved(request: Request) -> RedirectResponse:
        return RedirectResponse(request.url_for("hello", who="ada"))

    @app.get("/state/")
    async def state(request: Request) -> str:
        return getattr(request.state, "left", "nothing")

    app.websocket("/echo")(echo)
    app.websocket("/denied")(denied)
    return app


def litestar_application() -> litestar.Litestar:
    @litestar.get("/hello/{who:str}/", name="hello", media_type="text/plain")
    async def hello(who: str) -> str:
        return f"hello {who} from litestar"

    @litestar.get("/where/", media_type="text/plain")
    async def where(request: litestar.Request) -> str:
        return request.url_for("hello", who="ada")

    @litestar.get("/moved/")
    async def moved(request: litestar.Request) -> Redirect:
        return Redirect(request.url_for("hello", who="ada"))

    @litestar.websocket("/echo")
    async def echo(socket: litestar.WebSocket) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        await socket.close()

    @litestar.websocket("/denied")
    async def denied(socket: litestar.WebSocket) -> None:
        print(f"denied: {socket.url.path}")
        await socket.close()

    return litestar.Litestar([hello, where, moved, echo, denied], debug=True)  # else its log has no tracebacks


MOUNTS = {
    "/django": get_asgi_application(),
    "/starlette": starlette_application(),
    "/fastapi": fastapi_application(),
    "/litestar": litestar_application(),
}

application = PathRouter(MOUNTS)
keeping = PathRouter({"/outer": application})

lazy_application = PathRouter(MOUNTS, lifespan="lazy")
lazy_keeping = PathRouter({"/outer": application}, lifespan="lazy")

starlettes_mounts = Starlette(routes=[Mount(prefix, app) for prefix, app in MOUNTS.items()])
