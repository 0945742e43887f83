"""The frameworks that people use keep the rules: no error and no warning of Lint for everyday requests."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import litestar
import litestar.response
import pytest
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.test import override_settings
from django.urls import path
from fastapi import FastAPI, Response, WebSocket
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import RedirectResponse, StreamingResponse
from starlette.routing import Mount

from middleware.lint import LintMiddleware
from middleware.lint.rules import RULES
from tests.asgi import CONNECT, REQUEST, SHUTDOWN, STARTUP, Client, http_scope, lifespan_scope, websocket_scope

TEXT = {"type": "websocket.receive", "text": '"hi"'}
DISCONNECT = {"type": "websocket.disconnect", "code": 1000}
PATHS = ["/hello", "/stream", "/empty", "/missing", "/redirect"]


async def numbers() -> AsyncIterator[bytes]:
    for number in range(3):
        yield b"%d" % number


def fastapi() -> Any:
    app = FastAPI()
    app.get("/hello")(lambda: {"hello": "world"})
    app.get("/stream")(lambda: StreamingResponse(numbers()))
    app.get("/empty")(lambda: Response(status_code=204))
    app.get("/redirect")(lambda: RedirectResponse("/hello"))

    @app.websocket("/ws")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    async def dispatch(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)
    return app


def starlette_mount() -> Any:
    return Starlette(routes=[Mount("/", fastapi())])


@litestar.get("/hello")
async def hello() -> dict[str, str]:
    return {"hello": "world"}


@litestar.get("/stream")
async def stream() -> litestar.response.Stream:
    return litestar.response.Stream(numbers())


@litestar.get("/empty", status_code=204)
async def empty() -> None:
    return None


@litestar.get("/redirect")
async def redirect() -> litestar.response.Redirect:
    return litestar.response.Redirect("/hello")


@litestar.websocket("/ws")
async def echo(socket: litestar.WebSocket) -> None:
    await socket.accept()
    await socket.send_text(await socket.receive_text())
    await socket.close()


def litestar_app() -> Any:
    return litestar.Litestar([hello, stream, empty, redirect, echo], logging_config=None)


APPLICATIONS = {"fastapi": fastapi, "starlette-mount": starlette_mount, "litestar": litestar_app}


class Echo(AsyncJsonWebsocketConsumer):
    async def receive_json(self, content: Any) -> None:
        await self.send_json(content)
        await self.close()


class Urls:
    """A URLconf of Django."""

    urlpatterns = (
        path("hello", lambda request: HttpResponse("hello")),
        path("stream", lambda request: StreamingHttpResponse(numbers())),
        path("empty", lambda request: HttpResponse(status=204)),
        path("redirect", lambda request: HttpResponseRedirect("/hello")),
    )


def assert_only_tolerated(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is told of the server, which is ours here, and of the application only what Lint tolerates."""
    for record in caplog.records:
        if record.name == "middleware.lint":
            _, _, rule = record.getMessage().partition("the application broke the rule ")
            assert RULES[rule.partition(":")[0]].tolerated


@pytest.fixture
def django(anyio_backend_name: str) -> Any:
    if not settings.configured:
        settings.configure(SECRET_KEY="tests", ALLOWED_HOSTS=["*"])
    middleware = ["django.middleware.common.CommonMiddleware", "django.middleware.http.ConditionalGetMiddleware"]
    with override_settings(ROOT_URLCONF=Urls, ALLOWED_HOSTS=["*"], MIDDLEWARE=middleware, DEBUG=False):
        yield get_asgi_application()


# Django runs on asyncio only.
on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


@on_asyncio
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", PATHS)
async def test_django_passes_with_nothing_but_what_is_tolerated(
    django: Any, path: str, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(REQUEST)
    await LintMiddleware(django)(http_scope(path, method=method), client.receive, client.send)
    assert client.sent[0]["type"] == "http.response.start"
    assert_only_tolerated(caplog)


@on_asyncio
async def test_a_consumer_of_channels_passes_strict_lint() -> None:
    client = Client(CONNECT, TEXT, DISCONNECT)
    with contextlib.suppress(StopConsumer):
        await LintMiddleware(Echo.as_asgi(), strict=True)(websocket_scope("/ws"), client.receive, client.send)
    assert [message["type"] for message in client.sent] == ["websocket.accept", "websocket.send", "websocket.close"]


@pytest.mark.parametrize("name", APPLICATIONS)
@pytest.mark.parametrize("path", PATHS)
async def test_everyday_requests_pass(name: str, path: str, caplog: pytest.LogCaptureFixture) -> None:
    client = Client(REQUEST)
    await LintMiddleware(APPLICATIONS[name]())(http_scope(path), client.receive, client.send)
    assert client.sent[0]["type"] == "http.response.start"
    assert not client.sent[-1].get("more_body")
    assert_only_tolerated(caplog)


@pytest.mark.parametrize("name", APPLICATIONS)
@pytest.mark.parametrize("path", ["/ws", "/missing"])
async def test_everyday_websockets_pass_strict_lint(name: str, path: str) -> None:
    client = Client(CONNECT, TEXT, DISCONNECT)
    await LintMiddleware(APPLICATIONS[name](), strict=True)(websocket_scope(path), client.receive, client.send)
    assert client.sent[0]["type"] == ("websocket.accept" if path == "/ws" else "websocket.close")


@pytest.mark.parametrize("name", APPLICATIONS)
async def test_everyday_lifespans_pass_strict_lint(name: str) -> None:
    client = Client(STARTUP, SHUTDOWN)
    await LintMiddleware(APPLICATIONS[name](), strict=True)(lifespan_scope(), client.receive, client.send)
    assert [message["type"] for message in client.sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
